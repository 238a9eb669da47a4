"""The text of a CUDA kernel file with its headers inlined.

CuPy's compile cache keys on text and options and does not see what is included, so nothing is.
"""

import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

_INCLUDE = re.compile(r'\s*#include "([^"]+)"')
_ONCE = "#pragma once"


def kernels() -> Traversable:
    """Return the folder of the kernels: installed beside the package, or in the source tree."""
    installed = files("hdseg_gpu").joinpath("kernels")
    if installed.is_dir():
        return installed
    return Path(__file__).parents[2] / "kernels"


def names() -> list[str]:
    """Return the kernel files, such as "runs.cu"."""
    found = (path.name for path in kernels().joinpath("cuda").iterdir())
    return sorted(name for name in found if name.endswith(".cu"))


def source(name: str) -> str:
    """Return the text of cuda/`name`; errors and profiles show the lines of the files themselves.

    Standard headers stay as they are: common/portable.h includes them for other compilers only.
    """
    lines: list[str] = []
    _append(f"cuda/{name}", lines, set())
    return "\n".join(lines) + "\n"


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
