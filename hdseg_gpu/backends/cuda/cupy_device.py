"""One CUDA device through CuPy: its arrays, its memory, its faults, and the launch of kernels.

Everything else of the backend is written against a ``Device``, so that the same code runs on the
tests' executor, which has no GPU.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import cache, partial
from time import sleep
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cuda import installation, source, transfer
from hdseg_gpu.backends.cuda.structs import packed
from hdseg_gpu.core.errors import BackendUnavailable, OutOfDeviceMemory

# No contraction to fused multiply-adds: every backend must round alike.
OPTIONS = ("--std=c++17", "--fmad=false")
# Threads of a block, for kernels that work with any number.
BLOCK = 256
_BLOCKS_PER_PROCESSOR = 32
# Fraction of the free memory that a pool may use: spilled registers, modules and CUDA's libraries
# need the rest.
_SHARE = 0.9
# Seconds to wait between attempts, if other processes have taken the memory in the meantime.
_PAUSES = (0.05, 0.2, 0.8)
_INSTEAD = "or use backend='cpu'."


class Device(Protocol):
    """A device that runs the kernels of kernels/cuda."""

    xp: Any  # the namespace of its arrays: cupy
    most_blocks: int  # upper bound; kernels loop over what is left

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

        args: arrays, NumPy scalars, int (an int64_t), float (a double), None (a null pointer), and
        tuples: structures, by value (``structs``).
        """

    def prepare(self, kernels: Iterable[tuple[str, str]]) -> None:
        """Start compiling kernels, (file, name), in the background."""

    def host(self, array: Any) -> NDArray[Any]:
        """Return an array's values in host memory; waits for the device."""

    def fetched(self, arrays: tuple[Any, ...]) -> tuple[NDArray[Any], ...]:
        """Return several arrays' values in host memory; waits once."""

    def sparse(self) -> tuple[Any, Any]:
        """Return the counterparts of scipy.sparse and scipy.sparse.linalg."""

    def here(self, budget: int | None = None) -> AbstractContextManager[None]:
        """Return a context in which this is the current device, with a budget in bytes.

        Errors of the device are raised as ours.
        """

    def free_memory(self) -> int:
        """Return the number of bytes that are free for arrays."""

    def sent(self, strips: list[NDArray[Any]], into: list[Any] | None) -> Iterator[Any]:
        """Yield parts of an image, each valid until the next but one is asked for.

        The next strip is on its way while kernels work on one. With `into`, an array for each of
        them, they stay.
        """


class CudaDevice:
    """A CUDA device by its number; see ``open_device``."""

    def __init__(self, number: int = 0) -> None:
        import cupy

        self.xp: Any = cupy
        self.number = number
        properties = cupy.cuda.runtime.getDeviceProperties(number)
        self.name = properties["name"].decode()
        self.most_blocks = _BLOCKS_PER_PROCESSOR * int(properties["multiProcessorCount"])
        installation.opened()

    def launch(
        self,
        file: str,
        kernel: str,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        args: tuple[Any, ...],
        shared: int = 0,
    ) -> None:
        function = _function(file, kernel, self.number)
        function(grid, block, tuple(map(_typed, args)), shared_mem=shared)

    def prepare(self, kernels: Iterable[tuple[str, str]]) -> None:
        for file, kernel in kernels:
            _compiling(source.source(file, kernel), self.number)

    def host(self, array: Any) -> NDArray[Any]:
        return transfer.fetched(self.xp, array)

    def fetched(self, arrays: tuple[Any, ...]) -> tuple[NDArray[Any], ...]:
        if len(arrays) == 1 or not transfer.are_small(arrays):
            return tuple(map(self.host, arrays))
        return transfer.fetched_together(self.xp, arrays)

    def sparse(self) -> tuple[Any, Any]:
        from cupyx.scipy import sparse
        from cupyx.scipy.sparse import linalg

        return sparse, linalg

    @contextmanager
    def here(self, budget: int | None = None) -> Iterator[None]:
        from cupy.cuda import compiler, driver, memory, runtime, using_allocator

        pool = _pool(self.number)
        try:
            allocate = partial(_allocated, pool, memory.OutOfMemoryError)
            with self.xp.cuda.Device(self.number), using_allocator(allocate):
                pool.set_limit(size=0)  # lift the limit of the previous call
                if budget is None:
                    budget = int(_SHARE * self.free_memory())
                limit = pool.used_bytes() + budget
                if pool.total_bytes() > limit:
                    pool.free_all_blocks()  # the limit does not apply to blocks that the pool holds
                pool.set_limit(size=limit)
                yield
                self._share(pool)
        except (memory.OutOfMemoryError, runtime.CUDARuntimeError, driver.CUDADriverError) as error:
            # Loading a module can fail for lack of memory, too, outside any pool.
            status = None if isinstance(error, memory.OutOfMemoryError) else error.status
            if status not in (None, transfer.NO_MEMORY):
                raise self._failed(error) from error
            _emptied(pool, self.number)
            raise OutOfDeviceMemory(
                f"backend='cuda' ran out of memory on device {self.number} ({self.name}): {error}; "
                f"free some, set max_device_memory=, {_INSTEAD}"
            ) from error
        except compiler.CompileException as error:
            said = str(error).strip().partition("\n")[0]
            raise BackendUnavailable(
                f"backend='cuda' cannot compile its kernels for device {self.number} ({self.name}):"
                f" {said}; install the CuPy that supports this device, {_INSTEAD}"
            ) from error
        except RuntimeError as error:  # raised by CUDA's libraries through CuPy
            if not self._is_lost():
                raise
            raise self._failed(error) from error

    def _share(self, pool: Any) -> None:
        """Free blocks of the pool if it holds more than is free on the device."""
        free, _ = self.xp.cuda.runtime.memGetInfo()
        if pool.free_bytes() > free:
            pool.free_all_blocks()

    def _failed(self, error: Exception) -> BackendUnavailable:
        _DEVICES.pop(self.number, None)  # so that other processes see that it is free
        return BackendUnavailable(
            f"backend='cuda' failed on device {self.number} ({self.name}): {error}; nothing was "
            f"returned. Start a new process, as this one may have lost the device, {_INSTEAD}"
        )

    def _is_lost(self) -> bool:
        runtime = self.xp.cuda.runtime
        try:
            runtime.deviceSynchronize()
        except runtime.CUDARuntimeError:
            return True
        return False

    def free_memory(self) -> int:
        pool = _pool(self.number)
        free, _ = self.xp.cuda.runtime.memGetInfo()
        free += pool.free_bytes()  # bytes held but not in use
        limit = pool.get_limit()
        return int(min(free, limit - pool.used_bytes()) if limit else free)

    def sent(self, strips: list[NDArray[Any]], into: list[Any] | None) -> Iterator[Any]:
        return transfer.sent(self.xp, strips, into)


_DEVICES: dict[int, CudaDevice] = {}  # devices found to be usable


def open_device(number: int = 0) -> CudaDevice:
    """Return a CUDA device, or raise BackendUnavailable with the cause and the remedy.

    A device found usable is not checked again until it fails: a check takes longer than a call.
    """
    known = number in _DEVICES
    ask = installation.reason_against
    cause = installation.reason_after_fork() if known else ask(number)
    if cause:
        raise BackendUnavailable(f"backend='cuda' cannot run: {cause}, {_INSTEAD}")
    if not known:
        _DEVICES[number] = CudaDevice(number)
    return _DEVICES[number]


def device_of(array: Any) -> int:
    """Return the number of the device that an array with __cuda_array_interface__ is on."""
    cause = installation.reason_after_fork() or installation.reason_against_cupy()
    if cause:
        raise BackendUnavailable(
            f"an array of the type {type(array).__name__} is on a CUDA device, and {cause}, or "
            "copy it to host memory."
        )
    from cupy.cuda import runtime

    installation.opened()
    pointer, _ = array.__cuda_array_interface__["data"]
    return int(runtime.pointerGetAttributes(pointer).device) if pointer else 0


def downloaded(array: Any) -> NDArray[Any]:
    """Return the copy of an array with __cuda_array_interface__ in host memory."""
    import cupy

    with cupy.cuda.Device(device_of(array)):
        found: NDArray[Any] = cupy.asnumpy(cupy.asarray(array))
    return found


def release() -> None:
    """Return the unused memory of our pools, and pinned memory, to the system."""
    for number, pool in _POOLS.items():
        _emptied(pool, number)
    transfer.release()


def _emptied(pool: Any, number: int) -> None:
    """Free the unused blocks of a pool; CuPy's pools do so for the current device."""
    import cupy

    with cupy.cuda.Device(number):
        pool.free_all_blocks()


def uploaded(array: NDArray[Any], number: int) -> Any:
    """Return an array's copy on a device."""
    import cupy

    with cupy.cuda.Device(number):
        return cupy.asarray(array)


_POOLS: dict[int, Any] = {}  # by device number


def _pool(number: int) -> Any:
    """Return the memory pool of this package; its limit does not affect other code's arrays."""
    if number not in _POOLS:
        from cupy.cuda import MemoryPool

        _POOLS[number] = MemoryPool()
    return _POOLS[number]


def _allocated(pool: Any, out_of_memory: type[Exception], size: int) -> Any:
    """Return memory of a pool.

    Unused blocks count towards its limit, so they are freed first. If the allocation fails below
    the limit, other processes have taken memory that was free when the limit was set: try again.
    """
    try:
        return pool.malloc(size)
    except out_of_memory:
        pool.free_all_blocks()
    for pause in _PAUSES:
        try:
            return pool.malloc(size)
        except out_of_memory:
            if 0 < pool.get_limit() < pool.total_bytes() + size:
                raise
        sleep(pause)
    return pool.malloc(size)


@cache
def _function(file: str, kernel: str, number: int) -> Any:
    """Return a kernel for a device; CuPy keeps the cubins of all processes on disk."""
    text = source.source(file, kernel)
    try:
        return _compiling(text, number).result().get_function(kernel)
    except BaseException:
        _MODULES.pop((text, number), None)  # there may be enough memory next time
        raise


_MODULES: dict[tuple[str, int], Future[Any]] = {}


def _compiling(text: str, number: int) -> Future[Any]:
    """Return the module compiled from a source text, by a thread of its own."""

    def compiled() -> Any:
        import cupy

        with cupy.cuda.Device(number):
            module = cupy.RawModule(code=text, options=OPTIONS)
            module.compile()
        return module

    if (text, number) not in _MODULES:
        _MODULES[text, number] = _compilers().submit(compiled)
    return _MODULES[text, number]


@cache
def _compilers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="hdseg-compiler")


def _typed(value: Any) -> Any:
    if isinstance(value, tuple):
        return packed(value)  # CuPy passes NumPy arrays by value
    if value is None:
        return np.uint64(0)
    if isinstance(value, int):
        return np.int64(value)
    return np.float64(value) if type(value) is float else value
