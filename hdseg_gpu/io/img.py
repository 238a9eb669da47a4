"""Checks of .img files and of the files beside them that GDAL opens by name."""

import os
import stat
import struct
from pathlib import Path

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.memory import Budget
from hdseg_gpu.io.source_need import is_picture, need_of_source
from hdseg_gpu.io.stored import Stored

_SIDES = (".ige", ".rrd")  # pixels of a large one, and overviews
_TAG = b"EHFA_HEADER_TAG\0"
_MOST_ENTRIES = 1_000_000
_CONVERT = "convert it to GeoTIFF"
_TIFFS = (".ovr", ".msk")  # overviews and masks, which GDAL opens by content


def sides_of(path: Path) -> list[Path]:
    """Return the existing sidecar files of an .img."""
    return [*(path.with_suffix(side) for side in _SIDES), path.with_name(f"{path.name}.ovr")]


def check_sides(path: Path, budget: Budget) -> int:
    """Refuse sidecar files that GDAL must not open; return the bytes that decoding a tile takes.

    GDAL would block on a pipe: the header may name any file for the overviews, and asking GDAL for
    the names opens the files.
    """
    with os.scandir(path.parent) as entries:
        for entry in entries:
            if not entry.is_file() and not entry.is_dir() and _waits(entry):
                raise InvalidInput(
                    f"{path} cannot be read beside {entry.name}, a pipe or a device that its "
                    "header may name; move one of them to another folder."
                )
    need = 0
    for side in (path.with_name(path.name + end) for end in _TIFFS):
        if side.exists():
            with Stored(side) as file:
                if not is_picture(file) or file.start(2) not in (b"II", b"MM"):
                    raise InvalidInput(
                        f"{path} cannot be read with {side.name} beside it, which is not a TIFF; "
                        "remove it."
                    )
                taken = need_of_source(file, budget)
            what = f"{path}: decoding a tile of {side.name}"
            budget.require(taken, what, "save it with smaller tiles")
            need = max(need, taken)
    return need


def check_entries(file: Stored) -> None:
    """Refuse an .img with entries that claim more bytes than the file has.

    GDAL allocates what they claim before it reads. The header points to the root of their tree;
    each entry has the offsets of the next, of its first child and of its data, and the data's size.
    """
    if file.some(0, len(_TAG)) != _TAG:
        return  # GDAL reports what is wrong
    (header,) = _numbers(file, len(_TAG), 1)
    left, seen = [_numbers(file, header + 8, 1)[0]], {0}
    while left:
        place = left.pop()
        if place in seen:
            continue
        seen.add(place)
        if len(seen) > _MOST_ENTRIES:
            raise InvalidInput(f"{file.name} has more than {_MOST_ENTRIES} entries; {_CONVERT}.")
        following, _, _, child, data, size = _numbers(file, place, 6)
        if size > 0 and data + size > file.size:
            raise InvalidInput(
                f"{file.name} cannot be read, it may be damaged or cut short: the entry at {place} "
                f"has {size} bytes from {data} on, and the file has {file.size}."
            )
        left += following, child


def _numbers(file: Stored, at: int, count: int) -> tuple[int, ...]:
    """Return `count` integers at an offset, 0 beyond the end of the file."""
    content = bytes(file.some(at, 4 * count)) if at < file.size else b""
    return struct.unpack(f"<{count}I", content.ljust(4 * count, b"\0"))


def check_files(path: Path, names: list[str]) -> None:
    """Refuse a raster whose header names anything but its own files beside it."""
    folder = path.parent.resolve()
    ours = {path.resolve(), *(folder / p.name for p in sides_of(path))}
    ours.add(folder / f"{path.name}.msk")  # its pixels are not read
    for name in names:
        other = Path(name).resolve()
        if other.parent != folder and other not in ours:
            raise InvalidInput(
                f"{path} names the file {name}, which is not beside it; convert it to GeoTIFF."
            )
        if other not in ours:  # its changes would go unnoticed
            raise InvalidInput(
                f"{path} names the file {name}, whose name differs from its own; convert it to "
                "GeoTIFF."
            )
        Stored(other).close()


def _waits(entry: os.DirEntry[str]) -> bool:
    """Return whether opening it may block; opening a socket fails."""
    try:
        mode = entry.stat().st_mode
    except OSError:  # a broken link
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)
