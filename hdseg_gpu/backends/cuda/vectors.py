"""Ops of the backend `cuda` on columns."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cuda.cupy_device import BLOCK
from hdseg_gpu.backends.cuda.kernels import CudaKernels
from hdseg_gpu.backends.cuda.layout import PADDING, CudaLevel, blocks_of_sums
from hdseg_gpu.backends.cuda.structs import address
from hdseg_gpu.ops import Level, SmallCycle, Work

# Columns per thread, as in kernels/cuda/level.cu.
_TOGETHER = 4
# Entries of a level that one block processes about as fast as kernels are launched, and the threads
# of this block, as in kernels/cuda/level.cu.
_SMALL, _SMALL_BLOCK = 4096, 512


class CudaVectorOps(CudaKernels):
    """Allocates, launches, returns; waits only if an op returns values in host memory."""

    def step(
        self,
        level: Level,
        p: NDArray[Any],
        q: NDArray[Any],
        energy: NDArray[np.float64],
        x: NDArray[np.float64],
        r: NDArray[Any],
    ) -> None:
        assert isinstance(level, CudaLevel)
        columns = len(p)
        if columns == 0 or level.size == 0:
            return
        sums = level.sums(self.xp, columns)
        self._sum_rows(
            "look_ahead", level, p, r, q, sums.parts, sums.arrived, energy, sums.factor,
            columns=columns,
        )  # fmt: skip
        blocks = min(-(-level.size // BLOCK), self.device.most_blocks)
        self.device.launch(
            "vectors.cu", "advance", (blocks, columns), (BLOCK,),
            (sums.factor, p, q, level.size, p.shape[1], x, r),
        )  # fmt: skip

    def refresh(
        self, level: Level, b: NDArray[Any], x: NDArray[np.float64], r: NDArray[Any]
    ) -> NDArray[np.float64]:
        assert isinstance(level, CudaLevel)
        columns = len(r)
        if columns == 0 or level.size == 0:
            return np.zeros((3, columns))
        sums, found = level.sums(self.xp, columns), self.xp.empty((3, columns))
        self._sum_rows(
            "refresh", level, level.inverse, b, x, r, sums.parts, sums.arrived, sums.worst, found,
            columns=columns,
        )  # fmt: skip
        return self.host(found)

    def _sum_rows(self, op: str, level: CudaLevel, *arrays: Any, columns: int) -> None:
        """Start a kernel that sums over all rows, with as many blocks on every card."""
        grid = (blocks_of_sums(level.size), -(-columns // _TOGETHER))
        args = (*level.parts, level.size, *arrays, columns)
        self.device.launch("level.cu", f"{level.kind}_{op}", grid, (BLOCK,), args)

    def residual(
        self, level: Level, b: NDArray[Any], x: NDArray[np.float64], out: NDArray[Any]
    ) -> None:
        self._on_rows("residual", level, b, x, out)

    def restrict(
        self,
        level: Level,
        aggregate: NDArray[np.int32],
        r: NDArray[Any],
        x: NDArray[Any],
        coarse: NDArray[Any],
    ) -> None:
        assert isinstance(level, CudaLevel)
        assert level.members is not None
        start, member = level.members
        aggregates, n = len(start) - 1, level.size
        if level.kind == "sparse":
            self._on_columns(
                "sparse_restrict", n,
                *level.parts, n, level.inverse, start, member, aggregates, r, x, coarse,
                columns=len(r),
            )  # fmt: skip
            return
        rest = level.room(self.xp, len(r))
        self._on_columns(
            "stencil_restrict", n, *level.parts, n, level.inverse, r, x, rest, columns=len(r)
        )
        self._on_columns(
            "add_members", aggregates,
            start, member, aggregates, rest, n, coarse, columns=len(r),
        )  # fmt: skip

    def prolong(
        self,
        level: Level,
        aggregate: NDArray[np.int32],
        r: NDArray[Any],
        coarse: NDArray[Any],
        x: NDArray[Any],
        out: NDArray[Any],
    ) -> None:
        assert isinstance(level, CudaLevel)
        aggregates = coarse.shape[1] - 2 * PADDING
        self._on_rows("prolong", level, level.inverse, aggregate, r, coarse, aggregates, x, out)

    def _on_rows(self, op: str, level: Level, *arrays: Any) -> None:
        assert isinstance(level, CudaLevel)
        self._on_columns(
            f"{level.kind}_{op}", level.size, *level.parts, level.size, *arrays,
            columns=len(arrays[-1]),
        )  # fmt: skip

    def _on_columns(self, kernel: str, count: int, *args: Any, columns: int) -> None:
        """Start a kernel with a thread for each item of a few columns."""
        if count > 0 and columns > 0:
            blocks = min(-(-count // BLOCK), self.device.most_blocks)
            grid = (blocks, -(-columns // _TOGETHER))
            self.device.launch("level.cu", kernel, grid, (BLOCK,), (*args, columns))

    def small_cycle(
        self,
        levels: Sequence[Level],
        aggregates: Sequence[NDArray[np.int32]],
        inverse: NDArray[np.float64],
        work: Sequence[Work],
    ) -> SmallCycle | None:
        sizes = [level.size for level in levels]
        first = next((i for i, size in enumerate(sizes) if size <= _SMALL), len(sizes))
        if first == len(sizes):
            return None
        table = []
        for i in range(first, len(levels)):
            level, (r, x, step) = levels[i], work[i]
            assert isinstance(level, CudaLevel)
            below: tuple[Any, ...] = (inverse,)
            if i + 1 < len(levels):
                assert level.members is not None
                below = (level.inverse, *level.members, aggregates[i])
            table.append([level.size, *map(address, (*level.parts, *below))])
            table[-1] += [0] * (9 - len(table[-1])) + [*map(address, (r, step, x))]
        rows = self.xp.asarray(np.array(table, np.int64))

        def run(columns: int) -> None:
            args = (rows, len(table))
            self.device.launch("level.cu", "small_cycle", (columns,), (_SMALL_BLOCK,), args)

        return SmallCycle(first, run)

    def zeros(self, size: int, columns: int, dtype: Any = np.float32) -> NDArray[Any]:
        found: NDArray[Any] = self.xp.zeros((columns, size + 2 * PADDING), dtype)
        return found

    def body(self, columns: NDArray[Any]) -> NDArray[Any]:
        return columns[..., PADDING:-PADDING]

    def apply_inverse_diagonal(self, level: Level, r: NDArray[Any], out: NDArray[Any]) -> None:
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

    def largest(self, level: Level, x: NDArray[Any]) -> float:
        assert isinstance(level, CudaLevel)
        bits = level.zeros(self.xp, 1, np.uint32)
        blocks = blocks_of_sums(_extent(x)[0])  # few, since all write to one address
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
