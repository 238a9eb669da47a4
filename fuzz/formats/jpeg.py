"""Mutations of the segments of JPEGs."""

from random import Random

from fuzz import blind
from fuzz.formats.png import interesting_side

_Segment = tuple[int, bytes]  # marker, content without the length
_SCAN = 0xDA
_FRAMES = (0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC9, 0xCA)
_APPLICATIONS = (
    b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0",
    b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Adobe\0d\0\0\0\0\2", b"Adobe\0d\0\0\0\0\0",
    b"JFIF\0\1\1\0\0\0\0\0\0", b"MPF\0II*\0\x08\0\0\0", b"ICC_PROFILE\0\1\1" + bytes(64),
)  # fmt: skip


def changed(rng: Random, data: bytes) -> bytes:
    """Return the file after one to three changes of its segments."""
    segments, rest = split(data)
    for _ in range(rng.randint(1, 3)):
        kind = rng.randrange(8)
        if kind == 0 or not segments:
            rest = blind.changed(rng, rest)
        elif kind <= 2:
            segments = _frame(rng, segments)
        else:
            segments = rng.choice(_CHANGES)(rng, segments)
    return joined(segments, rest)


def split(data: bytes) -> tuple[list[_Segment], bytes]:
    """Return the segments up to the first scan, and the rest."""
    found, at = [], 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        length = int.from_bytes(data[at + 2 : at + 4])
        found.append((data[at + 1], data[at + 4 : at + 2 + length]))
        at += 2 + max(length, 2)
        if found[-1][0] == _SCAN:
            break
    return found, data[at:]


def joined(segments: list[_Segment], rest: bytes) -> bytes:
    """Return the file of these segments."""
    return b"\xff\xd8" + b"".join(
        bytes([0xFF, marker]) + min(len(data) + 2, 65535).to_bytes(2) + data
        for marker, data in segments
    ) + rest  # fmt: skip


def _frame(rng: Random, segments: list[_Segment]) -> list[_Segment]:
    """Change the size, precision or components in the header."""
    headers = [i for i, (marker, data) in enumerate(segments) if marker in _FRAMES and data[8:]]
    if not headers:
        return segments
    i = headers[0]
    marker, data = segments[i]
    found = bytearray(data)
    kind = rng.randrange(5)
    if kind <= 1:
        at = rng.choice((1, 3))
        side = interesting_side(rng, int.from_bytes(found[at : at + 2]))
        found[at : at + 2] = rng.choice((side % 65536, blind.interesting(rng, 16))).to_bytes(2)
    elif kind == 2:
        found[0] = rng.choice((0, 1, 8, 12, 16, 255))
    elif kind == 3:
        found[5] = rng.choice((0, 1, 2, 3, 4, 5, 255))
    else:  # an identifier, a sampling, a table
        found[rng.randrange(6, len(found))] = rng.choice((0, 1, 2, 3, 0x11, 0x22, 0x44, 0xF1, 255))
    marker = rng.choice((marker, marker, marker, *_FRAMES))
    return [*segments[:i], (marker, bytes(found)), *segments[i + 1 :]]


def _content(rng: Random, segments: list[_Segment]) -> list[_Segment]:
    i = rng.randrange(len(segments))
    marker, data = segments[i]
    return [*segments[:i], (marker, blind.changed(rng, data)[:65533]), *segments[i + 1 :]]


def _drop(rng: Random, segments: list[_Segment]) -> list[_Segment]:
    i = rng.randrange(len(segments))
    return [*segments[:i], *segments[i + 1 :]]


def _twice(rng: Random, segments: list[_Segment]) -> list[_Segment]:
    i, at = rng.randrange(len(segments)), rng.randint(0, len(segments))
    return [*segments[:at], segments[i], *segments[at:]]


def _application(rng: Random, segments: list[_Segment]) -> list[_Segment]:
    data = rng.choice(_APPLICATIONS)
    if rng.random() < 0.5:
        data = blind.changed(rng, data)
    return [(rng.choice((0xE0, 0xE1, 0xE2, 0xEE)), data), *segments]


def _restart(rng: Random, segments: list[_Segment]) -> list[_Segment]:
    return [(0xDD, blind.interesting(rng, 16).to_bytes(2)), *segments]


_CHANGES = (_content, _content, _drop, _twice, _application, _restart)
