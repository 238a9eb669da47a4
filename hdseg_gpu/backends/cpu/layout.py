"""The matrices of a band and of the hierarchy; kernels/cpu/arguments.h reads their attributes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.ops import Edges, Level

_ROWS = 4096  # of a chunk, at least


@dataclass(frozen=True)
class CpuEdges(Edges):
    """The layout in kernels/cpu/edges.h."""

    rows: NDArray[np.float32]  # (4, padded n): weights to north, east, south, and the row sums


@dataclass(frozen=True)
class StencilLevel(Level):
    """The reduced matrix of a band: kernels/cpu/level.h."""

    pieces: NDArray[np.int32]  # (pieces, 6): ``BlackPiece``
    chunk: NDArray[np.int64]  # (chunks + 1,) the first piece of each
    weights: NDArray[np.float32]  # (7, padded n) by direction
    row_sum: NDArray[np.float32]  # (padded n,) row sums
    inverse: NDArray[np.float32]  # (padded n,) 1 / diagonal, padded with 0
    first_entry: NDArray[np.int32]  # (runs + 1,) of the band
    parts: int = 0  # chunks of coarser levels, see SparseLevel

    @property
    def size(self) -> int:
        return int(self.first_entry[-1])


@dataclass(frozen=True)
class SparseLevel(Level):
    """A coarse matrix in compressed sparse rows, without the diagonal: kernels/cpu/level.h."""

    row_start: NDArray[np.int32]  # (n + 1,)
    column: NDArray[np.int32]
    value: NDArray[np.float32]  # weights, at least 0
    row_sum: NDArray[np.float32]  # (padded n,) row sums
    inverse: NDArray[np.float32]  # (padded n,) 1 / diagonal, padded with 0
    # Chunks of a large level; 0: as many as have 4096 rows. Aggregates lie within chunks, so these
    # must be large where neighbours are far apart in the order of entries: in volumes.
    parts: int = 0

    @property
    def size(self) -> int:
        return len(self.row_start) - 1

    @property
    def rows(self) -> int:
        """Return the number of rows of a chunk."""
        return max(_ROWS, -(-self.size // self.parts)) if self.parts else _ROWS


CpuLevel = StencilLevel | SparseLevel
