"""Stand-ins for cupy and cupyx on the tests' executor, as far as benchmarks and tests use them.

Arrays are the executor's, the clock is the host's, and all operations are synchronous. Missing
names raise ``NotOnExecutor``; tests/benchmarks/test_gpu_names.py compares the names with CuPy's.
"""

import sys
from time import perf_counter
from types import ModuleType
from typing import Any

import numpy as np
from scipy import ndimage

MEMORY = 1 << 26  # simulated free bytes: timed copies take a quarter of them
installed = False  # whether it is installed in this process


class NotOnExecutor(Exception):
    """Something needs CuPy itself."""


class Device:
    """The only device."""

    def __init__(self, number: int = 0) -> None:
        if number != 0:
            raise NotOnExecutor(f"device {number}")
        self.id = number

    def __enter__(self) -> "Device":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def synchronize(self) -> None:
        """Wait for nothing."""


class Stream:
    """A stream in which calls are synchronous."""

    def __init__(self, null: bool = False, non_blocking: bool = False) -> None:
        pass

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def synchronize(self) -> None:
        """Wait for nothing."""


def _current() -> Stream:
    return Stream()


class Event:
    """An event on the host's clock."""

    def __init__(self, block: bool = False, disable_timing: bool = False) -> None:
        self.moment = 0.0

    def record(self, stream: Stream | None = None) -> None:
        """Record the time."""
        self.moment = perf_counter()

    def synchronize(self) -> None:
        """Wait for nothing."""


class MemoryPool:
    """A pool that holds nothing: the executor's arrays are NumPy's."""

    def total_bytes(self) -> int:
        """Return what it holds."""
        return 0

    def free_all_blocks(self) -> None:
        """Give nothing back."""


class MemoryHook:
    """A hook that is called for allocations, for all of them at its end."""

    name = "MemoryHook"

    def __enter__(self) -> "MemoryHook":
        from executor.arrays import counted

        self._counting = counted()
        self._counts = self._counting.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._counting.__exit__(*error)
        for (kind, *_), count in self._counts.items():
            for _ in range(count if kind == "allocation" else 0):
                self.malloc_preprocess(device_id=0, size=0, mem_size=0, pool_id=0)

    def malloc_preprocess(self, **options: int) -> None:
        """Handle an allocation."""


class Memory:
    """Memory that nobody asks for: the executor's arrays are NumPy's."""

    def __init__(self, size: int) -> None:
        raise NotOnExecutor("the executor has no memory of its own")


class MemoryPointer:
    """A place in it."""


class Runtime:
    """cupy.cuda.runtime."""

    def deviceSynchronize(self) -> None:  # noqa: N802
        """Wait for nothing."""

    def free(self, pointer: int) -> None:
        """Make no context."""

    def memGetInfo(self) -> tuple[int, int]:  # noqa: N802
        """Return free bytes and all."""
        return MEMORY, MEMORY

    def getDeviceCount(self) -> int:  # noqa: N802
        """Return 1."""
        return 1

    def getDeviceProperties(self, number: int) -> dict[str, Any]:  # noqa: N802
        """Return what is asked for anywhere."""
        return {"name": b"executor", "totalGlobalMem": MEMORY, "multiProcessorCount": 1,
                "major": 9, "minor": 0}  # fmt: skip

    def driverGetVersion(self) -> int:  # noqa: N802
        """Return a version of CUDA."""
        return 13000

    def runtimeGetVersion(self) -> int:  # noqa: N802
        """Return a version of CUDA."""
        return 13000

    def deviceGetAttribute(self, attribute: int, number: int) -> int:  # noqa: N802
        """Return something positive."""
        return 1

    def __getattr__(self, name: str) -> Any:
        raise _missing(f"cupy.cuda.runtime.{name}")


class _Module(ModuleType):
    """A module whose missing names raise ``NotOnExecutor``."""

    def __init__(self, name: str, **members: Any) -> None:
        super().__init__(name)
        vars(self).update(members, __path__=[], __spec__=None)

    def __getattr__(self, name: str) -> Any:
        raise _missing(f"{self.__name__}.{name}")


class _Cupy(_Module):
    """The module cupy: the executor's array functions, and some that only benchmarks need."""

    def __getattr__(self, name: str) -> Any:
        from executor.arrays import CONSTANTS, FUNCTIONS, namespace

        if name in FUNCTIONS or name in CONSTANTS or name in ("ndarray", "asnumpy"):
            return getattr(namespace, name)
        raise _missing(f"cupy.{name}")


def _missing(name: str) -> Exception:
    """Return the exception for a missing name; for dunders Python expects AttributeError."""
    if name.rpartition(".")[2].startswith("__"):
        return AttributeError(name)
    return NotOnExecutor(f"the executor has no {name}")


def _on_values(function: Any) -> Any:
    """Wrap a function of NumPy or SciPy for the executor's arrays."""
    from executor.arrays import DeviceArray

    def inside(value: Any) -> Any:
        return value.values if isinstance(value, DeviceArray) else value

    def on_device(*args: Any, **options: Any) -> Any:
        return DeviceArray(function(*map(inside, args), **options))

    return on_device


def modules() -> dict[str, ModuleType]:
    """Return the modules by their names in sys.modules."""
    runtime, pool = Runtime(), MemoryPool()
    nvrtc = _Module("cupy.cuda.nvrtc", getVersion=lambda: (13, 0))
    memory_hook = _Module("cupy.cuda.memory_hook", MemoryHook=MemoryHook)
    cuda = _Module(
        "cupy.cuda", Device=Device, Event=Event, Memory=Memory, MemoryPointer=MemoryPointer,
        MemoryPool=MemoryPool, Stream=Stream,
        get_current_stream=_current, get_elapsed_time=lambda a, b: 1000 * (b.moment - a.moment),
        memory_hook=memory_hook, nvrtc=nvrtc, runtime=runtime,
    )  # fmt: skip
    ndimage_of_cupyx = _Module(
        "cupyx.scipy.ndimage", binary_hit_or_miss=_on_values(ndimage.binary_hit_or_miss)
    )
    scipy_of_cupyx = _Module("cupyx.scipy", ndimage=ndimage_of_cupyx)
    found = (
        _Cupy("cupy", __version__="on the executor", cuda=cuda, pad=_on_values(np.pad),
              get_default_memory_pool=lambda: pool),
        cuda,
        memory_hook,
        nvrtc,
        _Module("cupyx", empty_pinned=np.empty, scipy=scipy_of_cupyx),
        scipy_of_cupyx,
        ndimage_of_cupyx,
    )  # fmt: skip
    return {module.__name__: module for module in found}


def install() -> None:
    """Make `import cupy` find this module, and backend="cuda" the executor, in this process."""
    from executor import ExecutorDevice
    from executor.arrays import DeviceArray

    from hdseg_gpu.backends.cuda import cupy_device, installation

    global installed  # noqa: PLW0603

    def not_here(array: Any) -> int:
        raise NotOnExecutor("the executor has no pointers")

    def set_values(self: Any, values: Any, stream: Stream | None = None) -> None:
        self.values[...] = values

    DeviceArray.__module__ = "cupy"  # by which CuPy's arrays are recognised
    if not hasattr(DeviceArray, "set"):
        DeviceArray.set = set_values
    device = ExecutorDevice("forward")
    device.most_blocks = 64
    sys.modules.update(modules())
    cupy_device.open_device = lambda number=0: device
    cupy_device.device_of = not_here
    installation.reason_against_cupy = lambda: None
    installed = True
