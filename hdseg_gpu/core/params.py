"""Frozen parameters of one refinement, checked and complete."""

from dataclasses import dataclass, fields
from typing import Any, Never

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.classes import Classes
from hdseg_gpu.core.options import Options

# Error of potentials from float32: 8 roundings of the weights, right-hand sides and results.
ROUNDING = 5e-7


@dataclass(frozen=True, kw_only=True)
class Params(Options[Never]):
    """The options of one refinement, checked and complete: no field is None."""

    elements: NDArray[np.int8]  # (m, n, n), n odd and at most 9

    def __post_init__(self) -> None:
        missing = [each.name for each in fields(self) if getattr(self, each.name) is None]
        if missing:
            raise TypeError(f"Params() needs {', '.join(missing)}")

    @property
    def tolerance(self) -> float:
        """Return the largest error of a potential."""
        return self.tol


@dataclass(frozen=True)
class CoarseSummary:
    """The properties of a coarse map, without its pixels."""

    values: NDArray[Any]  # (K,) the label of each class
    shape: tuple[int, int]  # (h, w)
    soft: bool  # whether it has class probabilities instead of labels
    ignore_index: int | None = None  # the label of ignored pixels; None if there are none

    @property
    def count(self) -> int:
        """Return the number of classes K."""
        return len(self.values)

    @property
    def summary(self) -> "CoarseSummary":
        """Return this summary."""
        return self

    def scale_to(self, shape: tuple[int, int]) -> float:
        """Return the scale max(H / h, W / w) of this map in an image of `shape`."""
        return max(shape[0] / self.shape[0], shape[1] / self.shape[1])


@dataclass(frozen=True)
class Coarse:
    """A coarse map as class indices 0..K-1, in ascending order of the labels, or probabilities."""

    values: NDArray[Any]  # (K,) the label of each class
    classes: Classes | None  # (h, w) class indices, or None for probabilities
    probabilities: NDArray[np.float32] | None  # (K, h, w), summing to 1, or None for labels
    ignored: NDArray[np.bool_] | None = None  # (h, w) ignored pixels, which have no class
    ignore_index: int | None = None  # their label; None if there are no such pixels

    @property
    def count(self) -> int:
        """Return the number of classes K."""
        return len(self.values)

    @property
    def shape(self) -> tuple[int, int]:
        """Return (h, w)."""
        planes = self.classes if self.probabilities is None else self.probabilities
        assert planes is not None
        return planes.shape[-2], planes.shape[-1]

    @property
    def summary(self) -> CoarseSummary:
        """Return its summary."""
        soft = self.probabilities is not None
        return CoarseSummary(self.values, self.shape, soft, self.ignore_index)


@dataclass(frozen=True)
class ImageStatistics:
    """Statistics of the whole image; never computed from a single tile."""

    sigma: float  # standard deviation of the edge features over the whole image
    edge_scale: float  # factor of the squared difference in the edge weight's exponent
    center: NDArray[np.float64]  # (C,) mean of each channel of the image
    scale: float  # 1 / standard deviation of all values of the image
