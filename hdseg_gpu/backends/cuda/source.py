"""The text of a CUDA kernel file with its headers inlined.

CuPy's compile cache is keyed by text and options and ignores included files, so there are none.
"""

import re
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

_INCLUDE = re.compile(r'\s*#include "([^"]+)"')
_ONCE = "#pragma once"
_MADE = re.compile(r"HDSEG_\w+\((.*)\)")
_TYPE = re.compile(r"\w+_t|float|double")


def kernels() -> Traversable:
    """Return the folder of the kernels: installed beside the package, or in the source tree."""
    installed = files("hdseg_gpu").joinpath("kernels")
    if installed.is_dir():
        return installed
    return Path(__file__).parents[3] / "kernels"


def names() -> list[str]:
    """Return the kernel files, such as "runs.cu"."""
    found = (path.name for path in kernels().joinpath("cuda").iterdir())
    return sorted(name for name in found if name.endswith(".cu"))


@cache
def source(name: str, kernel: str | None = None) -> str:
    """Return the text of cuda/`name`; errors and profiles show the lines of the files themselves.

    With a kernel's name, only the kernels of its types are kept: a line such as
    ``HDSEG_SEED_KERNELS(uint8_t, u8)`` stays if its suffixes are in that name. Compiling all types
    of a file can take a second.
    Standard headers stay as they are: common/portable.h includes them for other compilers only.
    """
    lines: list[str] = []
    _append(f"cuda/{name}", lines, set())
    if kernel is not None:
        parts = set(kernel.split("_"))
        lines = [line if _words(line) <= parts else "" for line in lines]
    return "\n".join(lines) + "\n"


def _words(line: str) -> set[str]:
    """Return the suffixes of the kernels that a line defines by a macro."""
    made = _MADE.fullmatch(line)
    arguments = [] if made is None else re.split(r",\s*", made[1])
    return {word for word in arguments if not _TYPE.fullmatch(word)}


def _append(path: str, lines: list[str], seen: set[str]) -> None:
    if path in seen:
        return
    seen.add(path)
    lines.append(f'#line 1 "{path}"')
    for number, line in enumerate(kernels().joinpath(path).read_text().splitlines(), 1):
        include = _INCLUDE.match(line)
        if include:
            _append(_resolve(include[1], path), lines, seen)
            lines.append(f'#line {number + 1} "{path}"')
        elif line != _ONCE:
            lines.append(line)
        else:
            lines.append("")


def _resolve(name: str, path: str) -> str:
    """Return the path within kernels/ of what a file includes: its neighbour, or from the top."""
    return name if "/" in name else f"{path.rpartition('/')[0]}/{name}"
