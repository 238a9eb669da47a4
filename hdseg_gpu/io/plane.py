"""Whole-picture arrays on disk: one file a tile, that is there completely or not at all.

A tile is written under another name, forced to the disk and renamed; so whoever finds it finds all
of it, after a power cut too, and it does not matter how often or by how many it is written.
"""

import os
import struct
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import Unfinished
from hdseg_gpu.core.tiles import TileGrid
from hdseg_gpu.core.windows import Shape, Window

_MAGIC = b"hdseg2\n\0"
_ROWS = 512  # that are compressed together: who needs a strip unpacks no more
_HEAD = struct.Struct("<8sqqq")  # magic, height, width, strips
_STRIP = struct.Struct("<qqI")  # offset, bytes, check sum
_CHECK = struct.Struct("<I")  # of all that is before it: the head, and what is told of each strip
_LEVEL = 1  # class maps are mostly constant; higher levels take longer for nearly nothing


class DamagedTile(Unfinished):
    """A file of a plane is not what was written; a run that is resumed makes it anew."""

    def __init__(self, path: Path | str) -> None:
        super().__init__(f"{path} is damaged; continue with --resume, which makes it anew.")
        self.path = path

    def __reduce__(self) -> tuple[type, tuple[Path | str]]:
        """Travel from the worker that met it."""
        return DamagedTile, (self.path,)


@dataclass(frozen=True)
class Plane:
    """A (H, W) array of integers, or of bools with `bits`, in a folder."""

    folder: Path
    shape: Shape
    tile: int
    dtype: str
    bits: bool = False

    @cached_property
    def grid(self) -> TileGrid:
        """Return its tiles."""
        return TileGrid(self.shape, self.tile)

    def path(self, index: int) -> Path:
        """Return the file of a tile."""
        return self.folder / f"{index:08d}"

    def write(self, index: int, values: NDArray[Any]) -> None:
        """Keep a tile, (height, width) of its core window."""
        strips = []
        for top in range(0, len(values), _ROWS):
            rows: NDArray[Any] = np.ascontiguousarray(values[top : top + _ROWS])
            packed = np.packbits(rows, axis=1) if self.bits else rows
            strips.append(zlib.compress(packed.data, _LEVEL))
        offset = _HEAD.size + len(strips) * _STRIP.size + _CHECK.size
        parts = [_HEAD.pack(_MAGIC, *values.shape, len(strips))]
        for strip in strips:
            parts.append(_STRIP.pack(offset, len(strip), zlib.crc32(strip)))
            offset += len(strip)
        parts.append(_CHECK.pack(zlib.crc32(b"".join(parts))))
        self.folder.mkdir(exist_ok=True)
        write_whole(self.path(index), b"".join(parts + strips))

    def read(self, window: Window) -> NDArray[Any]:
        """Return a window; all of its tiles must be there."""
        found = np.empty(window.shape, np.bool_ if self.bits else self.dtype)
        for index in self.grid.meeting(window):
            core = self.grid.core(index)
            common = core.common(window)
            assert common is not None
            found[common.seen_from(window).slices] = self._part(index, core, common)
        return found

    def is_whole(self, index: int) -> bool:
        """Return whether a tile is there and undamaged."""
        try:
            self._packed(index, self.grid.core(index), 0, None)
        except (OSError, DamagedTile):
            return False
        return True

    def _part(self, index: int, core: Window, wanted: Window) -> NDArray[Any]:
        inside = wanted.seen_from(core)
        first, last = inside.top // _ROWS, (inside.bottom - 1) // _ROWS
        rows = self._strips(index, core, first, last)[:, inside.left : inside.right]
        return rows[inside.top - first * _ROWS :][: inside.height]

    def _strips(self, index: int, core: Window, first: int, last: int) -> NDArray[Any]:
        """Return the rows of some strips of a tile."""
        packed = self._packed(index, core, first, last + 1)
        values = np.frombuffer(b"".join(zlib.decompress(p) for p in packed), np.uint8)
        if not self.bits:
            return values.view(self.dtype).reshape(-1, core.width)
        rows = values.reshape(-1, -(-core.width // 8))
        return np.unpackbits(rows, axis=1, count=core.width).view(np.bool_)

    def _packed(self, index: int, core: Window, first: int, end: int | None) -> list[bytes]:
        """Return some strips as they are stored, all of which are what was written."""
        path, count = self.path(index), -(-core.height // _ROWS)
        with path.open("rb") as stream:
            head = stream.read(_HEAD.size + count * _STRIP.size)
            check = stream.read(_CHECK.size)
            if check != _CHECK.pack(zlib.crc32(head)) or _HEAD.unpack_from(head) != (
                _MAGIC, *core.shape, count,
            ):  # fmt: skip
                raise DamagedTile(path)
            table = list(_STRIP.iter_unpack(head[_HEAD.size :]))[first:end]
            stream.seek(table[0][0])
            packed = [stream.read(length) for _, length, _ in table]
        if any(zlib.crc32(p) != check for p, (_, _, check) in zip(packed, table, strict=True)):
            raise DamagedTile(path)
        return packed


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that appears under its name when all of it is on the disk."""
    temporary = path.with_name(f".{path.name}.{uuid4().hex[:12]}")
    try:
        with temporary.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
