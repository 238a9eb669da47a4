"""Statistics of the whole image, computed once."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.params import ImageStatistics, Params
from hdseg_gpu.ops import Ops


def unit_of(dtype: np.dtype[Any]) -> float:
    """Return the factor that scales integers to [0, 1]; 1 for floats."""
    return 1.0 / float(np.iinfo(dtype).max) if dtype.kind == "u" else 1.0


@dataclass(frozen=True)
class Spread:
    """Means and squared deviations of the values in a part of an image."""

    pixels: int
    means: NDArray[np.float64]  # (C,)
    squares: float  # squared deviations from the mean over all channels, summed over all values

    def __add__(self, other: "Spread") -> "Spread":
        """Return the statistics of both parts together (Chan, Golub, LeVeque 1979)."""
        pixels = self.pixels + other.pixels
        apart = float(other.means.mean() - self.means.mean())
        between = apart**2 * self.means.size * (self.pixels * (other.pixels / pixels))
        return Spread(
            pixels,
            self.means + (other.means - self.means) * (other.pixels / pixels),
            self.squares + other.squares + between,
        )

    @property
    def deviation(self) -> float:
        """Return the standard deviation of all values."""
        return sqrt(self.squares / (self.pixels * self.means.size))


def spread_of(ops: Ops, values: NDArray[Any]) -> Spread:
    """Return the spread of values (H, W, C)."""
    height, width, channels = values.shape
    means, deviation = ops.spread(values)
    return Spread(height * width, means, deviation**2 * height * width * channels)


def added(spreads: Iterable[Spread]) -> Spread:
    """Return the spread of all parts together; rounding depends on their order."""
    first, *others = spreads
    return sum(others, first)


def statistics_of(
    of_image: Spread,
    of_edges: Spread,
    dtype: np.dtype[Any],
    params: Params,
    known: float | None = None,
) -> ImageStatistics:
    """Return sigma, the factor in the exponent of the edge weights, and the colour normalisation.

    "intensity": w = exp(-beta ||I_i - I_j||^2 / (10 sigma sqrt(C))) + eps, as in scikit-image;
    "boundary": w = exp(-beta (g_i + g_j)^2 / sigma) + eps. The features stay in their own units,
    so the factor includes the square of the unit. If sigma = 0 (a constant image) all weights are
    equal and the factor is 0. known: sigma, if the caller passed it.
    """
    unit = unit_of(dtype)
    sigma, edge_scale = unit * of_edges.deviation if known is None else known, 0.0
    if sigma > 0.0:
        edge_scale = params.beta * unit**2 / sigma
        if params.edges != "boundary":
            edge_scale /= 10.0 * sqrt(of_edges.means.size)
    spread = of_image.deviation
    return ImageStatistics(sigma, edge_scale, of_image.means, 1.0 / spread if spread else 1.0)
