"""The matrices of a band and of the hierarchy, as kernels/cpu has them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.ops import Edges, Level


@dataclass(frozen=True)
class CpuEdges(Edges):
    """What kernels/cpu/edges.h says."""

    rows: NDArray[np.float32]  # (4, padded n): weights to north, east, south, and the row sums


@dataclass(frozen=True)
class CpuLevel(Level):
    """What kernels/cpu/level.h says: weights and row sums; the first names the kernels' prefix."""

    # "stencil": pieces, chunks, weights, row sums; "sparse": rows, columns, values, row sums.
    kind: str
    parts: tuple[NDArray[Any], ...]
    inverse: NDArray[np.float32]  # 1 / diagonal, padded with 0
    entries: int
    first_entry: NDArray[np.int32] | None = None  # "stencil": of each run of the band

    @property
    def size(self) -> int:
        return self.entries
