"""The size of images compressed within a TIFF, read from their headers before decoding."""

import struct
from collections.abc import Callable
from typing import NamedTuple

from hdseg_gpu.io.boxes import Unclear, boxes
from hdseg_gpu.io.jp2_head import jp2_head
from hdseg_gpu.io.jpeg_head import jpeg_head

_JPEGXL = b"\xff\x0a"  # the first bytes of a codestream
_MOST_SAMPLES = 65_535  # of a pixel


class Coded(NamedTuple):
    """Rows, columns, and samples per pixel; (0, 0) if the codestream does not give its size."""

    rows: int
    columns: int
    samples: int


def of_jpeg(data: bytes) -> Coded:
    """Return the size of a JPEG, (0, 0) if only its container has it."""
    head = jpeg_head("it", _reader(data), len(data))
    return Coded(*head.shape, head.channels)


def of_jpeg2000(data: bytes) -> Coded:
    """Return the size of a JPEG 2000."""
    head = jp2_head(_reader(data), len(data))
    if head.palette:
        raise Unclear("it has a palette")
    return Coded(*head.shape, head.components)


def of_png(data: bytes) -> Coded:
    """Return the size of a PNG."""
    if data[:4] != b"\x89PNG" or data[12:16] != b"IHDR" or len(data) < 26:
        raise Unclear("it holds no PNG")
    width, height, _, colour = struct.unpack_from(">IIBB", data, 16)
    return Coded(height, width, {0: 1, 2: 3, 3: 3, 4: 2}.get(colour, 4))


def of_webp(data: bytes) -> Coded:
    """Return the size of a WebP image that is not animated."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(data) < 30:
        raise Unclear("it holds no WebP")
    kind = data[12:16]
    if kind == b"VP8X":
        if data[20] & 2:
            raise Unclear("it is animated")
        return Coded(_little(data, 27, 3) + 1, _little(data, 24, 3) + 1, 4)
    if kind == b"VP8L":
        bits = _little(data, 21, 4)
        return Coded((bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1, 4)
    if kind == b"VP8 ":
        return Coded(_little(data, 28, 2) & 0x3FFF, _little(data, 26, 2) & 0x3FFF, 3)
    raise Unclear("it holds no WebP")


def of_lerc(data: bytes) -> Coded:
    """Return the size of a LERC image, whose bands may be stored one after another."""
    at, rows, columns, samples = 0, 0, 0, 0
    while data[at : at + 6] == b"Lerc2 ":
        if len(data) < at + 38:
            raise Unclear("it is cut short")
        (version,) = struct.unpack_from("<i", data, at + 6)
        sizes = struct.unpack_from("<6i", data, at + (14 if version >= 3 else 10))
        values, length = (sizes[2], sizes[5]) if version >= 4 else (1, sizes[4])
        if min(*sizes[:2], values, length - 34) < 0:
            raise Unclear("it has a negative size")
        rows, columns = max(rows, sizes[0]), max(columns, sizes[1])
        samples += max(1, values)
        if samples > _MOST_SAMPLES:
            raise Unclear(f"it has more than {_MOST_SAMPLES} bands")
        at += length
    if not samples:
        raise Unclear("it holds no LERC of version 2")
    return Coded(rows, columns, samples)


def of_jpegxl(data: bytes) -> Coded:
    """Return the size of a JPEG XL of one frame."""
    data = _jpegxl_code(data)
    if data[:2] != _JPEGXL:
        raise Unclear("it holds no JPEG XL")
    read = _bits(data[2:])
    rows, columns = _jpegxl_size(read)
    extra = 0
    if not read(1):  # not all default
        if read(1):  # extra fields
            read(3)
            if read(1) or read(1) or read(1):
                raise Unclear("it has a preview or is animated")
        if read(1):  # samples are floats
            _number(read, (32, 0), (16, 0), (24, 0), (1, 6))
            read(4)
        else:
            _number(read, (8, 0), (10, 0), (12, 0), (1, 6))
        read(1)
        extra = _number(read, (0, 0), (1, 0), (2, 4), (1, 12))
    return Coded(rows, columns, 1 + extra)  # at least: grey or colour is given elsewhere


def _jpegxl_code(data: bytes) -> bytes:
    """Return the beginning of the codestream, which may be in one box or split over several."""
    if data[:2] == _JPEGXL:
        return data[:66]
    if data[4:8] != b"JXL ":
        raise Unclear("it holds no JPEG XL")
    for kind, begin, end in boxes(_reader(data), 0, len(data)):
        if kind == b"jxlc":
            return data[begin : min(end, begin + 66)]
        if kind == b"jxlp":
            if data[begin : begin + 4] not in (bytes(4), b"\x80\0\0\0"):  # first, or first and last
                break
            return data[begin + 4 : min(end, begin + 70)]
    raise Unclear("it holds no JPEG XL")


def _jpegxl_size(read: Callable[[int], int]) -> tuple[int, int]:
    small = read(1)
    lengths = ((1, 9), (1, 13), (1, 18), (1, 30))
    rows = (read(5) + 1) * 8 if small else _number(read, *lengths)
    ratio = read(3)
    if ratio:
        up, down = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio - 1]
        return rows, rows * up // down
    return rows, (read(5) + 1) * 8 if small else _number(read, *lengths)


def _number(read: Callable[[int], int], *choices: tuple[int, int]) -> int:
    """Return a JPEG XL integer: two bits choose the offset and the number of bits that follow."""
    add, bits = choices[read(2)]
    return add + read(bits)


def _bits(data: bytes) -> Callable[[int], int]:
    """Return a function that reads the next bits, lowest first."""
    value, left = int.from_bytes(data, "little"), 8 * len(data)

    def read(count: int) -> int:
        nonlocal value, left
        if count > left:
            raise Unclear("it is cut short")
        found = value & ((1 << count) - 1)
        value, left = value >> count, left - count
        return found

    return read


def _reader(data: bytes) -> Callable[[int, int], bytes]:
    return lambda at, count: data[at : at + count]


def _little(data: bytes, at: int, count: int) -> int:
    return int.from_bytes(data[at : at + count], "little")
