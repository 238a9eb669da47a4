"""The header of a PNG."""

import struct
from typing import NamedTuple, NoReturn

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.windows import Shape
from hdseg_gpu.io.stored import Stored

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MOST_CHUNKS = 10_000  # without pixels
_LEAST_PIXELS = 1024  # mean bytes of a pixel chunk, if there are many; libpng writes 8192
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type


class PngHead(NamedTuple):
    """The header, the palette, and the length of the longest chunk without pixels."""

    shape: Shape
    depth: int  # bits per sample
    palette: bytes | None  # red, green, blue of each index
    channels: int  # as stored: palette indices are one
    interlaced: bool
    aside: int


def png_head(file: Stored) -> PngHead:
    """Return the header of an open PNG, without decoding pixels."""
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
    """Return the palette, and the bytes of the longest chunk without pixels.

    Chunks after the pixels count, because Pillow keeps them, too.
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
            if pixels:  # data after the image, which decoders ignore
                break
            raise InvalidInput(
                f"{file.name} cannot be read, it may be damaged: at byte {at} there is no chunk."
            )
        if kind == b"IDAT":
            pixels += 1
            if pixels > most_pixels:
                _refuse(file, f"{most_pixels} nearly empty chunks of pixels")
        else:
            others += 1
            if others > _MOST_CHUNKS:
                _refuse(file, f"{_MOST_CHUNKS} chunks without pixels")
            if kind == b"PLTE" and not pixels:
                colours = file.some(at + 8, min(length, 768))
            longest = max(longest, min(length, file.size - at))
        at += 12 + length
    return colours, longest


def _refuse(file: Stored, what: str) -> NoReturn:
    raise InvalidInput(f"{file.name} cannot be read: it has more than {what}; re-save it.")
