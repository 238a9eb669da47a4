"""The part of the backend `cuda` that computes with columns."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cuda_device import BLOCK
from hdseg_gpu.backends.cuda_kernels import PADDING, CudaKernels, CudaLevel, suffix
from hdseg_gpu.core.ops import Level

# Blocks that sum up one column: as many on every card, so that sums are the same bits.
_SUMMANDS = 1024


class CudaVectors(CudaKernels):
    """Allocates, launches, returns; nothing waits."""

    def zeros(self, size: int, columns: int, dtype: Any = np.float32) -> NDArray[Any]:
        found: NDArray[Any] = self.xp.zeros((columns, size + 2 * PADDING), dtype)
        return found

    def body(self, columns: NDArray[Any]) -> NDArray[Any]:
        return columns[..., PADDING:-PADDING]

    def relax(self, level: Level, r: NDArray[Any], out: NDArray[Any]) -> None:
        assert isinstance(level, CudaLevel)
        self._over("relax", r, level.inverse, r, *_extent(r), out)

    def dot(self, x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
        size, _ = _extent(x)
        blocks = max(1, min(-(-size // BLOCK), _SUMMANDS))
        parts: NDArray[np.float64] = self.xp.zeros((len(x), blocks))
        self._over("dot_parts", x, x, y, *_extent(x), parts, blocks=blocks)
        sums: NDArray[np.float64] = self._added(parts)
        return sums

    def combine(
        self,
        a: NDArray[np.float64],
        x: NDArray[Any],
        b: NDArray[np.float64],
        y: NDArray[Any],
        out: NDArray[Any],
    ) -> None:
        self._over("combine", x, a, x, b, y, *_extent(x), out)

    def advance(self, a: NDArray[np.float64], p: NDArray[Any], x: NDArray[np.float64]) -> None:
        self._over("advance", p, a, p, *_extent(p), x)

    def ratio(self, a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        quotient: NDArray[np.float64] = self.xp.empty(len(a))
        self._spread("vectors.cu", "ratio", len(a), a, b, len(a), quotient)
        return quotient

    def largest(self, x: NDArray[Any]) -> NDArray[Any]:
        bits = self.xp.zeros(len(x), np.uint32)
        blocks = min(-(-_extent(x)[0] // BLOCK), _SUMMANDS)  # few, as all write to one place
        self._over("largest", x, x, *_extent(x), bits, blocks=blocks)
        most: NDArray[Any] = bits.view(np.float32)
        return most

    def _over(self, kernel: str, x: NDArray[Any], *args: Any, blocks: int | None = None) -> None:
        """Start a kernel on the entries of columns like x; a row of blocks for each column."""
        if blocks is None:
            blocks = min(-(-_extent(x)[0] // BLOCK), self.device.most_blocks)
        self._launch(f"{kernel}_{suffix(x)}", (blocks, len(x)), *args)

    def _launch(self, kernel: str, grid: tuple[int, int], *args: Any) -> None:
        if min(grid) > 0:
            self.device.launch("vectors.cu", kernel, grid, (BLOCK,), args)


def _extent(columns: NDArray[Any]) -> tuple[int, int]:
    """Return the number of entries, and the elements from one column to the next."""
    stride = columns.shape[1]
    return stride - 2 * PADDING, stride
