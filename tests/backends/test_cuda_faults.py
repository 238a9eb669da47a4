"""Messages when the backend `cuda` is not usable, or fails; with a simulated CuPy."""

import builtins
import importlib.util
import sys
import types
from collections import Counter
from contextlib import nullcontext
from importlib import metadata

import numpy as np
import pytest

from hdseg_gpu import (
    BackendUnavailable,
    OutOfDeviceMemory,
    available_backends,
    backends,
    refine,
    release_device_memory,
)
from hdseg_gpu.backends import interop
from hdseg_gpu.backends.cuda import cupy_device, installation

IMAGE = np.random.default_rng(3).integers(0, 255, (40, 50, 3)).astype(np.uint8)
COARSE = np.eye(5, dtype=np.uint8)


class Error(RuntimeError):
    status = 719


@pytest.fixture(autouse=True)
def nothing_is_known_yet(monkeypatch):
    """What was found to be usable is remembered; of devices that are made up it must not be."""
    monkeypatch.setattr(installation, "_opener", None)
    monkeypatch.setattr(installation, "_loaded", False)
    monkeypatch.setattr(cupy_device, "_DEVICES", {})


def installed(monkeypatch, *wheels):
    made_up = [types.SimpleNamespace(metadata={"Name": name}) for name in wheels]
    monkeypatch.setattr(metadata, "distributions", lambda: made_up)


def cupy(
    monkeypatch, count=1, driver=13020, runtime=13020, nvrtc=lambda: (13, 0), major=9, minor=0
):
    """Put a CuPy in place that finds so many devices (or an error)."""
    capability = {"major": major, "minor": minor, "multiProcessorCount": 3}
    installed(monkeypatch, "numpy", "cupy-cuda13x")
    monkeypatch.setattr(installation.ctypes, "CDLL", lambda name: name)
    monkeypatch.setattr(installation, "find_spec", lambda name: name)

    def device_count():
        if isinstance(count, Exception):
            raise count
        return count

    modules = {
        "cupy": {"cuda": None},
        "cupy.cuda": {"MemoryPool": None},
        "cupy.cuda.nvrtc": {"getVersion": nvrtc, "getSupportedArchs": lambda: [75, 90]},
        "cupy.cuda.runtime": {
            "CUDARuntimeError": Error,
            "getDeviceCount": device_count,
            "driverGetVersion": lambda: driver,
            "runtimeGetVersion": lambda: runtime,
            "getDeviceProperties": lambda number: {"name": b"a card", **capability},
        },
    }
    for name, members in modules.items():
        module = types.ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    for name in ("nvrtc", "runtime"):
        setattr(sys.modules["cupy.cuda"], name, sys.modules[f"cupy.cuda.{name}"])
    sys.modules["cupy"].cuda = sys.modules["cupy.cuda"]


def reason():
    with pytest.raises(BackendUnavailable) as caught:
        backends.select("cuda")
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("backend='cuda' cannot run: ")
    assert text.endswith(", or use backend='cpu'.")
    assert "cuda" not in available_backends()
    assert backends.select("auto").name == "cpu"
    return text


def test_cupy_is_not_installed(monkeypatch):
    monkeypatch.setattr(installation.ctypes, "CDLL", lambda name: name)
    monkeypatch.setattr(installation, "find_spec", lambda name: None)
    assert "pip install 'hdseg_gpu[cuda13]'" in reason()
    with pytest.raises(BackendUnavailable, match="CuPy is not installed"):
        refine(IMAGE, COARSE, backend="cuda")


def test_no_driver(monkeypatch):
    cupy(monkeypatch)

    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(installation.ctypes, "CDLL", missing)
    assert "there is no NVIDIA driver here" in reason()


def test_two_wheels(monkeypatch):
    cupy(monkeypatch)
    installed(monkeypatch, "cupy-cuda12x", "numpy", "cupy-cuda13x")
    text = reason()
    assert "cupy-cuda12x and cupy-cuda13x are both installed" in text
    assert "pip uninstall cupy-cuda12x cupy-cuda13x" in text


def test_libraries_are_missing(monkeypatch):
    def absent():
        raise ImportError("libnvrtc.so.13: cannot open shared object file\nmore")

    cupy(monkeypatch, nvrtc=absent)
    text = reason()
    assert "libnvrtc.so.13" in text
    assert "hdseg_gpu[cuda13]" in text


def test_wrong_major_version(monkeypatch):
    cupy(monkeypatch, Error("cudaErrorInsufficientDriver"), driver=12080)
    text = reason()
    assert "the driver supports CUDA 12 and this CuPy needs CUDA 13" in text
    assert "hdseg_gpu[cuda12]" in text


def test_a_driver_that_no_cupy_goes_with(monkeypatch):
    cupy(monkeypatch, Error("cudaErrorInsufficientDriver"), driver=11040)
    assert "needs CUDA 13; update the driver, or use" in reason()


@pytest.mark.parametrize(("major", "minor", "least"), [(6, 1, 7.5), (7, 0, 7.5)])
def test_an_old_device(monkeypatch, major, minor, least):
    cupy(monkeypatch, major=major, minor=minor)
    text = reason()
    assert f"device 0 (a card) has compute capability {major}.{minor}, and {least}" in text
    assert "hdseg_gpu[cuda12]" in text


@pytest.mark.parametrize("count", [0, Error("cudaErrorNoDevice: no CUDA-capable device")])
def test_no_device(monkeypatch, count):
    cupy(monkeypatch, count)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    text = reason()
    assert "sees 0 devices with CUDA_VISIBLE_DEVICES=''" in text
    assert ("cudaErrorNoDevice" in text) == (count != 0)


def test_that_device_is_not_there(monkeypatch):
    cupy(monkeypatch, 2)
    with pytest.raises(BackendUnavailable, match=r"sees 2 devices.*, and device 5 is not one"):
        backends.load("cuda", 5)


@pytest.fixture
def asked(monkeypatch):
    """What is asked of a CuPy that has two devices, by name."""
    found = Counter()
    cupy(monkeypatch, 2)

    def count(owner, name):
        inner = getattr(owner, name)

        def counted(*arguments):
            found[name] += 1
            return inner(*arguments)

        monkeypatch.setattr(owner, name, counted)

    count(metadata, "distributions")
    count(sys.modules["cupy.cuda.runtime"], "getDeviceProperties")
    return found


def test_what_is_usable_is_inspected_once(asked):
    first = backends.load("cuda")
    once = dict(asked)
    assert once["distributions"] == 1
    for _ in range(5):
        assert backends.select("auto").device is first.device
        assert backends.reason_against("cuda") is None
    assert dict(asked) == once
    assert backends.load("cuda", 1).device.number == 1  # another device, the same CuPy
    assert asked["distributions"] == 1


def test_a_fork_is_noticed_where_a_device_is_known(asked, monkeypatch):
    backends.load("cuda")
    monkeypatch.setattr(installation.os, "getpid", lambda: -5)
    assert "forked" in reason()
    with pytest.raises(BackendUnavailable, match="forked"):
        interop.home_of(Foreign(3))


def test_what_is_missing_is_looked_for_again(asked, monkeypatch):
    monkeypatch.setattr(sys.modules["cupy.cuda.runtime"], "getDeviceCount", lambda: 0)
    for _ in range(2):
        assert "sees 0 devices" in reason()
    monkeypatch.setattr(sys.modules["cupy.cuda.runtime"], "getDeviceCount", lambda: 1)
    assert backends.select("auto").name == "cuda"

    def gone():
        raise Error("cudaErrorDevicesUnavailable")

    # A device that has failed no longer counts as usable.
    with pytest.raises(BackendUnavailable, match="nothing was returned"):
        raise backends.load("cuda").device._failed(Error("cudaErrorLaunchFailure"))
    monkeypatch.setattr(sys.modules["cupy.cuda.runtime"], "getDeviceCount", gone)
    assert "cudaErrorDevicesUnavailable" in reason()


def test_nothing_is_loaded_to_find_that_out(monkeypatch):
    """Whether there is a driver is known before CuPy is loaded, which takes a while."""
    monkeypatch.setattr(installation, "find_spec", lambda name: name)
    if importlib.util.find_spec("cupy") is None:
        pytest.skip("needs CuPy to be installed")
    original, loaded = builtins.__import__, []

    def watched(name, *args, **kwargs):
        loaded.append(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", watched)
    if "libcuda" in str(backends.reason_against("cuda")):
        assert not any(name.partition(".")[0] == "cupy" for name in loaded)


def test_info_shows_it(monkeypatch):
    from typer.testing import CliRunner

    from hdseg_gpu.cli import app

    monkeypatch.setattr(installation.ctypes, "CDLL", lambda name: name)
    monkeypatch.setattr(installation, "find_spec", lambda name: None)
    found = CliRunner().invoke(app, ["info", "--json"])
    assert found.exit_code == 0
    assert "CuPy is not installed" in found.output
    assert '"devices": []' in found.output


# ---- faults while it runs ----------------------------------------------------------------------


@pytest.fixture
def running(monkeypatch):
    """Return a CudaDevice, its pool, and the faults of a CuPy that is made up."""
    cupy(monkeypatch)
    pool = types.SimpleNamespace(
        limit=0, used=100, freed=0,
        used_bytes=lambda: pool.used, free_bytes=lambda: 50, malloc=None,
        total_bytes=lambda: pool.used + 50,
        get_limit=lambda: pool.limit, set_limit=lambda size: setattr(pool, "limit", size),
        free_all_blocks=lambda: setattr(pool, "freed", pool.freed + 1),
    )  # fmt: skip
    monkeypatch.setattr(cupy_device, "_pool", lambda number: pool)
    faults = {
        "compiler": type("CompileException", (Exception,), {}),
        "driver": type("CUDADriverError", (RuntimeError,), {"status": 214}),
        "memory": type("OutOfMemoryError", (MemoryError,), {}),
    }
    cuda = sys.modules["cupy.cuda"]
    for name, fault in faults.items():
        setattr(cuda, name, types.SimpleNamespace(**{fault.__name__: fault}))
    cuda.using_allocator = lambda malloc: nullcontext()
    cuda.Device = lambda number: nullcontext()
    cuda.runtime.memGetInfo = lambda: (1000, 2000)
    cuda.runtime.deviceSynchronize = lambda: None
    device = object.__new__(cupy_device.CudaDevice)
    device.xp, device.number, device.name = sys.modules["cupy"], 0, "a card"
    return device, pool, faults


def test_out_of_memory_is_ours(running):
    device, pool, faults = running
    with (
        pytest.raises(OutOfDeviceMemory, match=r"device 0 \(a card\).*max_device_memory="),
        device.here(),
    ):
        raise faults["memory"]("1 GiB")
    assert pool.freed == 1


def test_a_lost_device_is_named(running):
    device, _, faults = running
    for fault in (Error("cudaErrorLaunchFailure"), faults["driver"]("CUDA_ERROR_ECC")):
        with (
            pytest.raises(BackendUnavailable, match=f"{fault}; nothing was returned.*process"),
            device.here(),
        ):
            raise fault


def test_kernels_that_do_not_compile(running):
    device, _, faults = running
    with (
        pytest.raises(BackendUnavailable, match=r"cannot compile its kernels.*invalid value"),
        device.here(),
    ):
        raise faults["compiler"]("invalid value for --gpu-architecture\nmore")


def test_other_errors_pass(running):
    device, _, _ = running
    with pytest.raises(ZeroDivisionError), device.here():
        raise ZeroDivisionError


@pytest.mark.parametrize("kind", ["runtime", "driver"])
def test_out_of_memory_beside_the_pool(running, kind):
    """Pinned memory and modules need some, too."""
    device, _, faults = running
    fault = Error("cudaErrorMemoryAllocation") if kind == "runtime" else faults["driver"]("memory")
    fault.status = 2
    with pytest.raises(OutOfDeviceMemory, match="max_device_memory="), device.here():
        raise fault


def test_faults_of_libraries(running):
    """Thrust's are RuntimeErrors as ours might be; whether the device is lost is asked for."""
    device, _, _ = running
    with pytest.raises(RuntimeError, match="thrust") as caught, device.here():
        raise RuntimeError("thrust")
    assert not isinstance(caught.value, BackendUnavailable)

    def fails():
        raise Error("cudaErrorIllegalAddress")

    device.xp.cuda.runtime.deviceSynchronize = fails
    with pytest.raises(BackendUnavailable, match="thrust; nothing was returned"), device.here():
        raise RuntimeError("thrust")


def test_a_module_that_did_not_load_is_tried_again(running, monkeypatch):
    device, _, _ = running
    tries = []

    class Module:
        def __init__(self, code, options):
            assert "count_runs_u8" in code or "HDSEG_SEED_KERNELS" in code

        def compile(self):
            tries.append(1)
            if len(tries) == 1:
                raise Error("CUDA_ERROR_OUT_OF_MEMORY")

        def get_function(self, name):
            return lambda grid, block, args, shared_mem: tries.append(name)

    device.xp.RawModule = Module
    device.xp.cuda.Device = lambda number: nullcontext()
    monkeypatch.setattr(cupy_device, "_MODULES", {})
    cupy_device._function.cache_clear()
    with pytest.raises(Error):
        device.launch("runs.cu", "count_runs_u8", (1,), (32,), ())
    device.launch("runs.cu", "count_runs_u8", (1,), (32,), ())
    assert tries == [1, 1, "count_runs_u8"]
    cupy_device._function.cache_clear()


# ---- arrays of others ---------------------------------------------------------------------------


class Foreign:
    """Only what the protocol asks for."""

    def __init__(self, pointer):
        self.__cuda_array_interface__ = {"data": (pointer, False), "shape": (3,), "version": 3}


def test_where_arrays_of_others_live(monkeypatch):
    cupy(monkeypatch, 2)
    sys.modules["cupy.cuda.runtime"].pointerGetAttributes = lambda pointer: types.SimpleNamespace(
        device=pointer % 2
    )
    assert interop.home_of(Foreign(7)) == interop.Home("cuda", 1)
    assert interop.home_of(Foreign(0)) == interop.Home("cuda", 0)  # empty
    assert interop.home_of([1, 2]) == interop.home_of(IMAGE) == interop.Home()


def test_arrays_of_others_without_cupy(monkeypatch):
    monkeypatch.setattr(installation.ctypes, "CDLL", lambda name: name)
    monkeypatch.setattr(installation, "find_spec", lambda name: None)
    with pytest.raises(BackendUnavailable, match=r"type Foreign is on a CUDA device, and CuPy"):
        refine(Foreign(1), COARSE)


def test_memory_goes_back_to_its_device(running, monkeypatch):
    _, pool, _ = running
    monkeypatch.setattr(cupy_device, "_POOLS", {0: pool, 3: pool})
    release_device_memory()
    assert pool.freed == 2
    monkeypatch.delitem(sys.modules, "cupy")
    release_device_memory()  # nothing to do
    assert pool.freed == 2
