"""Levels, and coarser ones."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cpu.kernels import CpuKernels
from hdseg_gpu.backends.cpu.layout import CpuLevel
from hdseg_gpu.ops import CsrMatrix, Level


class CpuLevelOps(CpuKernels):
    """Allocates, calls, returns."""

    def diagonal(self, level: Level) -> NDArray[Any]:
        assert isinstance(level, CpuLevel)
        diagonal: NDArray[Any] = 1 / self.body(level.inverse)
        return diagonal

    def row_sums(self, level: Level) -> NDArray[Any]:
        assert isinstance(level, CpuLevel)
        return self.body(level.parts[3])

    def coarsen(self, level: Level) -> tuple[NDArray[np.int32], Level]:
        assert isinstance(level, CpuLevel)
        aggregate = np.empty(level.size, np.int32)
        coarsen = getattr(self._kernels, f"{level.kind}_coarsen")
        row_start, column, value, *sums = coarsen(*level.parts, level.inverse, aggregate)
        size = sums[0].size
        padded = self.zeros(size, 2)
        self.body(padded)[:] = sums
        row_sum, inverse = padded
        return aggregate, CpuLevel("sparse", (row_start, column, value, row_sum), inverse, size)

    def submatrix(self, level: Level, chosen: NDArray[np.int64]) -> CsrMatrix:
        assert isinstance(level, CpuLevel)
        number = np.full(level.size, -1, np.int32)
        number[chosen] = np.arange(len(chosen), dtype=np.int32)
        submatrix = getattr(self._kernels, f"{level.kind}_submatrix")
        matrix: CsrMatrix = CsrMatrix(*submatrix(*level.parts, number))
        return matrix
