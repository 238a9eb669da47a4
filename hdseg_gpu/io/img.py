"""The files of an .img: where its pixels may be beside it, which GDAL opens by their names."""

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
_TIFFS = (".ovr", ".msk")  # overviews and masks, which GDAL opens whatever they hold


def sides_of(path: Path) -> list[Path]:
    """Return where the other files of an .img are, if there are any."""
    return [*(path.with_suffix(side) for side in _SIDES), path.with_name(f"{path.name}.ovr")]


def check_sides(path: Path, budget: Budget) -> int:
    """Refuse what GDAL should not open beside an .img; return what decoding a tile of it takes.

    It would wait for a pipe: the header may say any name for the overviews, and to ask GDAL for the
    names is to open the files.
    """
    with os.scandir(path.parent) as entries:
        for entry in entries:
            if not entry.is_file() and not entry.is_dir() and _waits(entry):
                raise InvalidInput(
                    f"{path} cannot be read beside {entry.name}, which is a pipe or a device: its "
                    "header may name that; move one of them to another folder."
                )
    need = 0
    for side in (path.with_name(path.name + end) for end in _TIFFS):
        if side.exists():
            with Stored(side) as file:
                if not is_picture(file) or file.start(2) not in (b"II", b"MM"):
                    raise InvalidInput(
                        f"{path} cannot be read with {side.name} beside it, which is no TIFF; "
                        "remove that."
                    )
                taken = need_of_source(file, budget)
            what = f"{path}: decoding a tile of {side.name}"
            budget.require(taken, what, "save that with smaller tiles")
            need = max(need, taken)
    return need


def check_entries(file: Stored) -> None:
    """Refuse an .img with entries that say that they have more bytes than the file.

    GDAL makes room for what they say before it reads. Their tree begins where the header says: each
    has the places of the next and of its first child, of its data, and their length.
    """
    if file.some(0, len(_TAG)) != _TAG:
        return  # GDAL says what is wrong
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
    """Return so many whole numbers, 0 where the file has ended."""
    content = bytes(file.some(at, 4 * count)) if at < file.size else b""
    return struct.unpack(f"<{count}I", content.ljust(4 * count, b"\0"))


def check_files(path: Path, names: list[str]) -> None:
    """Refuse a raster whose header names what is no file, or not one of its own beside it."""
    folder = path.parent.resolve()
    ours = {path.resolve(), *(folder / p.name for p in sides_of(path))}
    ours.add(folder / f"{path.name}.msk")  # whose pixels are not read
    for name in names:
        other = Path(name).resolve()
        if other.parent != folder and other not in ours:
            raise InvalidInput(
                f"{path} names the file {name}, which does not lie beside it; convert it to "
                "GeoTIFF."
            )
        if other not in ours:  # then nobody would notice that it changes
            raise InvalidInput(
                f"{path} names the file {name}, which does not have its name; convert it to "
                "GeoTIFF."
            )
        Stored(other).close()


def _waits(entry: os.DirEntry[str]) -> bool:
    """Return whether opening it may wait for somebody; opening a socket fails."""
    try:
        mode = entry.stat().st_mode
    except OSError:  # a link to nothing
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)
