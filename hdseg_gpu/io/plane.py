"""Whole-image arrays on disk: one file per tile, each written atomically.

A tile is written under another name, synced to disk and renamed. So it is always complete, even
after a power failure, and may be written several times or by several processes.

Files are not trusted: checksums include the run's key and the position of the tile, sizes must
follow from the shape, decompression is bounded by them, and values must be valid.
"""

import os
import re
import struct
import zlib
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import Unfinished
from hdseg_gpu.core.tiles import TileGrid
from hdseg_gpu.core.windows import Shape, Window
from hdseg_gpu.io.own import make_folder, own_file, own_folder, write_whole

_MAGIC = b"hdseg3\n\0"
_ROWS = 512  # of a strip; each strip is compressed and read alone
_HEAD = struct.Struct("<8sqqq")  # magic, height, width, strips
_STRIP = struct.Struct("<qqI")  # offset, bytes, checksum
_CHECK = struct.Struct("<I")  # checksum of the header and of the table of strips
_LEVEL = 1  # class maps are mostly constant; higher levels take longer and gain almost nothing


class DamagedTile(Unfinished):
    """A file of a plane is damaged; a resumed run computes it again."""

    def __init__(self, path: Path | str) -> None:
        super().__init__(f"{path} is damaged; continue with resume=True, which computes it again.")
        self.path = path

    def __reduce__(self) -> tuple[type, tuple[Path | str]]:
        """Allow the error to be pickled by a worker."""
        return DamagedTile, (self.path,)


@dataclass(frozen=True)
class Values:
    """The valid values of a plane: `least` to `most`, and `wall` if there is one."""

    least: int
    most: int
    wall: int | None = None

    def include(self, values: NDArray[Any]) -> bool:
        """Return whether all values are valid."""
        if values.min() < self.least:
            return False
        if self.wall is not None and values.max() > self.most:
            values = values[values != self.wall]
        return bool(values.max(initial=0) <= self.most)


@dataclass(frozen=True)
class Plane:
    """A (H, W) array of integers, or of bools with `bits`, in a folder."""

    folder: Path
    shape: Shape
    tile: int
    dtype: str
    bits: bool = False
    values: Values | None = None  # valid values; None: any
    key: str = ""  # of the run; tiles of another run count as damaged

    @cached_property
    def grid(self) -> TileGrid:
        """Return the grid of its tiles."""
        return TileGrid(self.shape, self.tile)

    def path(self, index: int) -> Path:
        """Return the file of a tile."""
        return self.folder / f"{index:08d}"

    def write(self, index: int, values: NDArray[Any]) -> None:
        """Write a tile, (height, width) of its core window."""
        strips = []
        for top in range(0, len(values), _ROWS):
            rows: NDArray[Any] = np.ascontiguousarray(values[top : top + _ROWS])
            packed = np.packbits(rows, axis=1) if self.bits else rows
            strips.append(zlib.compress(packed.data, _LEVEL))
        offset = _begin(len(strips))
        parts = [_HEAD.pack(_MAGIC, *values.shape, len(strips))]
        for strip in strips:
            parts.append(_STRIP.pack(offset, len(strip), zlib.crc32(strip)))
            offset += len(strip)
        parts.append(_CHECK.pack(zlib.crc32(b"".join(parts), self._seal(index))))
        make_folder(self.folder)
        write_whole(self.path(index), b"".join(parts + strips))

    def read(self, window: Window) -> NDArray[Any]:
        """Return a window; all of its tiles must exist."""
        found = np.empty(window.shape, np.bool_ if self.bits else self.dtype)
        for index in self.grid.meeting(window):
            core = self.grid.core(index)
            common = core.intersection(window)
            assert common is not None
            found[common.relative_to(window).slices] = self._part(index, core, common)
        return found

    def is_whole(self, index: int) -> bool:
        """Return whether a tile exists and is undamaged."""
        try:
            self._packed(index, self.grid.core(index), 0, None)
        except DamagedTile:
            return False
        return True

    def forget_all_but(self, indices: Collection[int]) -> None:
        """Remove all other tiles, left by earlier runs or other processes."""
        keep = {self.path(index).name for index in indices}
        with suppress(FileNotFoundError), own_folder(self.folder) as folder:
            for name in os.listdir(folder):
                if re.fullmatch(r"\d+", name) and name not in keep:
                    os.unlink(name, dir_fd=folder)

    def _seal(self, index: int) -> int:
        """Return the initial value of a tile's checksum, which ties it to run, plane and index."""
        return zlib.crc32(f"{self.key} {self.folder.name} {index}".encode())

    def _part(self, index: int, core: Window, wanted: Window) -> NDArray[Any]:
        inside = wanted.relative_to(core)
        first, last = inside.top // _ROWS, (inside.bottom - 1) // _ROWS
        rows = self._strips(index, core, first, last)[:, inside.left : inside.right]
        return rows[inside.top - first * _ROWS :][: inside.height]

    def _strips(self, index: int, core: Window, first: int, last: int) -> NDArray[Any]:
        """Return the rows of some strips of a tile."""
        packed = self._packed(index, core, first, last + 1)
        strips = range(first, last + 1)
        rows = [_unpacked(p, self._size(core, i)) for p, i in zip(packed, strips, strict=True)]
        if None not in rows:
            values = np.frombuffer(b"".join(filter(None, rows)), np.uint8)
            if self.bits:
                lines = values.reshape(-1, -(-core.width // 8))
                return np.unpackbits(lines, axis=1, count=core.width).view(np.bool_)
            values = values.view(self.dtype).reshape(-1, core.width)
            if self.values is None or self.values.include(values):
                return values
        # A resumed run computes again what has no file or a wrong checksum; this one is right.
        with suppress(OSError):
            self.path(index).unlink()
        raise DamagedTile(self.path(index))

    def _size(self, core: Window, strip: int) -> int:
        """Return the bytes of a decompressed strip."""
        rows = min(_ROWS, core.height - strip * _ROWS)
        return rows * (-(-core.width // 8) if self.bits else self._item * core.width)

    @cached_property
    def _item(self) -> int:
        return np.dtype(self.dtype).itemsize

    def _packed(self, index: int, core: Window, first: int, end: int | None) -> list[bytes]:
        """Return some compressed strips, whose checksums have been verified."""
        path, count = self.path(index), -(-core.height // _ROWS)
        most = sum(_longest(self._size(core, i)) for i in range(count))
        try:
            with own_file(path, _begin(count) + most) as stream:
                table = self._table(stream, index, core, count)
                chosen = table[first:end]
                stream.seek(chosen[0][0])
                packed = [stream.read(length) for _, length, _ in chosen]
        except (OSError, ValueError) as error:
            raise DamagedTile(path) from error
        if any(zlib.crc32(p) != check for p, (_, _, check) in zip(packed, chosen, strict=True)):
            raise DamagedTile(path)
        return packed

    def _table(
        self, stream: BinaryIO, index: int, core: Window, count: int
    ) -> list[tuple[int, int, int]]:
        """Return offset, length and checksum of all strips; raises ValueError if inconsistent."""
        head = stream.read(_HEAD.size + count * _STRIP.size)
        if stream.read(_CHECK.size) != _CHECK.pack(zlib.crc32(head, self._seal(index))):
            raise ValueError
        if _HEAD.unpack_from(head) != (_MAGIC, *core.shape, count):
            raise ValueError
        table = list(_STRIP.iter_unpack(head[_HEAD.size :]))
        offset = _begin(count)
        for i, (start, length, _) in enumerate(table):
            if start != offset or not 0 < length <= _longest(self._size(core, i)):
                raise ValueError
            offset += length
        return table


def _begin(strips: int) -> int:
    """Return where the first strip begins."""
    return _HEAD.size + strips * _STRIP.size + _CHECK.size


def _longest(size: int) -> int:
    """Return the upper bound of zlib's output for `size` bytes (compressBound)."""
    return size + (size >> 12) + (size >> 14) + (size >> 25) + 13


def _unpacked(packed: bytes, size: int) -> bytes | None:
    """Return exactly `size` decompressed bytes, None if there are fewer, more, or trailing data."""
    press = zlib.decompressobj()
    try:
        found = press.decompress(packed, size + 1)
    except zlib.error:
        return None
    return found if len(found) == size and press.eof and not press.unused_data else None
