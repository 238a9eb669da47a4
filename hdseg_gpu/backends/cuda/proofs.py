"""Ops of the backend `cuda` for proofs of error bounds."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cuda.kernels import CudaKernels
from hdseg_gpu.backends.cuda.layout import CudaLevel
from hdseg_gpu.ops import Level

_PROOF = "certificate.cu"


class CudaProofOps(CudaKernels):
    """Allocates, launches, returns."""

    def lagging(self, level: Level, r: NDArray[Any], least: float, mask: NDArray[np.bool_]) -> int:
        assert isinstance(level, CudaLevel)
        count = level.zeros(self.xp, 1, np.int32)
        args = (level.inverse, r, level.size, np.float32(least), mask, count)
        self._spread(_PROOF, "find_lagging", level.size, *args)
        return int(self.host(count)[0])

    def doubtful(
        self,
        level: Level,
        v: NDArray[np.float64],
        longest: float,
        least: float,
        mask: NDArray[np.bool_],
    ) -> tuple[int, float]:
        assert isinstance(level, CudaLevel)
        found = level.zeros(self.xp, 2, np.uint64)
        self._prove("doubtful", level, level.inverse, v, float(longest), least, mask, found)
        largest, count = self.host(found)
        return int(count), float(largest.view(np.float64))

    def factor(
        self,
        level: Level,
        v: NDArray[np.float64],
        w: NDArray[np.float64],
        r: NDArray[Any],
        mask: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        assert isinstance(level, CudaLevel)
        bits = level.zeros(self.xp, 1, np.uint64)
        self._prove("factor", level, v, w, r, mask, bits, len(r))
        factor: NDArray[np.float64] = bits.view(np.float64)
        return factor

    def bound(
        self,
        level: Level,
        v: NDArray[np.float64],
        w: NDArray[np.float64],
        r: NDArray[Any],
        factor: float,
    ) -> tuple[NDArray[np.float64], float] | None:
        assert isinstance(level, CudaLevel)
        bound: NDArray[np.float64] = self.xp.empty(level.size)
        found = level.zeros(self.xp, 2, np.uint64)
        self._prove("bound", level, v, w, r, factor, bound, found, len(r))
        largest, failed = self.host(found)
        return None if failed else (bound, float(largest.view(np.float64)))

    def _prove(self, op: str, level: CudaLevel, *args: Any) -> None:
        kernel = f"{level.kind}_{op}"
        self._spread(_PROOF, kernel, level.size, *level.parts, level.size, *args)
