"""The card on which benchmarks.gpu runs: its description, and its copy bandwidth."""

import hashlib
import os
import platform
import subprocess
from contextlib import suppress
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

import hdseg_gpu
from benchmarks.gpu_runner import Runner
from benchmarks.gpu_table import Row, Rows, Skip, Timing
from hdseg_gpu.backends.cuda import source as cuda_source

Measured = tuple[Timing, dict[str, Any]]
_LIBRARIES = ("hdseg_gpu", "numpy", "scipy", "cupy-cuda12x", "cupy-cuda13x", "cucim-cu12",
              "cucim-cu13", "torch")  # fmt: skip
_QUERY = ("name,driver_version,memory.total,clocks.sm,clocks.mem,clocks.max.sm,clocks.max.mem,"
          "power.limit,ecc.mode.current,mig.mode.current,persistence_mode")  # fmt: skip
# deviceGetAttribute: what CUDA's headers call cudaDevAttr...
_ATTRIBUTES = {"clock [kHz]": 13, "memory clock [kHz]": 36, "memory bus [bit]": 37,
               "L2 cache [bytes]": 38}  # fmt: skip


def describe(run: Runner) -> dict[str, Any]:
    """Return host, card and versions; values that cannot be read are left out."""
    found: dict[str, Any] = {
        "date": str(date.today()),
        "backend": run.backend,
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "Python": platform.python_version(),
        "source": source_digest(),
    }
    for library in _LIBRARIES:
        with suppress(PackageNotFoundError):
            found[library] = version(library)
    if run.on_device:
        with suppress(Exception):
            found["card"] = _card()
        with suppress(Exception):
            found["nvidia-smi"] = _smi()
    return found


def source_digest() -> str:
    """Return a digest of all files of the package, CUDA kernels included."""
    digest = hashlib.sha256()
    folder = Path(hdseg_gpu.__file__).parent
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.read_bytes())
    for name in cuda_source.names():
        digest.update(cuda_source.source(name).encode())
    return digest.hexdigest()[:12]


def comparable(described: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a description that all figures of one table must share."""
    card = described.get("card", {})
    return {
        "backend": described["backend"],
        "card": card.get("name", described["processor"]),
        "CuPy": card.get("CuPy"),
        "driver's CUDA": card.get("driver's CUDA"),
        "source": described["source"],
    }


def sentence(described: dict[str, Any]) -> str:
    """Return the description in one line."""
    return ", ".join(
        f"{key} ({', '.join(f'{k} {v}' for k, v in value.items())})"
        if isinstance(value, dict)
        else f"{key} {value}"
        for key, value in described.items()
    )


def bandwidths(run: Runner, rows: Rows) -> Row:
    """Measure the card's copy bandwidths; return the row with which others are compared."""

    def copy() -> Measured:
        size = min(4 << 30, _free(run) // 4)
        source = run.xp.zeros(size, np.uint8)
        target = run.xp.empty_like(source)
        timing = run.by_events(lambda: run.xp.copyto(target, source))
        rate = 2 * size / timing.seconds / 1e9
        return timing, {"rate": rate, "unit": "GB/s", "GiB": size / 2**30, "counted": "both ways"}

    def over(pinned: bool) -> Measured:
        size = min(1 << 30, _free(run) // 4)
        if pinned:
            from cupyx import empty_pinned

            host = empty_pinned((size,), np.uint8)
        else:
            host = np.empty(size, np.uint8)
        host.fill(1)
        target = run.xp.empty(size, np.uint8)
        timing = run.timed(lambda: target.set(host))
        return timing, {"rate": size / timing.seconds / 1e9, "unit": "GB/s"}

    row = rows.measure("copy", "device to device, CUDA events", None, copy)
    rows.measure("copy", "host to device, pinned memory", None, lambda: over(True))
    rows.measure("copy", "host to device, pageable memory", None, lambda: over(False))
    run.let_go()
    return row


def _free(run: Runner) -> int:
    """Return the bytes that are free on the device."""
    if not run.on_device:
        raise Skip("needs a CUDA device")
    from cupy.cuda import runtime

    return int(runtime.memGetInfo()[0])


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    with suppress(OSError):
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(": ")[2]
    return platform.processor() or platform.machine()


def _card() -> dict[str, Any]:
    import cupy
    from cupy.cuda import nvrtc, runtime

    properties = runtime.getDeviceProperties(0)
    driver, cuda = runtime.driverGetVersion(), runtime.runtimeGetVersion()
    found = {
        "name": properties["name"].decode(),
        "memory [bytes]": int(properties["totalGlobalMem"]),
        "multiprocessors": int(properties["multiProcessorCount"]),
        "compute capability": f"{properties['major']}.{properties['minor']}",
        "driver's CUDA": f"{driver // 1000}.{driver % 1000 // 10}",
        "CuPy's CUDA": f"{cuda // 1000}.{cuda % 1000 // 10}",
        "NVRTC": ".".join(map(str, nvrtc.getVersion())),
        "CuPy": cupy.__version__,
    }
    for name, attribute in _ATTRIBUTES.items():
        with suppress(Exception):
            found[name] = int(runtime.deviceGetAttribute(attribute, 0))
    return found


def _smi() -> dict[str, str]:
    """Return the output of nvidia-smi; it only queries the card."""
    answer = subprocess.run(
        ["nvidia-smi", "-i", "0", f"--query-gpu={_QUERY}", "--format=csv,noheader"],
        capture_output=True, text=True, check=True, timeout=30,
    ).stdout  # fmt: skip
    values = answer.strip().splitlines()[0].split(", ")
    return dict(zip(_QUERY.split(","), values, strict=False))
