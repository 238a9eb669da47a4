"""From the coarse map to a class for each pixel of the image."""

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.ops import Ops, Shape
from hdseg_gpu.core.params import Coarse, Params


def upsample(ops: Ops, coarse: Coarse, shape: Shape, params: Params) -> NDArray[np.int32]:
    """Return class indices (H, W): labels by nearest neighbour, probabilities interpolated."""
    if coarse.probabilities is not None:
        return ops.upsample_argmax(coarse.probabilities, shape, params.interpolation)
    assert coarse.classes is not None
    return ops.upsample_labels(coarse.classes, shape)
