"""The tile sizes in the header of a JPEG 2000."""

import struct
from typing import NamedTuple

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.windows import Shape
from hdseg_gpu.io.boxes import Read, Unclear, boxes
from hdseg_gpu.io.stored import Stored

_CODESTREAM = b"\xff\x4f\xff\x51"  # SOC and SIZ
_SIGNATURE = b"jP  "  # the first box
_SAMPLE = 8  # bytes per sample of a tile in OpenJPEG: an integer, and its wavelet coefficient


class Jp2Head(NamedTuple):
    """The size of the image and of its tiles, and its components."""

    shape: Shape
    tile: Shape
    components: int
    palette: bool  # with one, decoders may turn a component into up to 255
    block: int  # bytes of a tile in GDAL, which may be larger than the image

    @property
    def decoding(self) -> int:
        """Return the bytes that decoding one tile takes."""
        return self.tile[0] * self.tile[1] * self.components * _SAMPLE + self.block


def jp2_head(read: Read, size: int) -> Jp2Head:
    """Return the header of the codestream; `read` returns some of the file's `size` bytes.

    Raises ``Unclear`` if there is none.
    """
    at, palette = _codestream(read, size)
    code = read(at, 43)
    if code[:4] != _CODESTREAM or len(code) < 42:
        raise Unclear("it holds no JPEG 2000")
    right, bottom, left, top, wide, high, tile_left, tile_top, components = struct.unpack_from(
        ">8IH", code, 8
    )
    bits = (code[42] & 0x7F) + 1 if len(code) > 42 else 8  # of the first component
    return Jp2Head(
        (max(0, bottom - top), max(0, right - left)),
        (min(high, max(0, bottom - tile_top)), min(wide, max(0, right - tile_left))),
        components,
        palette,
        high * wide * components * (1 if bits <= 8 else 2 if bits <= 16 else 4),
    )


def _codestream(read: Read, size: int) -> tuple[int, bool]:
    """Return where the codestream begins, and whether a palette comes before it."""
    start = read(0, 8)
    if start[:4] == _CODESTREAM:
        return 0, False
    palette = False
    if start[4:] == _SIGNATURE:
        for kind, begin, end in boxes(read, 0, size):
            # GDAL also accepts JP2C.
            if kind.lower() == b"jp2c":
                if kind != b"jp2c":
                    break
                return begin, palette
            if kind == b"jp2h":
                palette |= any(inner.kind == b"pclr" for inner in boxes(read, begin, end))
            palette |= kind == b"pclr"  # OpenJPEG also accepts it here
    raise Unclear("it holds no JPEG 2000")


def decoding_of(file: Stored) -> int:
    """Return the bytes that decoding a tile of a .jp2 takes."""
    try:
        return jp2_head(file.some, file.size).decoding
    except Unclear as error:
        raise InvalidInput(
            f"{file.name} cannot be read, it may be damaged or cut short: {error}."
        ) from error
