"""What a PNG says of itself before its pixels."""

import struct
from typing import NamedTuple, NoReturn

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.windows import Shape
from hdseg_gpu.io.stored import Stored

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MOST_CHUNKS = 10_000  # that hold no pixels
_LEAST_PIXELS = 1024  # bytes of a chunk of pixels on average, where there are many; libpng: 8192
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the type of colour


class PngHead(NamedTuple):
    """The header, the palette, and how long the longest chunk is that holds no pixels."""

    shape: Shape
    depth: int  # bits of a sample
    palette: bytes | None  # red, green, blue of each index
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
    colours, aside = _aside(file)
    palette = (colours or b"") if colour == 3 else None
    return PngHead(shape, depth, palette, _CHANNELS[colour], bool(interlaced), aside)


def _aside(file: Stored) -> tuple[bytes | None, int]:
    """Return the palette, and the bytes of the longest chunk that holds no pixels.

    Those behind the pixels count: Pillow keeps them, too.
    """
    colours, longest, at, others, pixels = None, 0, 8, 0, 0
    most_pixels = _MOST_CHUNKS + file.size // _LEAST_PIXELS
    while at + 8 <= file.size:
        head = file.some(at, 8)
        if len(head) < 8:
            break
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IEND":
            break
        if not kind.isalpha():
            if pixels:  # what follows the picture, which decoders leave alone
                break
            raise InvalidInput(
                f"{file.name} cannot be read, it may be damaged: at byte {at} there is no chunk."
            )
        if kind == b"IDAT":
            pixels += 1
            if pixels > most_pixels:
                _refuse(file, f"{most_pixels} chunks of pixels, which are nearly empty")
        else:
            others += 1
            if others > _MOST_CHUNKS:
                _refuse(file, f"{_MOST_CHUNKS} chunks that hold no pixels")
            if kind == b"PLTE" and not pixels:
                colours = file.some(at + 8, min(length, 768))
            longest = max(longest, min(length, file.size - at))
        at += 12 + length
    return colours, longest


def _refuse(file: Stored, what: str) -> NoReturn:
    raise InvalidInput(f"{file.name} cannot be read: it has more than {what}; save it anew.")
