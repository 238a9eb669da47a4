"""Columns, and what the iterations do with them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cpu.kernels import CpuKernels
from hdseg_gpu.backends.cpu.layout import CpuLevel
from hdseg_gpu.ops import Level


class CpuVectorOps(CpuKernels):
    """Allocates, calls, returns."""

    def zeros(self, size: int, columns: int, dtype: Any = np.float32) -> NDArray[Any]:
        return np.zeros((columns, size + 2 * self._kernels.padding), dtype)

    def body(self, columns: NDArray[Any]) -> NDArray[Any]:
        return columns[..., self._kernels.padding : -self._kernels.padding]

    def residual(
        self, level: Level, b: NDArray[Any], x: NDArray[np.float64], out: NDArray[Any]
    ) -> None:
        assert isinstance(level, CpuLevel)
        self._kernels.residual(level, b, x, out)

    def refresh(
        self, level: Level, b: NDArray[Any], x: NDArray[np.float64], r: NDArray[Any]
    ) -> NDArray[np.float64]:
        assert isinstance(level, CpuLevel)
        found = np.empty((3, len(r)))
        self._kernels.refresh(level, level.inverse, b, x, r, found)
        return found

    def conjugate(
        self,
        level: Level,
        z: NDArray[Any],
        q: NDArray[Any],
        energy: NDArray[np.float64],
        p: NDArray[Any],
    ) -> None:
        self._kernels.conjugate(z, q, energy, p)

    def step(
        self,
        level: Level,
        p: NDArray[Any],
        q: NDArray[Any],
        energy: NDArray[np.float64],
        x: NDArray[np.float64],
        r: NDArray[Any],
    ) -> None:
        assert isinstance(level, CpuLevel)
        self._kernels.step(level, p, q, energy, x, r)

    def apply_inverse_diagonal(self, level: Level, r: NDArray[Any], out: NDArray[Any]) -> None:
        assert isinstance(level, CpuLevel)
        self._kernels.apply_inverse_diagonal(level.inverse, r, out)

    def restrict(
        self,
        level: Level,
        aggregate: NDArray[np.int32],
        r: NDArray[Any],
        x: NDArray[Any],
        coarse: NDArray[Any],
    ) -> None:
        assert isinstance(level, CpuLevel)
        coarse.fill(0)
        self._kernels.restrict(level, level.inverse, aggregate, r, x, coarse)

    def prolong(
        self,
        level: Level,
        aggregate: NDArray[np.int32],
        r: NDArray[Any],
        coarse: NDArray[Any],
        x: NDArray[Any],
        out: NDArray[Any],
    ) -> None:
        assert isinstance(level, CpuLevel)
        self._kernels.prolong(level, level.inverse, aggregate, r, coarse, x, out)

    def multiply(self, matrix: NDArray[np.float64], r: NDArray[Any], out: NDArray[Any]) -> None:
        # No BLAS, whose sums depend on its number of threads.
        self.body(out)[:] = (matrix * self.body(r)[:, np.newaxis, :]).sum(axis=2)

    def largest(self, level: Level, x: NDArray[Any]) -> float:
        most = np.empty(len(x), np.float32)
        self._kernels.largest(x, most)
        return float(most.max(initial=0.0))
