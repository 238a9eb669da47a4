"""The directories of a TIFF, checked before a library reads them.

A small malicious file can have tables of a billion entries, a million pages, or circular chains.
"""

import struct
from typing import NamedTuple

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.memory import Budget
from hdseg_gpu.io.stored import Stored

MOST_PAGES = 1000  # pages examined
_MOST_TAGS = 4096  # per page
_MOST_IN_ALL = 200_000  # tags: pages may share them, so that a small file has any number
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4,
          16: 8, 17: 8, 18: 8}  # fmt: skip
# Tags of one number; signed types count as well, because libtiff accepts them.
_FORMS = {1: "B", 3: "H", 4: "I", 6: "B", 8: "H", 9: "I", 13: "I", 16: "Q", 17: "Q", 18: "Q"}
_SUBFILE, _WIDTH, _HEIGHT, _SAMPLES, _TILE, _CHILDREN = 254, 256, 257, 277, 322, 330
_BITS, _ROWS, _PLANES, _TILE_ROWS = 258, 278, 284, 323
_ASKED = {_SUBFILE, _WIDTH, _HEIGHT, _SAMPLES, _TILE, _BITS, _ROWS, _PLANES, _TILE_ROWS}
_MOST_BITS = 64  # per sample, if not given
# Tags that are read whole: bits per sample, strings, tables of segments, JPEG tables, palettes and
# georeferences.
_READ = {258, 270, 273, 277, 279, 282, 283, 292, 305, 320, 324, 325, 330, 338, 339, 347, 513, 514,
         530, 33550, 33628, 33922, 34264, 34735, 34736, 34737, 42113, 50674, 50838,
         50839}  # fmt: skip
# Bytes of memory per character, which may be parsed as XML, and per number.
_TEXT, _VALUE = 24, 48


class Directory(NamedTuple):
    """The properties of a page that decide whether and how it is read."""

    offset: int
    height: int
    width: int
    samples: int
    tiled: bool
    reduced: bool  # a reduced-resolution version of another page
    mask: bool  # a transparency mask of another page
    children: tuple[int, ...]  # offsets of its SubIFDs
    memory: int  # bytes that reading it takes
    segment: int  # upper bound of the bytes of a decoded tile or strip


class TiffHead(NamedTuple):
    """The pages of a file."""

    pages: list[Directory]
    children: list[Directory]  # of the first page
    more: bool  # there are more than are examined, or the chain is circular


def tiff_head(file: Stored, budget: Budget) -> TiffHead:
    """Return the pages of a TIFF; the first must exist, and its tables must fit into memory."""
    reader = _Reader(file)
    pages: list[Directory] = []
    seen: set[int] = set()
    at, more = reader.first, False
    while at:
        if at in seen or len(pages) >= MOST_PAGES:
            more = True
            break
        seen.add(at)
        try:
            page, at = reader.directory(at)
        except (struct.error, ValueError):
            if not pages:
                raise
            break
        pages.append(page)
        if len(pages) == 1:
            budget.require(
                page.memory, f"{file.name}: reading the tables of its first page",
                "save it with larger tiles or strips",
            )  # fmt: skip
    if not pages:
        raise InvalidInput(f"{file.name} cannot be read, it may be damaged: it has no pages.")
    children = []
    for child in pages[0].children[:MOST_PAGES]:
        try:
            children.append(reader.directory(child)[0])
        except (struct.error, ValueError):
            break
    return TiffHead(pages, children, more)


def _segment(values: dict[int, int]) -> int:
    width, height = values.get(_WIDTH, 0), values.get(_HEIGHT, 0)
    if _TILE in values:
        pixels = values[_TILE] * values.get(_TILE_ROWS, height)
    else:
        pixels = width * min(height, values.get(_ROWS, height))
    samples = 1 if values.get(_PLANES, 1) == 2 else values.get(_SAMPLES, 1)
    return pixels * samples * max(1, -(-values.get(_BITS, 1) // 8))  # at least a byte per sample


class _Reader:
    """Reader of directories, in classic TIFF and BigTIFF."""

    def __init__(self, file: Stored) -> None:
        start = file.start(16)
        order = {b"II": "<", b"MM": ">"}.get(start[:2])
        version = struct.unpack(f"{order}H", start[2:4])[0] if order and len(start) >= 8 else 0
        if version not in (42, 43):
            raise InvalidInput(
                f"{file.name} cannot be read, it may be damaged or cut short: it holds no TIFF."
            )
        self._file, self._order, self._big = file, order, version == 43
        self._word = f"{order}Q" if self._big else f"{order}I"
        self._count, self._entry = (f"{order}Q", 20) if self._big else (f"{order}H", 12)
        self._tags = 0
        (self.first,) = struct.unpack_from(self._word, start, 8 if self._big else 4)

    def directory(self, at: int) -> tuple[Directory, int]:
        """Return a page, and the offset of the next one."""
        head = struct.calcsize(self._count)
        word = struct.calcsize(self._word)
        (count,) = struct.unpack(self._count, self._some(at, head))
        if not 0 < count <= _MOST_TAGS:
            raise ValueError(f"it has a page of {count} tags, at {at}")
        self._tags += count
        if self._tags > _MOST_IN_ALL:
            raise ValueError(f"its pages have more than {_MOST_IN_ALL} tags")
        entries = self._some(at + head, count * self._entry + word)
        values: dict[int, int] = {}
        children: tuple[int, ...] = ()
        memory = 0
        for i in range(count):
            entry = entries[i * self._entry : (i + 1) * self._entry]
            code, kind = struct.unpack_from(f"{self._order}HH", entry)
            (number,) = struct.unpack_from(self._word, entry, 4)
            size = _SIZES.get(kind, 0) * number
            if code in _READ and size <= self._file.size:  # others are not read
                memory += number * (_TEXT if kind in (2, 7) else _VALUE)
            if code in values:  # libraries use the first one
                continue
            if code in _ASKED and number == 1:
                values[code] = self._value(kind, entry[4 + word :])
            elif code == _BITS:
                each = self._numbers(kind, min(number, MOST_PAGES), entry[4 + word :], size)
                values[code] = max(each, default=_MOST_BITS)
            elif code == _CHILDREN and number:
                children = self._numbers(kind, min(number, MOST_PAGES), entry[4 + word :], size)
        (following,) = struct.unpack_from(self._word, entries, count * self._entry)
        kinds = values.get(_SUBFILE, 0)
        page = Directory(
            at, values.get(_HEIGHT, 0), values.get(_WIDTH, 0), values.get(_SAMPLES, 1),
            _TILE in values, bool(kinds & 1), bool(kinds & 4), children, memory, _segment(values),
        )  # fmt: skip
        return page, following

    def _some(self, at: int, count: int) -> bytes:
        found = self._file.some(at, count) if 8 <= at < self._file.size else b""
        if len(found) < count:
            raise ValueError(f"it is cut short: there is no page at {at}")
        return found

    def _value(self, kind: int, field: bytes) -> int:
        form = _FORMS.get(kind)
        if form is None or struct.calcsize(form) > len(field):
            return 0
        return int(struct.unpack_from(f"{self._order}{form}", field)[0])

    def _numbers(self, kind: int, count: int, field: bytes, size: int) -> tuple[int, ...]:
        """Return the numbers of a tag, which are stored in its field if they fit."""
        form = {3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}.get(kind)
        if form is None:
            return ()
        wanted = count * struct.calcsize(form)
        if size <= len(field):
            data = field
        else:
            try:
                data = self._some(struct.unpack_from(self._word, field)[0], wanted)
            except ValueError:
                return ()
        return struct.unpack_from(f"{self._order}{count}{form}", data)
