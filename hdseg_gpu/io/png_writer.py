"""Writing grey PNG files strip by strip; Pillow needs all pixels at once."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.io.formats import instead
from hdseg_gpu.io.paths import completed
from hdseg_gpu.io.pyramid import strips
from hdseg_gpu.io.source import Georeference, LabelSource

_ROWS = 512  # fetched, filtered and compressed at once
_LONGEST = (1 << 31) - 1  # bytes of a chunk
_UP = 2  # the filter that subtracts the row above
_STORED: dict[int, Any] = {1: np.bool_, 8: np.uint8, 16: np.dtype(">u2")}


def write_png_stream(path: Path, labels: LabelSource, _place: Georeference | None = None) -> None:
    """Write labels as a grey PNG, with one strip in memory at a time.

    bool takes 1 bit per pixel, uint8 8 and uint16 16. Other integers take 8 if the attribute
    ``largest`` of `labels` or their dtype shows that 8 suffice, else 16.
    """
    height, width = labels.shape
    bits = _depth(labels)
    with completed(path) as stream:
        stream.write(b"\x89PNG\r\n\x1a\n")
        _write_chunk(stream, b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0))
        for part in _compressed(_filtered(path, labels, bits)):
            for start in range(0, len(part), _LONGEST):
                _write_chunk(stream, b"IDAT", part[start : start + _LONGEST])
        _write_chunk(stream, b"IEND", b"")


def _depth(labels: LabelSource) -> int:
    """Return the bits per pixel."""
    if labels.dtype.kind == "b":
        return 1
    if labels.dtype == np.uint16:
        return 16  # kept, as in the other formats
    largest = int(np.iinfo(labels.dtype).max)
    return 8 if min(largest, getattr(labels, "largest", largest)) <= 255 else 16


def _filtered(path: Path, labels: LabelSource, bits: int) -> Iterator[NDArray[np.uint8]]:
    """Yield strips of filtered rows; each row begins with its filter type.

    The row above is subtracted, which leaves zeros except at boundaries. Unfiltered two-byte labels
    would not repeat from byte to byte; for one-byte labels the filter makes little difference.
    """
    above: Any = 0
    for rows in strips(labels, _ROWS):
        stored = _bytes_of(_fitting(path, rows, bits), bits)
        strip = np.empty((stored.shape[0], stored.shape[1] + 1), np.uint8)
        strip[:, 0] = _UP
        strip[0, 1:] = stored[0] - above
        np.subtract(stored[1:], stored[:-1], out=strip[1:, 1:])
        above = stored[-1].copy()
        yield strip


def _fitting(path: Path, rows: NDArray[Any], bits: int) -> NDArray[Any]:
    """Return the labels in the stored dtype; raises InvalidInput if that would change them."""
    if rows.dtype.kind == "i" or rows.dtype.itemsize * 8 > max(bits, 8):
        lowest, highest = int(rows.min()), int(rows.max())
        if lowest < 0 or highest >> bits:
            raise InvalidInput(
                f"output {path}: this PNG holds labels from 0 to {(1 << bits) - 1}, but these go "
                f"from {lowest} to {highest}; write {instead(lambda f: f.most is None)}."
            )
    return np.ascontiguousarray(rows, _STORED[bits])


def _bytes_of(rows: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    return np.packbits(rows, axis=1) if bits == 1 else rows.view(np.uint8)


def _compressed(strips: Iterator[NDArray[np.uint8]]) -> Iterator[bytes]:
    """Yield the parts of one zlib stream.

    On label maps, searching only for runs of equal bytes is two to four times faster than the
    default search, and the file is about as small.
    """
    press = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    for strip in strips:
        yield press.compress(strip.data)
    yield press.flush()


def _write_chunk(stream: BinaryIO, kind: bytes, content: bytes) -> None:
    if content or kind == b"IEND":
        check = zlib.crc32(content, zlib.crc32(kind))
        stream.write(struct.pack(">I", len(content)) + kind)
        stream.write(content)
        stream.write(struct.pack(">I", check))
