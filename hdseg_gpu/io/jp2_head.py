"""What a JPEG 2000 says of its tiles."""

import struct
from typing import NamedTuple

from hdseg_gpu.core.windows import Shape
from hdseg_gpu.io.stored import Stored

_CODESTREAM = b"\xff\x4f\xff\x51"  # SOC and SIZ
_LOOK = 1 << 20
_SAMPLE = 8  # bytes that OpenJPEG takes for a sample of a tile: a whole number, and wavelets of it


class Jp2Head(NamedTuple):
    """The size of the picture and of its tiles, and its components."""

    shape: Shape
    tile: Shape
    components: int

    @property
    def decoding(self) -> int:
        """Return the bytes that decoding one tile takes."""
        return self.tile[0] * self.tile[1] * self.components * _SAMPLE


def jp2_head(code: bytes) -> Jp2Head | None:
    """Return what the first codestream in some bytes says, None where there is none."""
    at = code.find(_CODESTREAM)
    if at < 0 or len(code) < at + 42:
        return None
    right, bottom, left, top, wide, high, tile_left, tile_top, components = struct.unpack_from(
        ">8IH", code, at + 8
    )
    size = max(0, bottom - top), max(0, right - left)
    return Jp2Head(
        size,
        (min(high, max(0, bottom - tile_top)), min(wide, max(0, right - tile_left))),
        components,
    )


def decoding_of(file: Stored) -> int:
    """Return the bytes that a tile of a .jp2 takes; 0 of other files."""
    head = jp2_head(file.start(_LOOK))
    return 0 if head is None else head.decoding
