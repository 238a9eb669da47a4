"""Parsing the boxes of JPEG 2000 and JPEG XL files."""

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

Read = Callable[[int, int], bytes]  # (position, count) -> bytes, fewer at the end of the file
_MOST = 10_000  # boxes examined


class Unclear(ValueError):
    """A codestream that does not give the size of its image."""


class Box(NamedTuple):
    """The type of a box, and where its content begins and ends."""

    kind: bytes
    begin: int
    end: int


def boxes(read: Read, begin: int, end: int) -> Iterator[Box]:
    """Yield the boxes between two positions, one after the other."""
    at = begin
    for _ in range(_MOST):
        if at + 8 > end:
            return
        head = read(at, 16)
        if len(head) < 8:
            return
        length, kind = struct.unpack_from(">I4s", head)
        start = 8
        if length == 1 and len(head) == 16:  # 64-bit length
            (length,) = struct.unpack_from(">Q", head, 8)
            start = 16
        elif length == 0:  # up to the end
            length = end - at
        if length < start:
            raise Unclear(f"it has a box of {length} bytes, at {at}")
        yield Box(kind, at + start, min(at + length, end))
        at += length
    raise Unclear(f"it has more than {_MOST} boxes before its pixels")
