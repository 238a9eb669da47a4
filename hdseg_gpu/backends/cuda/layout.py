"""Columns, and the matrices of a band and of the hierarchy, as kernels/cuda has them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from hdseg_gpu.backends.cuda.cupy_device import BLOCK
from hdseg_gpu.ops import Edges, Level

# Zeros before and behind the entries of columns and weights, as in kernels/cpu/band.h: kernels may
# read beyond the ends.
PADDING = 32
# Blocks that sum up one column: as many on every card, so that sums are the same bits.
_SUMMANDS = 1024
# Zeros of 8 bytes that a level keeps for kernels to count in, until it needs more.
_ZEROS = 128


@dataclass
class CudaEdges(Edges):
    """The weights of A to the pixel north, east and south, and the row sums: (4, padded n)."""

    rows: Any
    inverse: Any = None  # 1 / A_ii, (padded n), from the first time it is needed


@dataclass(frozen=True)
class Sums:
    """Where blocks leave what they have of two sums for each of some columns."""

    parts: Any  # (2, columns, blocks) float64
    arrived: Any  # (columns,) uint32, 0 between launches: blocks that are done
    worst: Any  # (columns,) uint32, 0 between launches: of a maximum
    factor: Any  # (columns,) float64: what becomes of the sums


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
    # What coarsen has found: where each aggregate begins, (aggregates + 1,), in the entries of all,
    # one aggregate after the other, those that are left out last: so sums have a fixed order.
    members: tuple[Any, Any] | None = None

    _sums: Sums | None = None
    _room: Any = None
    _zeros: Any = None

    @property
    def size(self) -> int:
        return self.entries

    def sums(self, xp: Any, columns: int) -> Sums:
        """Return what sums over the rows need, made once."""
        if self._sums is None or len(self._sums.arrived) < columns:
            blocks = blocks_of_sums(self.size)
            room = xp.empty((2 * blocks + 1) * columns)
            parts, factor = room[columns:].reshape(2, columns, blocks), room[:columns]
            arrived, worst = xp.zeros((2, columns), np.uint32)
            self._sums = Sums(parts, arrived, worst, factor)
        return self._sums

    def zeros(self, xp: Any, count: int, dtype: Any) -> Any:
        """Return a few zeros, each time others: an allocation and a fill for many of them."""
        if self._zeros is None or len(self._zeros) < count:
            self._zeros = xp.zeros(_ZEROS, np.uint64)
        found, self._zeros = self._zeros[:count], self._zeros[count:]
        return found.view(dtype)[:count]

    def room(self, xp: Any, columns: int) -> Any:
        """Return columns for what nobody reads later, made once."""
        if self._room is None or len(self._room) < columns:
            self._room = xp.empty((columns, self.size + 2 * PADDING), np.float32)
        return self._room[:columns]


def blocks_of_sums(entries: int) -> int:
    """Return how many blocks sum up a column of so many entries."""
    return min(-(-entries // BLOCK), _SUMMANDS)
