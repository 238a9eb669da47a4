"""One CUDA device through CuPy: its arrays, and the launch of kernels.

The only file that imports CuPy. Everything else of the backend is written against a ``Device``, so
that the same code runs on the tests' executor, which has no GPU.
"""

from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends import cuda_source

# No contraction to fused multiply-adds: every backend must round alike.
OPTIONS = ("--std=c++17", "--fmad=false")
# Threads of a block where a kernel does not care.
BLOCK = 256
_BLOCKS_PER_PROCESSOR = 32


class Device(Protocol):
    """Where kernels of kernels/cuda run."""

    xp: Any  # the namespace of its arrays: cupy
    most_blocks: int  # beyond which grid-stride loops take over

    def launch(
        self,
        file: str,
        kernel: str,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        args: tuple[Any, ...],
        shared: int = 0,
    ) -> None:
        """Start a kernel of kernels/cuda/`file` on the current stream.

        args: arrays, NumPy scalars, int (an int64_t) and float (a double).
        """

    def host(self, array: Any) -> NDArray[Any]:
        """Return an array's values in host memory, when they are there."""

    def sparse(self) -> tuple[Any, Any]:
        """Return what stands for scipy.sparse and scipy.sparse.linalg."""


class CudaDevice:
    """The current CUDA device."""

    def __init__(self) -> None:
        import cupy

        self.xp: Any = cupy
        properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.runtime.getDevice())
        self.most_blocks = _BLOCKS_PER_PROCESSOR * int(properties["multiProcessorCount"])

    def launch(
        self,
        file: str,
        kernel: str,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        args: tuple[Any, ...],
        shared: int = 0,
    ) -> None:
        function = _module(file).get_function(kernel)
        if shared > _SHARED_BY_DEFAULT:
            function.max_dynamic_shared_size_bytes = shared
        function(grid, block, tuple(map(_typed, args)), shared_mem=shared)

    def host(self, array: Any) -> NDArray[Any]:
        values: NDArray[Any] = self.xp.asnumpy(array)
        return values

    def sparse(self) -> tuple[Any, Any]:
        from cupyx.scipy import sparse
        from cupyx.scipy.sparse import linalg

        return sparse, linalg


_SHARED_BY_DEFAULT = 48 << 10  # more must be asked for


@cache
def _module(file: str) -> Any:
    """Return the compiled file; CuPy keeps the cubins of all processes on disk."""
    import cupy

    return cupy.RawModule(code=cuda_source.source(file), options=OPTIONS)


def _typed(value: Any) -> Any:
    if isinstance(value, int):
        return np.int64(value)
    return np.float64(value) if type(value) is float else value
