"""Decoding large JPEG files into a file, by imagecodecs.

rasterio decodes strips, too, but its wheels contain another JPEG library than Pillow's, which
interpolates colours differently: pixels would depend on how an image is read.
"""

import tempfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.io.jpeg_head import jpeg_head
from hdseg_gpu.io.mapped import ROOM, Mapped, copy_into
from hdseg_gpu.io.paths import decoding
from hdseg_gpu.io.png_jpeg import Head
from hdseg_gpu.io.stored import Stored

_LIBRARY = 16 << 20  # bytes of memory of imagecodecs


def need_of(head: Head, size: int) -> int:
    """Return the bytes that decoding a file of `size` bytes takes: twice the pixels if progressive.

    Pixels and compressed data are in mapped files, whose pages are released.
    """
    pixels = head.shape[0] * head.shape[1] * head.channels
    return head.coefficients + min(ROOM, pixels) + min(ROOM, size) + _LIBRARY


def decode_jpeg(path: Path, file: Stored, raw: BinaryIO, head: Head, folder: str) -> np.dtype[Any]:
    """Write all rows to `raw`, channels last, and return their dtype.

    The file is copied to `folder` first, where nobody can truncate it while it is mapped. An
    ``OSError`` is about `raw` or `folder`; errors of `path` are ``InvalidInput``.
    """
    import imagecodecs

    with decoding(path):
        if not jpeg_head(str(path), file.some, file.size).ended:
            # The decoder would silently fill the rest with grey.
            raise InvalidInput(f"{path} cannot be read, it is cut short: its end is missing.")
    shape = head.shape if head.channels == 1 else (*head.shape, head.channels)
    with tempfile.TemporaryFile(prefix="hdseg-", dir=folder) as copy:
        copy_into(copy, path, file)
        with (
            Mapped(raw, head.shape[0] * head.shape[1] * head.channels) as memory,
            Mapped(copy, file.size) as code,
        ):
            pixels = np.frombuffer(memory, np.uint8).reshape(shape)
            with decoding(path):
                imagecodecs.jpeg8_decode(code, out=pixels)
    return np.dtype(np.uint8)
