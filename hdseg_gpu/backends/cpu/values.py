"""What input is checked with."""

from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cpu.kernels import CpuKernels
from hdseg_gpu.core.values import StackExtremes, in_memory_order, unsigned


class CpuValueOps(CpuKernels):
    """Allocates, calls, returns."""

    def extremes(self, values: NDArray[Any]) -> tuple[Any, Any]:
        ordered = in_memory_order(values)
        known = values.dtype.isnative and values.dtype.itemsize >= 4 and values.flags.aligned
        if not (known and ordered.flags.c_contiguous):
            return super().extremes(values)
        lowest, highest, odd = self._kernels.extremes(ordered.reshape(-1))
        return (lowest, highest) if odd == 0 else (nan, nan)

    def stack_extremes(self, stack: NDArray[Any]) -> StackExtremes:
        kernels = self._kernels
        found = (
            kernels.stack_extremes_of_halves(stack.view(np.uint16))
            if stack.dtype == np.float16
            else kernels.stack_extremes(stack)
        )
        lowest, highest, least, most, odd = map(float, found)
        return StackExtremes(*((lowest, highest) if odd == 0 else (nan, nan)), least, most)

    def normalise(
        self, stack: NDArray[Any], softmax: bool, out: NDArray[np.float32], first: int
    ) -> None:
        if stack.dtype == np.float16:
            self._kernels.normalise_halves(stack.view(np.uint16), softmax, out, first)
        else:
            self._kernels.normalise(stack, softmax, out, first)

    def occurring(self, labels: NDArray[Any], low: int, span: int) -> NDArray[np.bool_]:
        found = np.zeros(span, np.bool_)
        self._kernels.mark_occurring(*unsigned(labels, low), found.view(np.uint8))
        return found

    def recoded(self, labels: NDArray[Any], low: int, table: NDArray[Any]) -> NDArray[Any]:
        codes = np.empty(labels.shape, table.dtype)
        self._kernels.recode(*unsigned(labels, low), table, codes.reshape(-1))
        return codes
