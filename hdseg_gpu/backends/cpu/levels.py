"""Levels, and coarser ones."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cpu.kernels import CpuKernels
from hdseg_gpu.backends.cpu.layout import CpuLevel, SparseLevel
from hdseg_gpu.ops import CsrMatrix, Level


class CpuLevelOps(CpuKernels):
    """Allocates, calls, returns."""

    def sparse_level(
        self,
        row_start: NDArray[np.int32],
        column: NDArray[np.int32],
        weight: NDArray[np.float32],
        row_sum: NDArray[np.float32],
        diagonal: NDArray[np.float32],
    ) -> Level:
        padded = self.zeros(len(row_sum), 2)
        self.body(padded)[:] = row_sum, 1 / diagonal
        return SparseLevel(row_start, column, weight, *padded)

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
        return aggregate, SparseLevel(row_start, column, value, row_sum, inverse)

    def submatrix(self, level: Level, chosen: NDArray[np.int64]) -> CsrMatrix:
        assert isinstance(level, CpuLevel)
        number = np.full(level.size, -1, np.int32)
        number[chosen] = np.arange(len(chosen), dtype=np.int32)
        return CsrMatrix(*self._kernels.submatrix(level, number))
