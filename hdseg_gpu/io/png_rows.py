"""Decoding large PNG files strip by strip, by rasterio."""

import warnings
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.windows import Shape
from hdseg_gpu.io.paths import decoding

_STRIP_PIXELS = 1 << 22  # decoded at once
_OPTIONS = {
    "GDAL_CACHEMAX": 64,  # MB; the default is a share of the machine's memory
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # the picture, not what lies beside it
    "GDAL_PAM_ENABLED": False,  # nor may anything be written there
}


def decode_png(path: Path, raw: BinaryIO, shape: Shape, channels: int) -> np.dtype[Any]:
    """Write all rows to `raw`, channels last, and return their dtype.

    An ``OSError`` is one of `raw`: those of `path` are ``InvalidInput``.
    """
    import rasterio

    with warnings.catch_warnings(), rasterio.Env(**_OPTIONS):
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with decoding(path):
            dataset = rasterio.open(path, driver="PNG")
        with dataset:
            found = (dataset.height, dataset.width, dataset.count)
            if found != (*shape, channels):
                raise InvalidInput(
                    f"{path} has {channels} channels of {shape} pixels by its header, but is "
                    f"decoded as {found[2]} of {found[:2]}; save it as a tiled TIFF."
                )
            _copy(path, dataset, raw)
            dtype: np.dtype[Any] = np.dtype(dataset.dtypes[0])
    return dtype


def _copy(path: Path, dataset: Any, raw: BinaryIO) -> None:
    """Go from the top down: a row above would be decoded from the beginning again."""
    height, width = dataset.shape
    step = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, step):
        with decoding(path):
            pixels = dataset.read(window=((top, min(top + step, height)), (0, width)))
        raw.write(np.ascontiguousarray(pixels.transpose(1, 2, 0)).data)
    raw.flush()
