"""Layouts of columns, and of the matrices of a band and of the hierarchy: kernels/cuda."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from hdseg_gpu.backends.cuda.cupy_device import BLOCK
from hdseg_gpu.ops import Edges, Level

# Zeros before and behind the entries of columns and weights, as in kernels/cpu/band.h: kernels may
# read beyond the ends.
PADDING = 32
# Blocks that sum one column: the same number on every card, so that sums have the same bits.
_SUMMANDS = 1024
# Zeros of 8 bytes that a level allocates at once, for kernels to count in.
_ZEROS = 128


@dataclass
class CudaEdges(Edges):
    """The weights of A to the pixel north, east and south, and the row sums: (4, padded n)."""

    rows: Any
    inverse: Any = None  # 1 / A_ii, (padded n), computed when first needed


@dataclass(frozen=True)
class Sums:
    """Partial results of blocks: two sums for each column."""

    parts: Any  # (2, columns, blocks) float64
    arrived: Any  # (columns,) uint32, 0 between launches: finished blocks
    worst: Any  # (columns,) uint32, 0 between launches: of a maximum
    factor: Any  # (columns,) float64: the sums


@dataclass
class CudaLevel(Level):
    """A level's weights and row sums (kernels/common/multigrid.h); `kind` begins kernels' names.

    "stencil": offsets (4, n) int32 to the entries up2, up, down and down2 (``Offsets``), weights
    (7, padded n) float32, row_sum (padded n) float32. "sparse": row starts (n + 1) and columns
    int32, weights float32, row_sum (padded n).
    """

    kind: str
    parts: tuple[Any, ...]
    inverse: Any  # 1 / diagonal, (padded n), the padding 0
    entries: int
    first_entry: Any = None  # "stencil": the entry of each run's first black pixel, (runs + 1,)
    # Set by coarsen: where each aggregate begins, (aggregates + 1,), in the list of all entries,
    # sorted by aggregate, those in none last: so sums have a fixed order.
    members: tuple[Any, Any] | None = None

    _sums: Sums | None = None
    _room: Any = None
    _zeros: Any = None

    @property
    def size(self) -> int:
        return self.entries

    def sums(self, xp: Any, columns: int) -> Sums:
        """Return the arrays for sums over the rows, allocated once."""
        if self._sums is None or len(self._sums.arrived) < columns:
            blocks = blocks_of_sums(self.size)
            room = xp.empty((2 * blocks + 1) * columns)
            parts, factor = room[columns:].reshape(2, columns, blocks), room[:columns]
            arrived, worst = xp.zeros((2, columns), np.uint32)
            self._sums = Sums(parts, arrived, worst, factor)
        return self._sums

    def zeros(self, xp: Any, count: int, dtype: Any) -> Any:
        """Return a few zeros, not returned before: many are allocated and filled together."""
        if self._zeros is None or len(self._zeros) < count:
            self._zeros = xp.zeros(_ZEROS, np.uint64)
        found, self._zeros = self._zeros[:count], self._zeros[count:]
        return found.view(dtype)[:count]

    def room(self, xp: Any, columns: int) -> Any:
        """Return columns for temporary values, allocated once."""
        if self._room is None or len(self._room) < columns:
            self._room = xp.empty((columns, self.size + 2 * PADDING), np.float32)
        return self._room[:columns]


def blocks_of_sums(entries: int) -> int:
    """Return the number of blocks that sum a column with `entries` entries."""
    return min(-(-entries // BLOCK), _SUMMANDS)
