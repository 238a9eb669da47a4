"""Levels, and coarser ones."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cpu.kernels import CpuKernels
from hdseg_gpu.backends.cpu.layout import CpuLevel, SparseLevel, StencilLevel
from hdseg_gpu.core.links import diagonal_of, sparse_rows
from hdseg_gpu.ops import CsrMatrix, Level

# The arms of the stencil in kernels/cpu/level.h that the axes of a volume use, before and after an
# entry: along the slowest "two rows up" and "down", along the next the diagonals to the right, with
# weight 0 for those to the left.
_ARMS = ((0, 6), (2, 5))
_RIGHT = 3
_AXES = 3
_PARTS = 16
_LONGEST = 4096  # entries of a piece: vectors and weights stay in a cache
_CHUNK = 1 << 15  # entries of a chunk, within which aggregates lie


class CpuLevelOps(CpuKernels):
    """Allocates, calls, returns."""

    def grid_level(
        self, link: NDArray[np.int32], weight: NDArray[np.float32], row_sum: NDArray[np.float32]
    ) -> Level:
        axes, n = link.shape
        sums, inverse = padded = self.zeros(n, 2)
        self.body(padded)[:] = row_sum, 1 / diagonal_of(np, link, weight, row_sum)
        if axes > _AXES or n == 0:
            return SparseLevel(*sparse_rows(np, link, weight), sums, inverse, _PARTS)
        weights, offsets = self.zeros(n, 7), list[NDArray[np.int32]]()
        body = self.body(weights)
        body[_RIGHT] = weight[-1]
        for axis, (before, after) in enumerate(_ARMS[_AXES - axes :][: axes - 1]):
            entry = np.flatnonzero(link[axis] >= 0)
            other = link[axis, entry]
            body[after] = weight[axis]
            body[before, other] = weight[axis, entry]
            back = np.full(n, -1, np.int32)
            back[other] = entry
            offsets += [_continued(back), _continued(link[axis])]
        pieces, chunk = _pieces(offsets, n)
        entries = np.array([0, n], np.int32)
        parts = _PARTS if axes == _AXES else 0
        return StencilLevel(pieces, chunk, weights, sums, inverse, entries, parts)

    def diagonal(self, level: Level) -> NDArray[Any]:
        assert isinstance(level, CpuLevel)
        diagonal: NDArray[Any] = 1 / self.body(level.inverse)
        return diagonal

    def row_sums(self, level: Level) -> NDArray[Any]:
        assert isinstance(level, CpuLevel)
        return self.body(level.row_sum)

    def coarsen(self, level: Level) -> tuple[NDArray[np.int32], Level]:
        assert isinstance(level, CpuLevel)
        aggregate = np.empty(level.size, np.int32)
        row_start, column, value, *sums = self._kernels.coarsen(level, level.inverse, aggregate)
        padded = self.zeros(sums[0].size, 2)
        self.body(padded)[:] = sums
        row_sum, inverse = padded
        return aggregate, SparseLevel(row_start, column, value, row_sum, inverse, level.parts)

    def submatrix(self, level: Level, chosen: NDArray[np.int64]) -> CsrMatrix:
        assert isinstance(level, CpuLevel)
        number = np.full(level.size, -1, np.int32)
        number[chosen] = np.arange(len(chosen), dtype=np.int32)
        return CsrMatrix(*self._kernels.submatrix(level, number))


def _continued(link: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the offset to each entry's neighbour; without one, that of the entry before.

    So that pieces are long: the weight is 0 there, and any entry may be read.
    """
    n = len(link)
    entry = np.arange(n, dtype=np.int32)
    source = np.maximum.accumulate(np.where(link >= 0, entry, 0))
    offset = link[source] - source
    reached = entry + offset
    offset[(link[source] < 0) | (reached < 0) | (reached >= n)] = 0
    return offset


def _pieces(
    offsets: list[NDArray[np.int32]], n: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return pieces of n entries with the same offsets, and the first piece of each chunk.

    offsets: before and after along each axis but the last, the slowest first.
    """
    begins = np.zeros(n, np.bool_)
    begins[::_LONGEST] = True
    for offset in offsets:
        begins[1:] |= offset[1:] != offset[:-1]
    start = np.flatnonzero(begins)
    pieces = np.zeros((len(start), 6), np.int32)
    pieces[:, 0], pieces[:-1, 1], pieces[-1, 1] = start, start[1:], n
    columns = (2, 5, 3, 4)[4 - len(offsets) :]  # of two rows up and down, of up and down
    for column, offset in zip(columns, offsets, strict=True):
        pieces[:, column] = offset[start]
    first = np.flatnonzero(np.diff(start // _CHUNK, prepend=-1))
    return pieces, np.append(first, len(start)).astype(np.int64)
