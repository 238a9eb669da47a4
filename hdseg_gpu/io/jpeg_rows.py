"""Decoding large JPEG files into a file, by imagecodecs.

rasterio decodes strips, too, but its wheels come with another JPEG library than Pillow's, which
interpolates colours differently: pixels would depend on how a picture is read.
"""

import mmap
import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.windows import Shape
from hdseg_gpu.io.paths import decoding

_SCAN, _END = b"\xff\xda", b"\xff\xd9"  # markers, which pixels' codes cannot contain


def decode_jpeg(path: Path, raw: BinaryIO, shape: Shape, channels: int) -> np.dtype[Any]:
    """Write all rows to `raw`, channels last, and return their dtype.

    Rows go into pages of the file, which the system writes out when it needs the memory; a
    progressive JPEG takes twice its pixels' size besides, as it is complete with its end only.
    An ``OSError`` is one of `raw`: those of `path` are ``InvalidInput``.
    """
    import imagecodecs

    size = shape[0] * shape[1] * channels
    os.posix_fallocate(raw.fileno(), 0, size)  # a full disk met through a page kills the process
    pixels = np.memmap(raw, np.uint8, "r+", 0, shape if channels == 1 else (*shape, channels))
    with (
        decoding(path),
        path.open("rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as code,
    ):
        if code.rfind(_END) < code.rfind(_SCAN):
            # The decoder would fill what is missing with grey, without a word.
            raise InvalidInput(f"{path} cannot be read, it is cut short: its end is missing.")
        imagecodecs.jpeg8_decode(code, out=pixels)
    return np.dtype(np.uint8)
