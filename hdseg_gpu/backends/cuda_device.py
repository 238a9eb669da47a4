"""One CUDA device through CuPy: its arrays, its memory, its faults, and the launch of kernels.

The only file that imports CuPy. Everything else of the backend is written against a ``Device``, so
that the same code runs on the tests' executor, which has no GPU.
"""

import ctypes
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import cache, partial
from importlib import metadata
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends import cuda_source
from hdseg_gpu.core.errors import BackendUnavailable, OutOfDeviceMemory

# No contraction to fused multiply-adds: every backend must round alike.
OPTIONS = ("--std=c++17", "--fmad=false")
# Threads of a block where a kernel does not care.
BLOCK = 256
_BLOCKS_PER_PROCESSOR = 32
_SHARE = 0.9  # of the free memory
# Bytes of shared memory for each block: more than the first must be asked for, and every card from
# compute capability 8.0 on has the second.
_SHARED_BY_DEFAULT = 48 << 10
_MOST_SHARED = 96 << 10
_INSTEAD = "or use backend='cpu'."


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

    def prepare(self, kernels: Iterable[tuple[str, str]]) -> None:
        """Begin to compile kernels, (file, name), that will be launched."""

    def host(self, array: Any) -> NDArray[Any]:
        """Return an array's values in host memory, when they are there."""

    def sparse(self) -> tuple[Any, Any]:
        """Return what stands for scipy.sparse and scipy.sparse.linalg."""

    def here(self, budget: int | None = None) -> AbstractContextManager[None]:
        """Make this the current device, with so many bytes; its faults become our errors."""

    def free_memory(self) -> int:
        """Return how many bytes arrays may still take."""

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

    def launch(
        self,
        file: str,
        kernel: str,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        args: tuple[Any, ...],
        shared: int = 0,
    ) -> None:
        function = _function(file, kernel, self.number, shared > _SHARED_BY_DEFAULT)
        function(grid, block, tuple(map(_typed, args)), shared_mem=shared)

    def prepare(self, kernels: Iterable[tuple[str, str]]) -> None:
        for file, kernel in kernels:
            _compiling(cuda_source.source(file, kernel), self.number)

    def host(self, array: Any) -> NDArray[Any]:
        values: NDArray[Any] = self.xp.asnumpy(array)
        return values

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
                pool.set_limit(size=0)  # that of the call before
                if budget is None:
                    budget = int(_SHARE * self.free_memory())
                limit = pool.used_bytes() + budget
                if pool.total_bytes() > limit:
                    pool.free_all_blocks()  # no limit keeps the pool from using what it has
                pool.set_limit(size=limit)
                yield
        except memory.OutOfMemoryError as error:
            _emptied(pool, self.number)
            raise OutOfDeviceMemory(
                f"backend='cuda' ran out of memory on device {self.number} ({self.name}): {error}; "
                f"free some, set max_device_memory=, {_INSTEAD}"
            ) from error
        except compiler.CompileException as error:
            raise BackendUnavailable(
                f"backend='cuda' cannot compile its kernels for device {self.number} ({self.name}):"
                f" {str(error).strip().splitlines()[0]}; install the CuPy that supports this "
                f"device, {_INSTEAD}"
            ) from error
        except (runtime.CUDARuntimeError, driver.CUDADriverError) as error:
            raise BackendUnavailable(
                f"backend='cuda' failed on device {self.number} ({self.name}): {error}; nothing "
                f"was returned. Start a new process, as this one may have lost the device, "
                f"{_INSTEAD}"
            ) from error

    def free_memory(self) -> int:
        pool = _pool(self.number)
        free, _ = self.xp.cuda.runtime.memGetInfo()
        free += pool.free_bytes()  # what it keeps for later
        limit = pool.get_limit()
        return int(min(free, limit - pool.used_bytes()) if limit else free)

    def sent(self, strips: list[NDArray[Any]], into: list[Any] | None) -> Iterator[Any]:
        cuda = self.xp.cuda
        current, sender = cuda.get_current_stream(), cuda.Stream(non_blocking=True)
        # Two of everything: one is filled while the other is read.
        shape = (max(map(len, strips)), *strips[0].shape[1:])
        pinned = [_pinned(shape, strips[0].dtype) for _ in range(2)]
        here = [self.xp.empty(shape, strips[0].dtype) for _ in range(2)] if into is None else []
        sent, used = ([cuda.Event(disable_timing=True) for _ in range(2)] for _ in range(2))
        for event in used:  # the memory may have been somebody else's until now
            event.record(current)

        def send(i: int) -> Any:
            slot, rows = i % 2, len(strips[i])
            sent[slot].synchronize()  # the strip before the last has left the pinned memory
            pinned[slot][:rows] = strips[i]
            target = here[slot][:rows] if into is None else into[i]
            sender.wait_event(used[slot])
            target.set(pinned[slot][:rows], stream=sender)
            sent[slot].record(sender)
            return target

        coming = send(0)
        for i in range(len(strips)):
            arrived = coming
            if i + 1 < len(strips):
                coming = send(i + 1)
            current.wait_event(sent[i % 2])
            yield arrived
            used[i % 2].record(current)
        sender.synchronize()  # pinned memory goes back now


def open_device(number: int = 0) -> CudaDevice:
    """Return a CUDA device, or raise BackendUnavailable with the cause and the remedy."""
    cause = _reason_against_installation() or _reason_against_device(number)
    if cause:
        raise BackendUnavailable(f"backend='cuda' cannot run: {cause}, {_INSTEAD}")
    return CudaDevice(number)


def descriptions() -> list[dict[str, str]]:
    """Return name, memory and versions of each device, where ``open_device`` works."""
    from cupy.cuda import runtime

    driver, cuda = runtime.driverGetVersion(), runtime.runtimeGetVersion()
    found = []
    for number in range(runtime.getDeviceCount()):
        properties = runtime.getDeviceProperties(number)
        found.append(
            {
                "name": properties["name"].decode(),
                "GiB": f"{properties['totalGlobalMem'] / 2**30:.1f}",
                "compute capability": f"{properties['major']}.{properties['minor']}",
                "driver's CUDA": f"{driver // 1000}.{driver % 1000 // 10}",
                "CuPy's CUDA": f"{cuda // 1000}.{cuda % 1000 // 10}",
            }
        )
    return found


def cupy_wheels() -> list[str]:
    """Return the names of all distributions of CuPy that are installed."""
    names = {str(d.metadata["Name"] or "").lower() for d in metadata.distributions()}
    return sorted(n for n in names if n == "cupy" or n.startswith("cupy-cuda"))


def _reason_against_installation() -> str | None:
    """Return what is missing, or None; the cheapest questions first, CuPy is loaded last."""
    if find_spec("cupy") is None:
        return "CuPy is not installed; run `pip install 'hdseg_gpu[cuda13]'` (or cuda12)"
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "there is no NVIDIA driver here (libcuda.so.1); install one"
    wheels = cupy_wheels()
    if len(wheels) > 1:
        return (
            f"{' and '.join(wheels)} are both installed and share the folder cupy; run "
            f"`pip uninstall {' '.join(wheels)}` and install one of them"
        )
    try:
        import cupy  # noqa: F401
        from cupy.cuda import nvrtc

        nvrtc.getVersion()
    except Exception as error:  # CuPy raises what its libraries make it raise
        cause = str(error).strip().splitlines()
        return (
            f"CuPy did not load ({cause[0] if cause else type(error).__name__}); install the "
            "CUDA libraries with it, `pip install 'hdseg_gpu[cuda13]'` (or cuda12 for drivers "
            "before CUDA 13)"
        )
    return None


def _reason_against_device(number: int) -> str | None:
    from cupy.cuda import runtime

    cause = ""
    try:
        count = int(runtime.getDeviceCount())
    except runtime.CUDARuntimeError as error:
        driver, wanted = (
            int(v()) // 1000 for v in (runtime.driverGetVersion, runtime.runtimeGetVersion)
        )
        if driver < wanted:
            return (
                f"the driver supports CUDA {driver} and this CuPy needs CUDA {wanted}; update the "
                f"driver, or install hdseg_gpu[cuda{driver}]"
            )
        count, cause = 0, f" ({error})"
    if number >= count:
        seen = os.environ.get("CUDA_VISIBLE_DEVICES")
        visible = "" if seen is None else f" with CUDA_VISIBLE_DEVICES={seen!r}"
        return f"the driver sees {count} devices{visible}{cause}, and device {number} is not one"
    return None


def device_of(array: Any) -> int:
    """Return the number of the device that an array with __cuda_array_interface__ is on."""
    cause = _reason_against_installation()
    if cause:
        raise BackendUnavailable(
            f"an array of the type {type(array).__name__} is on a CUDA device, and {cause}, or "
            "copy it to host memory."
        )
    from cupy.cuda import runtime

    pointer, _ = array.__cuda_array_interface__["data"]
    return int(runtime.pointerGetAttributes(pointer).device) if pointer else 0


def downloaded(array: Any) -> NDArray[Any]:
    """Return the copy of an array with __cuda_array_interface__ in host memory."""
    import cupy

    with cupy.cuda.Device(device_of(array)):
        found: NDArray[Any] = cupy.asnumpy(cupy.asarray(array))
    return found


def release() -> None:
    """Give the memory that the last calls have left in our pools back to the devices."""
    for number, pool in _POOLS.items():
        _emptied(pool, number)


def _emptied(pool: Any, number: int) -> None:
    """Give what a pool keeps for later back; CuPy's pools do that for the current device."""
    import cupy

    with cupy.cuda.Device(number):
        pool.free_all_blocks()


def uploaded(array: NDArray[Any], number: int) -> Any:
    """Return an array's copy on a device."""
    import cupy

    with cupy.cuda.Device(number):
        return cupy.asarray(array)


_POOLS: dict[int, Any] = {}  # by the number of the device


def _pool(number: int) -> Any:
    """Return the memory pool of this package: its limit concerns nobody else's arrays."""
    if number not in _POOLS:
        from cupy.cuda import MemoryPool

        _POOLS[number] = MemoryPool()
    return _POOLS[number]


def _allocated(pool: Any, out_of_memory: type[Exception], size: int) -> Any:
    """Return memory of a pool. What it keeps for later counts, too, so that has to go first."""
    try:
        return pool.malloc(size)
    except out_of_memory:
        pool.free_all_blocks()
        return pool.malloc(size)


def _pinned(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    from cupyx import empty_pinned

    pinned: NDArray[Any] = empty_pinned(shape, dtype)
    return pinned


@cache
def _function(file: str, kernel: str, number: int, much_shared: bool) -> Any:
    """Return a kernel for a device; CuPy keeps the cubins of all processes on disk."""
    module = _compiling(cuda_source.source(file, kernel), number).result()
    function = module.get_function(kernel)
    if much_shared:
        function.max_dynamic_shared_size_bytes = _MOST_SHARED
    return function


@cache
def _compilers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="hdseg-compiler")


@cache
def _compiling(text: str, number: int) -> Future[Any]:
    """Return the module that a text becomes; the compiler runs beside everything else."""

    def compiled() -> Any:
        import cupy

        with cupy.cuda.Device(number):
            module = cupy.RawModule(code=text, options=OPTIONS)
            module.compile()
        return module

    return _compilers().submit(compiled)


def _typed(value: Any) -> Any:
    if isinstance(value, int):
        return np.int64(value)
    return np.float64(value) if type(value) is float else value
