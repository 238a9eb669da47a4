"""Ops of the backend `cuda` on input values."""

from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cuda.cupy_device import BLOCK
from hdseg_gpu.backends.cuda.kernels import CudaKernels, suffix
from hdseg_gpu.core.classes import Classes
from hdseg_gpu.core.values import StackExtremes, in_memory_order, unsigned

_FILE = "values.cu"


class CudaValueOps(CudaKernels):
    """Allocates, launches, returns; waits once if an op returns values in host memory."""

    def mark_present(self, values: Classes, found: NDArray[np.uint8]) -> None:
        self._spread(
            "planes.cu", f"mark_present_{suffix(values)}", values.size, values, values.size, found
        )

    def extremes(self, values: NDArray[Any]) -> tuple[Any, Any]:
        ordered = in_memory_order(values)
        if not ordered.flags.c_contiguous:
            ordered = self.xp.ascontiguousarray(ordered)
        lowest, highest, *_ = self._extremes(ordered.reshape(1, 1, -1))
        return lowest, highest

    def stack_extremes(self, stack: NDArray[Any]) -> StackExtremes:
        return StackExtremes(*map(float, self._extremes(stack)))

    def normalise(
        self, stack: NDArray[Any], softmax: bool, out: NDArray[np.float32], first: int
    ) -> None:
        kind, args = _kernel_args(stack)
        flat = out.reshape(-1)[first:]
        op = "softmax" if softmax else "normalise"
        self._spread(_FILE, f"{op}_{kind}", args[1], *args, flat, out.shape[1])

    def occurring(self, labels: NDArray[Any], low: int, span: int) -> NDArray[np.bool_]:
        flat, least = _typed(labels, low)
        found = self.xp.zeros(span, np.uint8)
        self._spread(
            _FILE, f"mark_occurring_{_suffix(flat)}", flat.size, flat, flat.size, least, found
        )
        return self.host(found).view(np.bool_)

    def recoded(self, labels: NDArray[Any], low: int, table: NDArray[Any]) -> NDArray[Any]:
        flat, least = _typed(labels, low)
        codes: NDArray[Any] = self.xp.empty(labels.shape, table.dtype)
        self._spread(
            _FILE, f"recode_{_suffix(flat)}_{_suffix(table)}", flat.size,
            flat, flat.size, least, self.xp.asarray(table), codes,
        )  # fmt: skip
        return codes

    def _extremes(self, stack: Any) -> tuple[Any, Any, Any, Any]:
        """Return the least and greatest value and sum; the host combines those of the blocks."""
        kind, args = _kernel_args(stack)
        blocks = min(-(-args[1] // BLOCK), self.device.most_blocks)
        parts = self.xp.empty((blocks, 5), _SUMS.get(kind, stack.dtype))
        self.device.launch(_FILE, f"stack_extremes_{kind}", (blocks,), (BLOCK,), (*args, parts))
        lowest, highest, least, most, odd = self.host(parts).T
        if odd.any():  # NaN is not 0
            return nan, nan, nan, nan
        return lowest.min().item(), highest.max().item(), least.min().item(), most.max().item()


# The types in which narrow types are computed.
_SUMS = {"u8": np.uint32, "u16": np.uint32, "f16": np.float32}


def _suffix(array: Any) -> str:
    """Return how the kernels for arrays of this type end, with a sign or without: "i32", "u8"."""
    dtype = np.dtype(array.dtype)
    return f"{dtype.kind}{8 * dtype.itemsize}"


def _kernel_args(stack: Any) -> tuple[str, tuple[Any, ...]]:
    """Return a stack's suffix, and the stack as kernels take it."""
    outer, count, inner = stack.shape
    kind = _suffix(stack)
    values = stack.view(np.uint16) if kind == "f16" else stack
    return kind, (values, outer * inner, count, inner)


def _typed(labels: Any, low: int) -> tuple[Any, Any]:
    """Return labels without a sign, in a row, and `low` in their type."""
    flat, least = unsigned(labels, low)
    return flat, np.dtype(flat.dtype).type(least)
