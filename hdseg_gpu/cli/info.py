"""``hdseg info``."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import typer
from rich.table import Table

from hdseg_gpu import backends
from hdseg_gpu.backends.cpu import isa
from hdseg_gpu.cli.console import Json, Quiet, say, say_json
from hdseg_gpu.core.registry import BACKENDS

# distribution name -> what this package uses it for
_LIBRARIES = {
    "numpy": "arrays",
    "scipy": "proofs, solver 'direct', backend 'reference'",
    "pyamg": "solver 'amg'",
    "pillow": "PNG and JPEG files",
    "tifffile": "TIFF files",
    "cupy": "backend 'cuda'",
    "imagecodecs": "compressed TIFF and 16-bit colour PNG files (optional)",
}


def print_version(asked: bool) -> None:
    """Print the version and exit, if asked to."""
    if asked:
        say(f"hdseg_gpu {version('hdseg_gpu')}")
        raise typer.Exit


def info(quiet: Quiet = False, as_json: Json = False) -> None:
    """Print the version, the processor, the backends and the libraries found."""
    found: dict[str, Any] = {
        "version": version("hdseg_gpu"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "backends": {name: backends.reason_against(name) or "ready" for name in BACKENDS},
        "devices": _devices(),
        "libraries": {name: _version(name) for name in _LIBRARIES},
    }
    if as_json:
        say_json(found)
        return
    if quiet:
        return
    table = Table(show_header=False, box=None)
    for name in ("version", "python", "platform"):
        table.add_row(name, found[name])
    for name, value in found["cpu"].items():
        table.add_row(f"cpu: {name}", str(value))
    for number, device in enumerate(found["devices"]):
        table.add_row(f"cuda device {number}", ", ".join(f"{k} {v}" for k, v in device.items()))
    for name, state in found["backends"].items():
        table.add_row(f"backend {name}", state)
    for name, number in found["libraries"].items():
        table.add_row(f"library {name}", f"{number or 'not installed'} - {_LIBRARIES[name]}")
    say(table)


def _cpu() -> dict[str, Any]:
    cpu: dict[str, Any] = {"machine": platform.machine(), "cores": os.cpu_count()}
    try:
        found = isa.supported()
    except ImportError:
        return cpu
    chosen, kernels = isa.load()
    return cpu | {
        "threads": kernels.thread_count(),
        "instruction set": chosen,
        "instruction sets": ", ".join(found),
    }


def _devices() -> list[dict[str, str]]:
    """Return descriptions of the CUDA devices, if the backend `cuda` can run."""
    if backends.reason_against("cuda"):
        return []
    from hdseg_gpu.backends.cuda.installation import descriptions

    return descriptions()


def _version(name: str) -> str | None:
    if name == "cupy":  # its distributions have the CUDA version in their names
        from hdseg_gpu.backends.cuda.installation import cupy_wheels

        return ", ".join(f"{wheel} {version(wheel)}" for wheel in cupy_wheels()) or None
    try:
        return version(name)
    except PackageNotFoundError:
        return None
