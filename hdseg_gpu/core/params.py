"""Frozen parameters of one refinement, checked and complete."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.ops import Classes

EDGE_RULES = ("intensity", "boundary")
INTERPOLATIONS = ("linear", "cubic")  # and "nearest", for label maps
SOLVERS = ("auto", "multigrid", "cg", "amg", "direct")

# Passes per unit of scale where no method says otherwise, and the assumed scale:
# docs/decisions/0002-defaults.md.
PASSES_PER_SCALE = 2.0
ASSUMED_SCALE = 8.0
# The label of pixels to leave alone, by a convention of data sets.
IGNORED = 255
# Largest error of a potential. Rounding alone makes two direct solvers differ by 1e-6 at beta =
# 5000, where clusters hang on edges of 1e-10: less cannot be promised.
TOLERANCE = 1e-4
LEAST_TOLERANCE = 1e-6
# What float32 leaves of potentials: 8 roundings of the weights, right-hand sides and results.
ROUNDING = 5e-7


@dataclass(frozen=True)
class Defaults:
    """What a method takes for the options that the caller leaves to it."""

    elements: Any  # a name, or an array if the caller gives one
    passes_per_scale: float
    edges: str | None  # None: "boundary" with a boundary map, else "intensity"
    beta: float
    gamma: float
    interpolation: str  # of labels
    solver: str
    unsure: float  # of probabilities
    prune: bool
    median: int

    def overridden(self, **given: Any) -> "Defaults":
        """Return the options with those the caller has given, which are not None."""
        return replace(self, **{name: v for name, v in given.items() if v is not None})


METHODS = {
    # docs/decisions/0006-evidence.md
    "evidence": Defaults(
        elements="3x3",
        passes_per_scale=12.0,
        edges="intensity",
        beta=1000.0,
        gamma=1.0,
        interpolation="cubic",
        solver="auto",
        unsure=0.0,
        prune=True,
        median=3,
    ),
    # Saravanan, Challa, Danda, arXiv 2208.01254, and their own program.
    "published": Defaults(
        elements="9x9",
        passes_per_scale=8.0,
        edges=None,
        beta=130.0,
        gamma=0.0,
        interpolation="nearest",
        solver="direct",
        unsure=0.03,
        prune=True,
        median=7,
    ),
}


@dataclass(frozen=True)
class Params:
    """How to refine; see ``hdseg_gpu.refine`` for the meaning of each."""

    elements: NDArray[np.int8]  # (m, n, n), n odd and at most 9
    passes: int
    scale: float
    edges: str
    beta: float
    gamma: float
    interpolation: str  # "nearest" (labels only), "linear" or "cubic"
    solver: str
    tolerance: float = TOLERANCE
    method: str = "evidence"
    unsure: float = 0.0
    prune: bool = False
    median: int = 1


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

    def scale_to(self, shape: tuple[int, int]) -> float:
        """Return s = max(H / h, W / w), the pixels of `shape` for each of this map."""
        return max(shape[0] / self.shape[0], shape[1] / self.shape[1])


@dataclass(frozen=True)
class ImageStatistics:
    """What only the whole picture can tell; a tile never computes these of its own."""

    sigma: float  # standard deviation of the edge features over the whole image
    strength: float  # factor of the squared difference in the edge weight's exponent
    center: NDArray[np.float64]  # (C,) mean of each channel of the image
    scale: float  # 1 by the standard deviation of all the image's values
