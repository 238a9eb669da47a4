"""The part of the backend `cuda` that computes with columns."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cuda_device import BLOCK
from hdseg_gpu.backends.cuda_kernels import (
    PADDING,
    CudaKernels,
    CudaLevel,
    blocks_of_sums,
)
from hdseg_gpu.core.ops import Level


class CudaVectors(CudaKernels):
    """Allocates, launches, returns; nothing waits."""

    def zeros(self, size: int, columns: int, dtype: Any = np.float32) -> NDArray[Any]:
        found: NDArray[Any] = self.xp.zeros((columns, size + 2 * PADDING), dtype)
        return found

    def body(self, columns: NDArray[Any]) -> NDArray[Any]:
        return columns[..., PADDING:-PADDING]

    def relax(self, level: Level, r: NDArray[Any], out: NDArray[Any]) -> None:
        assert isinstance(level, CudaLevel)
        self._over("relax_f32", r, level.inverse, r, *_extent(r), out)

    def conjugate(
        self,
        level: Level,
        z: NDArray[Any],
        q: NDArray[Any],
        energy: NDArray[np.float64],
        p: NDArray[Any],
    ) -> None:
        assert isinstance(level, CudaLevel)
        if z.size == 0 or level.size == 0:
            return
        sums, blocks = level.sums(self.xp, len(z)), blocks_of_sums(level.size)
        self._launch(
            "find_conjugate", (blocks, len(z)), z, q, energy, *_extent(z), sums.parts,
            sums.arrived, sums.factor,
        )  # fmt: skip
        self._over("conjugate", z, sums.factor, z, *_extent(z), p)

    def multiply(self, matrix: NDArray[np.float64], r: NDArray[Any], out: NDArray[Any]) -> None:
        self._over("multiply", r, matrix, r, *_extent(r), out)

    def dominance(self, level: Level) -> float:
        assert isinstance(level, CudaLevel)
        if level.size == 0:
            return 1.0
        found = level.zeros(self.xp, 1, np.uint32)
        blocks = blocks_of_sums(level.size)
        self._launch("dominance", (blocks, 1), level.parts[-1], level.inverse, level.size, found)
        (least,) = (~self.host(found)).view(np.float32)
        return min(float(least), 1.0)

    def largest(self, level: Level, x: NDArray[Any]) -> float:
        assert isinstance(level, CudaLevel)
        bits = level.zeros(self.xp, 1, np.uint32)
        blocks = blocks_of_sums(_extent(x)[0])  # few, as all write to one place
        self._over("largest_f32", x, x, *_extent(x), bits, blocks=blocks)
        (most,) = self.host(bits).view(np.float32)
        return float(most)

    def _over(self, kernel: str, x: NDArray[Any], *args: Any, blocks: int | None = None) -> None:
        """Start a kernel on the entries of columns like x; a row of blocks for each column."""
        if blocks is None:
            blocks = min(-(-_extent(x)[0] // BLOCK), self.device.most_blocks)
        self._launch(kernel, (blocks, len(x)), *args)

    def _launch(self, kernel: str, grid: tuple[int, int], *args: Any) -> None:
        if min(grid) > 0:
            self.device.launch("vectors.cu", kernel, grid, (BLOCK,), args)


def _extent(columns: NDArray[Any]) -> tuple[int, int]:
    """Return the number of entries, and the elements from one column to the next."""
    stride = columns.shape[1]
    return stride - 2 * PADDING, stride
