"""Decompression with a limit on its output."""

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable
from typing import Any

RAW = lzma.FORMAT_RAW
# Largest dictionary of LZMA, in bytes. Only as much of it as is decompressed becomes resident.
LZMA_MEMORY = 256 << 20
_HEADER = 4096  # bytes within which LZMA gives its dictionary size
_MOST_PARTS = 1000  # concatenated streams, each of which may be empty
_ZSTD = 0xFD2FB528
_SKIPPED = range(0x184D2A50, 0x184D2A60)  # magic numbers of skippable frames


class TooLong(ValueError):
    """Data that decompress to more bytes than allowed."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"it decompresses to more than the {limit} bytes it should have")


def inflated(data: Any, limit: int, wbits: int) -> bytes:
    """Return decompressed zlib (wbits 15) or gzip (31) data."""
    return _all(lambda: zlib.decompressobj(wbits), data, limit)


def from_bz2(data: Any, limit: int) -> bytes:
    """Return decompressed bzip2 data."""
    return _all(bz2.BZ2Decompressor, data, limit)


def from_lzma(data: Any, limit: int, filters: Any = None, *, memory: int = LZMA_MEMORY) -> bytes:
    """Return decompressed LZMA data; `filters` describe raw streams without a container.

    memory: largest dictionary in bytes.
    """
    if filters is None:
        check_lzma(data, memory)
        return _all(lambda: lzma.LZMADecompressor(lzma.FORMAT_AUTO, memory), data, limit)
    for each in filters:
        if int(each.get("dict_size", 0)) > memory:
            raise ValueError(f"its dictionary has more than {memory} bytes")
    return _all(lambda: lzma.LZMADecompressor(RAW, None, filters), data, limit)


def check_lzma(data: Any, memory: int) -> None:
    """Raise ValueError if the header asks for a dictionary of more than `memory` bytes."""
    try:
        lzma.LZMADecompressor(lzma.FORMAT_AUTO, memory).decompress(bytes(data[:_HEADER]), 1)
    except lzma.LZMAError as error:
        if "limit" not in str(error):
            raise
        raise ValueError(f"its dictionary has more than {memory} bytes") from error


def from_zstd(data: bytes, limit: int) -> bytes:
    """Return decompressed Zstandard data."""
    import imagecodecs  # in the standard library only from Python 3.14 on

    check_zstd(data, limit)
    # Not all frames give their size, so the limit is allocated.
    return bytes(imagecodecs.zstd_decode(data, out=limit))


def _all(make: Callable[[], Any], data: Any, limit: int) -> bytes:
    """Decompress concatenated streams, up to the limit."""
    rest, found, parts = bytes(data), b"", 0
    while rest:
        stream, parts = make(), parts + 1
        if parts > _MOST_PARTS:
            raise ValueError(f"it is compressed in more than {_MOST_PARTS} parts")
        room = limit + 1 - len(found)
        if hasattr(stream, "unconsumed_tail"):  # zlib
            piece = stream.decompress(rest, room)
        else:
            piece = stream.decompress(rest, max_length=room)
        found = piece if not found else found + piece
        if len(found) > limit:
            raise TooLong(limit)
        if not stream.eof:
            raise ValueError("the compressed data end too early")
        rest = stream.unused_data
        if not rest.strip(b"\0"):  # padding
            break
    return found


def zstd_size(data: bytes) -> int | None:
    """Return the decompressed size of a Zstandard frame, None if its header has none."""
    if len(data) < 6:
        raise ValueError("the compressed data end too early")
    (magic,) = struct.unpack_from("<I", data)
    if magic in _SKIPPED:
        return None
    if magic != _ZSTD:
        raise ValueError("it is no Zstandard frame")
    flags = data[4]
    single = bool(flags & 0x20)
    at = 5 + (0 if single else 1) + (0, 1, 2, 4)[flags & 3]
    length = (1 if single else 0, 2, 4, 8)[flags >> 6]
    if length == 0:
        return None
    size = int.from_bytes(data[at : at + length], "little")
    return size + 256 if length == 2 else size


def check_zstd(data: bytes, limit: int) -> bool:
    """Raise TooLong if a frame's header exceeds the limit; return whether it has a size."""
    size = zstd_size(data)
    if size is not None and size > limit:
        raise TooLong(limit)
    return size is not None


def check_blosc(data: bytes, limit: int) -> None:
    """Raise TooLong if Blosc data decompress to more."""
    if len(data) < 16:
        raise ValueError("the compressed data end too early")
    size, _, packed = struct.unpack_from("<III", data, 4)
    if packed > len(data):
        raise ValueError("the compressed data end too early")
    if size > limit:
        raise TooLong(limit)


def check_lz4(data: bytes, limit: int) -> None:
    """Raise TooLong if LZ4 data, with numcodecs' size prefix, decompress to more."""
    if len(data) < 4:
        raise ValueError("the compressed data end too early")
    if not 0 <= struct.unpack_from("<i", data)[0] <= limit:
        raise TooLong(limit)
