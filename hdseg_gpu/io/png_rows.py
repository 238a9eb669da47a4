"""Decoding large PNG files strip by strip, by rasterio."""

import sys
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.io.gdal import CACHE, LIBRARY, driver_for, environment
from hdseg_gpu.io.paths import decoding, quiet
from hdseg_gpu.io.png_jpeg import REMEDY, Head
from hdseg_gpu.io.stored import Stored

_STRIP_BYTES = 4 << 20  # decoded at once
_INTERLACED = 100_000_000  # largest interlaced image, in pixels, that GDAL accepts


def need_of(head: Head) -> int:
    """Return an upper bound of the memory that decoding takes, in bytes."""
    height, width = head.shape
    pixel = head.channels * max(1, head.depth // 8)
    lines = max(1, min(height, _INTERLACED // width)) if head.complete_at_end else 2
    strip = 2 * max(_STRIP_BYTES, width * pixel)  # as decoded, and with channels last
    library = 0 if "rasterio" in sys.modules else LIBRARY
    return lines * width * pixel + strip + CACHE + library + 3 * head.aside


def decode_png(path: Path, file: Stored, raw: BinaryIO, head: Head, folder: str) -> np.dtype[Any]:
    """Write all rows to `raw`, channels last, and return their dtype.

    An ``OSError`` is about `raw`; errors of `path` are ``InvalidInput``. GDAL opens `path` by its
    name, and `folder` is not used.
    """
    import rasterio

    with environment():
        with decoding(path), quiet():  # warnings about a missing georeference
            dataset = rasterio.open(path, driver=driver_for(path))
        with dataset:
            found = (dataset.height, dataset.width, dataset.count)
            if found != (*head.shape, head.channels):
                raise InvalidInput(
                    f"{path} has {head.channels} channels of {head.shape} pixels by its header, "
                    f"but is decoded as {found[2]} of {found[:2]}; {REMEDY}."
                )
            dtype: np.dtype[Any] = np.dtype(dataset.dtypes[0])
            _copy(path, dataset, raw, head.channels * dtype.itemsize)
    return dtype


def _copy(path: Path, dataset: Any, raw: BinaryIO, pixel: int) -> None:
    """Copy rows from the top down; going back would decode from the beginning again."""
    height, width = dataset.shape
    step = max(1, _STRIP_BYTES // (width * pixel))
    for top in range(0, height, step):
        with decoding(path):
            pixels = dataset.read(window=((top, min(top + step, height)), (0, width)))
        raw.write(np.ascontiguousarray(pixels.transpose(1, 2, 0)).data)
    raw.flush()
