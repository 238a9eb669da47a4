"""What the figures were measured on, and where the real pictures are."""

import os
import platform
import sys
from datetime import date
from pathlib import Path


def describe() -> str:
    """Return one line about the machine and the libraries."""
    import numpy
    import pyamg
    import scipy

    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(": ")[2] if names else model
    return (
        f"{date.today()}, {model}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"NumPy {numpy.__version__}, SciPy {scipy.__version__}, pyamg {pyamg.__version__}"
    )


def data_folder() -> Path:
    """Return the folder of real pictures, or end the program with the reason."""
    folder = Path(os.environ.get("HDSEG_DATA", "../shared/data"))
    if not (folder / "dev").is_dir():
        sys.exit(f"no real pictures at HDSEG_DATA={folder}")
    return folder
