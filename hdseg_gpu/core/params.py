"""Frozen parameters of one refinement, checked and complete."""

from dataclasses import dataclass, fields
from typing import Any, Never

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.classes import Classes
from hdseg_gpu.core.options import Options

# What float32 leaves of potentials: 8 roundings of the weights, right-hand sides and results.
ROUNDING = 5e-7


@dataclass(frozen=True, kw_only=True)
class Params(Options[Never]):
    """The options of one refinement, checked and complete: nothing is missing any more."""

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
    """What is known of a coarse map without its values."""

    values: NDArray[Any]  # (K,) the label of each class
    shape: tuple[int, int]  # (h, w)
    soft: bool  # whether it has probabilities of classes, not labels
    ignore_index: int | None = None  # the label to ignore; None if there is no such pixel

    @property
    def count(self) -> int:
        """Return the number of classes K."""
        return len(self.values)

    def scale_to(self, shape: tuple[int, int]) -> float:
        """Return s = max(H / h, W / w), the pixels of `shape` for each of this map."""
        return max(shape[0] / self.shape[0], shape[1] / self.shape[1])


@dataclass(frozen=True)
class Coarse:
    """A coarse map, labels replaced by class indices 0..K-1 in ascending order of the labels."""

    values: NDArray[Any]  # (K,) the label of each class
    classes: Classes | None  # (h, w) class indices, or None for probabilities
    probabilities: NDArray[np.float32] | None  # (K, h, w), summing to 1, or None for labels
    ignored: NDArray[np.bool_] | None = None  # (h, w) where no class is: the label passes through
    ignore_index: int | None = None  # that label; None if there is no such pixel

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
        """Return what is known without the arrays."""
        soft = self.probabilities is not None
        return CoarseSummary(self.values, self.shape, soft, self.ignore_index)


@dataclass(frozen=True)
class ImageStatistics:
    """What only the whole picture can tell; a tile never computes these of its own."""

    sigma: float  # standard deviation of the edge features over the whole image
    edge_scale: float  # factor of the squared difference in the edge weight's exponent
    center: NDArray[np.float64]  # (C,) mean of each channel of the image
    scale: float  # 1 by the standard deviation of all the image's values
