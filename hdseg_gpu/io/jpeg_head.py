"""The header of a JPEG: size, channels, progressive or not, number of scans."""

import re
import struct
from collections.abc import Callable
from typing import NamedTuple

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.windows import Shape

# Frame markers: some, such as C2, are progressive; C4, C8 and CC are no frames.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}  # F7: JPEG-LS
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
_ALONE = frozenset((0x01, *range(0xD0, 0xD9)))  # markers without a length
_SCAN, _END = 0xDA, 0xD9
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # cannot occur in entropy-coded data
_BLOCK = 1 << 20
_MOST_SEGMENTS = 10_000  # each of 64 KiB at most
MOST_SCANS = 100  # a scan of a few bytes passes over all pixels; encoders write up to about 20


class JpegHead(NamedTuple):
    """Properties of the frame and of the scans."""

    shape: Shape  # (0, 0) for tables only
    depth: int
    channels: int
    progressive: bool  # or in several scans: pixels are complete only at the end
    before: int  # bytes before the pixels
    ended: bool  # whether the end marker is present

    @property
    def coefficients(self) -> int:
        """Return the bytes of coefficients that a decoder holds until the pixels are complete."""
        return 2 * self.channels * self.shape[0] * self.shape[1] if self.progressive else 0


def jpeg_head(name: str, read: Callable[[int, int], bytes], size: int) -> JpegHead:
    """Return the header of a JPEG of `size` bytes; read(position, count) returns some of them."""
    if read(0, 2) != b"\xff\xd8":
        raise InvalidInput(f"{name} cannot be read, it may be damaged: it holds no JPEG.")
    shape, depth, channels, progressive = (0, 0), 8, 0, False
    at, scans, before, ended, steps = 2, 0, 0, False, 0
    while at + 4 <= size:
        marker = read(at, 4)
        if len(marker) < 4:
            break
        steps += 1
        if steps > _MOST_SEGMENTS:
            raise InvalidInput(
                f"{name} cannot be read: it has more than {_MOST_SEGMENTS} segments; re-save it."
            )
        kind = marker[1]
        if marker[0] != 0xFF or kind == 0xFF:  # bytes between segments, which decoders skip
            at = _next(read, at, size)
        elif kind in _ALONE:
            at += 2
        elif kind == _END:
            ended = True
            break
        else:
            (length,) = struct.unpack(">H", marker[2:])
            if kind in _FRAMES and channels == 0:
                frame = read(at + 4, 6)
                if len(frame) < 6:
                    break
                depth, height, width, channels = struct.unpack(">BHHB", frame)
                shape, progressive = (height, width), kind in _PROGRESSIVE
            at += 2 + max(length, 2)
            if kind == _SCAN:
                scans, before = scans + 1, before or at
                if scans > MOST_SCANS:
                    raise InvalidInput(
                        f"{name} cannot be read: it is coded in more than {MOST_SCANS} scans, each "
                        "of which passes over all pixels; save it with fewer."
                    )
                at = _next(read, at, size)
    ended = ended or (at + 2 <= size and read(at, 2) == b"\xff\xd9")
    return JpegHead(shape, depth, channels, progressive or scans > 1, before or at, ended)


def _next(read: Callable[[int, int], bytes], at: int, size: int) -> int:
    """Return the position of the next marker after entropy-coded data; `size` if there is none."""
    count = 1 << 12
    while at < size - 1:
        block = read(at, min(count, size - at))
        found = _MARKER.search(block)
        if found is not None:
            return at + found.start()
        if len(block) < 2:
            break
        at += len(block) - 1  # a marker may span two blocks
        count = min(2 * count, _BLOCK)
    return size
