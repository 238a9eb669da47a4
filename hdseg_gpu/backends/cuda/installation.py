"""Why CUDA devices cannot be used here, and descriptions of those that can."""

import ctypes
import os
from importlib import metadata
from importlib.util import find_spec

# Kernels need independent thread scheduling, which came with Volta.
_LEAST_CAPABILITY = 70
_INSTALL = (
    "`pip install 'hdseg_gpu[cuda13]'` (cuda12 for drivers before CUDA 13; in the source folder "
    '"." instead of hdseg_gpu)'
)


_opener: int | None = None  # the process that has opened a device
_loaded = False  # whether CuPy was found to work; only successes are remembered


def opened() -> None:
    """Remember that this process has opened a device."""
    global _opener  # noqa: PLW0603
    _opener = os.getpid()


def reason_after_fork() -> str | None:
    """Return why this process has lost its devices, or None; CUDA's own errors do not give it."""
    if _opener in (None, os.getpid()):
        return None
    return (
        "this process was forked from one that uses CUDA, and a fork does not take devices along; "
        "start it with multiprocessing's 'spawn' or 'forkserver'"
    )


def reason_against(number: int) -> str | None:
    """Return why device `number` cannot be used, with the remedy, or None."""
    return reason_after_fork() or reason_against_cupy() or _reason_against_device(number)


def reason_against_cupy() -> str | None:
    """Return what is missing, or None; the cheapest checks come first, CuPy is loaded last.

    Successes are remembered: reading the metadata of every installed distribution takes some
    50 ms.
    """
    global _loaded  # noqa: PLW0603
    if _loaded:
        return None
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "there is no NVIDIA driver here (libcuda.so.1); install one"
    if find_spec("cupy") is None:
        return f"CuPy is not installed; run {_INSTALL}"
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
    except Exception as error:  # any exception of CuPy's libraries
        said = str(error).strip().partition("\n")[0] or type(error).__name__
        return f"CuPy did not load ({said}); install the CUDA libraries with it, {_INSTALL}"
    _loaded = True
    return None


def cupy_wheels() -> list[str]:
    """Return the names of all distributions of CuPy that are installed."""
    names = {str(d.metadata["Name"] or "").lower() for d in metadata.distributions()}
    return sorted(n for n in names if n == "cupy" or n.startswith("cupy-cuda"))


def _reason_against_device(number: int) -> str | None:
    from cupy.cuda import nvrtc, runtime

    cause = ""
    try:
        count = int(runtime.getDeviceCount())
    except runtime.CUDARuntimeError as error:
        versions = runtime.driverGetVersion(), runtime.runtimeGetVersion()
        driver, wanted = (int(version) // 1000 for version in versions)
        if driver < wanted:
            other = ", or install hdseg_gpu[cuda12]" if driver == 12 else ""
            return (
                f"the driver supports CUDA {driver} and this CuPy needs CUDA {wanted}; update the "
                f"driver{other}"
            )
        count, cause = 0, f" ({error})"
    if number >= count:
        seen = os.environ.get("CUDA_VISIBLE_DEVICES")
        visible = "" if seen is None else f" with CUDA_VISIBLE_DEVICES={seen!r}"
        return f"the driver sees {count} devices{visible}{cause}, and device {number} is not one"
    properties = runtime.getDeviceProperties(number)
    capability = 10 * properties["major"] + properties["minor"]
    least = max(_LEAST_CAPABILITY, min(nvrtc.getSupportedArchs(), default=0))
    if capability < least:
        return (
            f"device {number} ({properties['name'].decode()}) has compute capability "
            f"{capability / 10}, and {least / 10} is the least that this CuPy compiles for; "
            "hdseg_gpu[cuda12] goes down to 7.0"
        )
    return None


def descriptions() -> list[dict[str, str]]:
    """Return name, memory and versions of each usable device."""
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
