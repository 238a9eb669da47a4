"""Global quantities, taken from the whole picture once and then frozen."""

from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.ops import Ops
from hdseg_gpu.core.params import Params, Survey


def unit_of(dtype: np.dtype[Any]) -> float:
    """Return what one count is worth: integers are scaled to [0, 1], floats are kept."""
    return 1.0 / float(np.iinfo(dtype).max) if dtype.kind == "u" else 1.0


def survey(ops: Ops, image: NDArray[Any], features: NDArray[Any], params: Params) -> Survey:
    """Return sigma and the exponent's factor for the edge weights, and what colours are seen as.

    "intensity": w = exp(-beta ||I_i - I_j||^2 / (10 sigma sqrt(C))) + eps, as in scikit-image;
    "boundary": w = exp(-beta (g_i + g_j)^2 / sigma) + eps. The features stay in their own units,
    so the factor carries the square of the unit. sigma = 0 means a constant picture: all edges
    are alike and the factor is 0.
    """
    unit = unit_of(features.dtype)
    spread = ops.standard_deviation(features)
    sigma, strength = unit * spread, 0.0
    if sigma > 0.0:
        strength = params.beta * unit**2 / sigma
        if params.edges != "boundary":
            strength /= 10.0 * sqrt(features.shape[2])
    of_image = spread if features is image else ops.standard_deviation(image)
    return Survey(sigma, strength, ops.channel_means(image), 1.0 / of_image if of_image else 1.0)
