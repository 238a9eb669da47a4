"""The description of the machine, and the folder of real images."""

import os
import platform
import sys
from contextlib import suppress
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from hdseg_gpu.backends.cpu import isa

# distribution name -> name shown
_LIBRARIES = {
    "numpy": "NumPy",
    "scipy": "SciPy",
    "pyamg": "pyamg",
    "opencv-python-headless": "OpenCV",
    "scikit-image": "scikit-image",
    "pymatting": "PyMatting",
}


def describe() -> str:
    """Return one line about the machine, its system, and the libraries."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(": ")[2] if names else model
    instruction_set, kernels = isa.load()
    parts = [
        f"{date.today()}",
        model,
        f"{os.cpu_count()} cores",
        f"instruction set {instruction_set}",
        f"{kernels.thread_count()} OpenMP threads",
        f"load {os.getloadavg()[0]:.1f}",
        f"Python {platform.python_version()}",
        f"hdseg_gpu {version('hdseg_gpu')}",
    ]
    for distribution, name in _LIBRARIES.items():
        with suppress(PackageNotFoundError):
            parts.append(f"{name} {version(distribution)}")
    return ", ".join(parts)


def data_folder() -> Path:
    """Return the folder of real images, or exit with the reason."""
    folder = Path(os.environ.get("HDSEG_DATA", "../shared/data"))
    if not (folder / "dev").is_dir():
        sys.exit(f"no real pictures at HDSEG_DATA={folder}")
    return folder
