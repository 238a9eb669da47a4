"""Writing, by extension: PNG, TIFF, .npy and .npz; complete or not at all."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.io.arrays import write_array
from hdseg_gpu.io.paths import ARRAYS, completed
from hdseg_gpu.io.png_jpeg import write_png
from hdseg_gpu.io.tiff import write_tiff

_PNG_DTYPES = ("bool", "uint8", "uint16")


def check_labels(path: Path, dtype: np.dtype[Any], lowest: int, highest: int) -> None:
    """Refuse labels that the format of `path` cannot hold."""
    if path.suffix.lower() == ".png" and (lowest < 0 or highest > np.iinfo(np.uint16).max):
        raise InvalidInput(
            f"output {path}: PNG holds labels from 0 to 65535, these ({dtype}) go from {lowest} "
            f"to {highest}; write .tif or .npy."
        )


def write_labels(path: Path, labels: NDArray[Any], overwrite: bool = True) -> None:
    """Write a label map without loss, in its own dtype (PNG: the smallest that fits)."""
    suffix = path.suffix.lower()
    if suffix == ".png":
        check_labels(path, labels.dtype, int(labels.min()), int(labels.max()))
        if labels.dtype.name not in _PNG_DTYPES:
            small = labels.max() <= np.iinfo(np.uint8).max
            labels = labels.astype(np.uint8 if small else np.uint16)
    with completed(path, overwrite) as stream:
        if suffix in ARRAYS:
            write_array(stream, labels, suffix)
        elif suffix == ".png":
            write_png(stream, labels)
        else:
            write_tiff(stream, labels)


def write_picture(path: Path, pixels: NDArray[Any], overwrite: bool = True) -> None:
    """Write grey or RGB pixels as PNG."""
    with completed(path, overwrite) as stream:
        write_png(stream, pixels)
