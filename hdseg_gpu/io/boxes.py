"""The boxes that JPEG 2000 and JPEG XL files consist of."""

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

Read = Callable[[int, int], bytes]  # some bytes from a position on, fewer where there are no more
_MOST = 10_000  # that are looked at


class Unclear(ValueError):
    """A code that does not say how large its picture is."""


class Box(NamedTuple):
    """What a box is, and where its content begins and ends."""

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
        if length == 1 and len(head) == 16:  # it needs more than 32 bits
            (length,) = struct.unpack_from(">Q", head, 8)
            start = 16
        elif length == 0:  # up to the end
            length = end - at
        if length < start:
            raise Unclear(f"it has a box of {length} bytes, at {at}")
        yield Box(kind, at + start, min(at + length, end))
        at += length
    raise Unclear(f"it has more than {_MOST} boxes before its pixels")
