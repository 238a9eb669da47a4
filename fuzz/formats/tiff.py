"""Mutations of the entries of TIFF directories."""

import re
import struct
from dataclasses import dataclass
from random import Random

from fuzz import blind
from fuzz.formats import xml
from fuzz.formats.png import interesting_side

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8,
          17: 8, 18: 8}  # fmt: skip
_INTEGERS = (1, 3, 4, 6, 8, 9, 13, 16, 17, 18)
_DESCRIPTION = 270
_CODES = (254, 256, 257, 258, 259, 262, 266, 270, 273, 277, 278, 279, 284, 297, 301, 305, 317, 320,
          322, 323, 324, 325, 330, 338, 339, 347, 530, 33550, 33922, 34264, 34735, 34736, 34737,
          42112, 42113, 50838, 65426)  # fmt: skip
# Tags with enumerated values: changing to another valid one reaches other decoders.
_MEANT = {
    254: (0, 1, 2, 4), 258: (1, 2, 4, 8, 12, 16, 24, 32, 64, 128),
    259: (1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946, 33003, 33005, 34661, 34676, 34677, 34712, 34887,
          34892, 34925, 34926, 34933, 50000, 50001, 50002, 52546),
    262: (0, 1, 2, 3, 4, 5, 6, 8, 32803, 32844, 34892), 266: (1, 2), 277: (0, 1, 2, 3, 4, 5, 300),
    284: (1, 2), 317: (1, 2, 3, 34892, 34894), 338: (0, 1, 2, 999), 339: (1, 2, 3, 4, 5, 6),
    530: (1, 2, 4),
}  # fmt: skip


@dataclass
class Entry:
    """One entry of a directory, and its position in the file."""

    at: int
    code: int
    type: int
    count: int
    value_at: int  # position of its values, in the entry or elsewhere


@dataclass
class Format:
    """Classic TIFF or BigTIFF, and the byte order."""

    order: str
    big: bool

    @property
    def number(self) -> str:
        """Return the struct format of an offset."""
        return self.order + ("Q" if self.big else "I")

    @property
    def entry(self) -> str:
        """Return the struct format of an entry without its value."""
        return self.order + ("HHQ" if self.big else "HHI")

    @property
    def room(self) -> int:
        """Return the bytes for values in an entry."""
        return 8 if self.big else 4


def changed(rng: Random, data: bytes) -> bytes:
    """Return the file after one to three changes of its directories."""
    for _ in range(rng.randint(1, 3)):
        form, directories = parse(data)
        entries = [entry for _, _, found in directories for entry in found]
        if not entries:
            return blind.changed(rng, data)
        kind = rng.randrange(10)
        if kind == 0:
            data = _next(rng, data, form, directories)
        elif kind == 1:
            data = _description(rng, data, form, entries)
        else:
            data = rng.choice(_CHANGES)(rng, data, form, rng.choice(entries))
    return data


def parse(data: bytes) -> tuple[Format, list[tuple[int, int, list[Entry]]]]:
    """Return for each directory its offset, the position of the next pointer, and its entries."""
    order = ">" if data[:2] == b"MM" else "<"
    form = Format(order, data[2:4] in (b"+\0", b"\0+"))
    found: list[tuple[int, int, list[Entry]]] = []
    try:
        (at,) = struct.unpack_from(form.number, data, 8 if form.big else 4)
        while at and len(found) < 8 and at not in [start for start, _, _ in found]:
            length = order + ("Q" if form.big else "H")
            (count,) = struct.unpack_from(length, data, at)
            first, size = at + struct.calcsize(length), 20 if form.big else 12
            entries = [_entry(data, form, first + size * i) for i in range(min(count, 100))]
            following = first + size * count
            found.append((at, following, entries))
            (at,) = struct.unpack_from(form.number, data, following)
    except (struct.error, OverflowError):
        pass
    return form, found


def _entry(data: bytes, form: Format, at: int) -> Entry:
    code, kind, count = struct.unpack_from(form.entry, data, at)
    value_at = at + struct.calcsize(form.entry)
    if _SIZES.get(kind, 1) * count > form.room:
        (value_at,) = struct.unpack_from(form.number, data, value_at)
    return Entry(at, code, kind, count, value_at)


def replaced(
    data: bytes, form: Format, entry: Entry, kind: int, values: bytes, count: int
) -> bytes:
    """Return the file with other values for an entry, appended if they are long."""
    found = bytearray(data)
    at = entry.at + struct.calcsize(form.entry)
    struct.pack_into(form.entry, found, entry.at, entry.code, kind, count)
    if len(values) <= form.room:
        found[at : at + form.room] = values.ljust(form.room, b"\0")
    else:
        found += bytes(len(found) % 2)
        struct.pack_into(form.number, found, at, len(found))
        found += values
    return bytes(found)


def _value(rng: Random, data: bytes, form: Format, entry: Entry) -> bytes:
    """Change one number of an entry."""
    size = _SIZES.get(entry.type, 1)
    at = entry.value_at + size * (rng.randrange(entry.count) if entry.count else 0)
    if at + size > len(data):
        return _field(rng, data, form, entry)
    order = "big" if form.order == ">" else "little"
    value = blind.interesting(rng, 8 * size)
    if entry.code in _MEANT and rng.random() < 0.8:
        value = rng.choice(_MEANT[entry.code])
    elif entry.type in _INTEGERS and rng.random() < 0.4:
        value = interesting_side(rng, int.from_bytes(data[at : at + size], order))
    elif entry.type in (11, 12) and rng.random() < 0.5:
        number = rng.choice((0.0, -1.0, 1e-320, 3e38, float("nan"), float("inf")))
        packed = struct.pack(form.order + ("f" if size == 4 else "d"), number)
        return data[:at] + packed + data[at + size :]
    return data[:at] + (value % (1 << 8 * size)).to_bytes(size, order) + data[at + size :]


def _field(rng: Random, data: bytes, form: Format, entry: Entry) -> bytes:
    """Change the code, type, count or offset of an entry."""
    found = bytearray(data)
    code, kind, count = entry.code, entry.type, entry.count
    which = rng.randrange(4)
    if which == 0:
        code = rng.choice(_CODES)
    elif which == 1:
        kind = rng.choice((*_SIZES, 0, 14, 99))
    elif which == 2:
        count = rng.choice((0, 1, count + 1, max(count - 1, 0),
                            blind.interesting(rng, 64 if form.big else 32)))  # fmt: skip
    else:
        value = rng.choice((len(data) - 1, entry.at, 8, blind.interesting(rng, 32)))
        struct.pack_into(form.number, found, entry.at + struct.calcsize(form.entry), value)
    most = 64 if form.big else 32
    struct.pack_into(form.entry, found, entry.at, code, kind, count % (1 << most))
    return bytes(found)


def _longer(rng: Random, data: bytes, form: Format, entry: Entry) -> bytes:
    """Give an entry another number of values, appended to the file."""
    count, kind = rng.choice((0, 1, 2, 3, 5, 1000)), rng.choice((3, 4, entry.type))
    size = _SIZES.get(kind, 1)
    values = rng.choice((bytes(size * count), rng.randbytes(size * count), data[: size * count]))
    return replaced(data, form, entry, kind, values, len(values) // size)


def _segment(rng: Random, data: bytes, form: Format, entry: Entry) -> bytes:
    """Change compressed bytes, away from the directory."""
    if len(data) < 64:
        return data
    at = rng.randrange(8, len(data))
    return data[:at] + blind.changed(rng, data[at : at + 64], most=2) + data[at + 64 :]


def _next(
    rng: Random, data: bytes, form: Format, directories: list[tuple[int, int, list[Entry]]]
) -> bytes:
    """Point a directory to another one, to itself, or to no directory."""
    _, at, _ = rng.choice(directories)
    if at + form.room > len(data):
        return data
    starts = [start for start, _, _ in directories]
    value = rng.choice((*starts, 0, 8, len(data), blind.interesting(rng, 32)))
    return data[:at] + struct.pack(form.number, value) + data[at + form.room :]


def _description(rng: Random, data: bytes, form: Format, entries: list[Entry]) -> bytes:
    """Change the description, which identifies OME-TIFFs and slides."""
    texts = [entry for entry in entries if entry.code == _DESCRIPTION]
    entry = rng.choice(texts or entries)
    text = data[entry.value_at : entry.value_at + entry.count] if texts else b""
    if re.search(rb"<\w", text):
        text = xml.changed(rng, text)
    else:
        text = rng.choice((
            blind.changed(rng, text, most=3), b"Aperio Image Library\r\n" + text,
            b'<?xml version="1.0"?><OME xmlns="x"><Image/></OME>', b"ImageJ=1.1\nimages=9999999\n",
            b'{"shape": [99999, 99999, 3]}', b"SCANIMAGE.SI.x = 1", b"[MetaMorph]",
        ))  # fmt: skip
    if not texts:
        entry = Entry(entry.at, _DESCRIPTION, 2, 0, 0)
    return replaced(data, form, entry, 2, text + b"\0", len(text) + 1)


_CHANGES = (_value, _value, _value, _value, _field, _field, _longer, _segment)
