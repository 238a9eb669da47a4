"""What a PNG says of itself before its pixels."""

import struct
from typing import NamedTuple

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.windows import Shape
from hdseg_gpu.io.stored import Stored

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the type of colour


class PngHead(NamedTuple):
    """The header, and how long the longest chunk is that holds no pixels."""

    shape: Shape
    depth: int  # bits of a sample
    palette: bool
    channels: int  # as stored: indices of a palette are one
    interlaced: bool
    aside: int


def png_head(file: Stored) -> PngHead:
    """Return what is known before anything is decoded."""
    start = file.start(33)
    if start[:8] != _SIGNATURE:
        raise InvalidInput(f"{file.name} cannot be read, it may be damaged: it holds no PNG.")
    if len(start) < 33 or start[12:16] != b"IHDR":
        raise InvalidInput(f"{file.name} cannot be read, it may be damaged or cut short.")
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", start[16:29])
    if not (0 < width < 1 << 31 and 0 < height < 1 << 31) or colour not in _CHANNELS:
        raise InvalidInput(
            f"{file.name} cannot be read, it may be damaged: its header says {height} x {width} "
            f"pixels of colour type {colour}."
        )
    shape = int(height), int(width)
    return PngHead(shape, depth, colour == 3, _CHANNELS[colour], bool(interlaced), _aside(file))


def _aside(file: Stored) -> int:
    """Return the bytes of the longest chunk before the pixels; those behind them are not read."""
    longest, at = 0, 8
    while at + 8 <= file.size:
        length, kind = struct.unpack(">I4s", file.fetch(at, 8))
        if kind == b"IDAT":
            break
        longest = max(longest, min(length, file.size - at))
        at += 12 + length
    return longest
