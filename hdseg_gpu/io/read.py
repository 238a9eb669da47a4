"""Reading, by extension: PNG, JPEG, TIFF, .npy and .npz."""

import warnings
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput, RefinementWarning
from hdseg_gpu.io.arrays import read_array
from hdseg_gpu.io.paths import ARRAYS, JPEGS, PICTURES, TIFFS, existing_suffix
from hdseg_gpu.io.picture import Picture
from hdseg_gpu.io.png_jpeg import read_picture
from hdseg_gpu.io.tiff import read_tiff


def read_image(path: Path, key: str | None = None) -> Picture:
    """Return an image file's pixels as stored; a palette's colours."""
    suffix = existing_suffix(path)
    _check_key(path, key)
    if suffix in ARRAYS:
        return Picture(read_array(path, key), None)
    if suffix in TIFFS:
        return read_tiff(path)
    return read_picture(path)


def read_labels(path: Path, key: str | None = None) -> NDArray[Any]:
    """Return a label map (h, w). A colour palette's indices are labels; a grey one is grey."""
    suffix = existing_suffix(path)
    _check_key(path, key)
    if suffix in TIFFS:
        pixels = read_tiff(path, as_labels=True).pixels
    elif suffix in PICTURES:
        pixels = read_picture(path, as_labels=True).pixels
        if suffix in JPEGS:
            warnings.warn(
                f"{path} is a JPEG, which does not keep labels exactly; save label maps as PNG.",
                RefinementWarning,
                stacklevel=2,
            )
    else:
        pixels = read_array(path, key)
    if pixels.ndim != 2:
        raise InvalidInput(
            f"{path}: a label map has one channel, this file has shape {pixels.shape}; "
            "save the labels as a grey or palette picture, or as .npy."
        )
    return pixels


def read_coarse(path: Path, key: str | None = None) -> NDArray[Any]:
    """Return labels (h, w), or probabilities with three dimensions (.npy, .npz)."""
    if existing_suffix(path) in ARRAYS:
        _check_key(path, key)
        return read_array(path, key)
    return read_labels(path, key)


def _check_key(path: Path, key: str | None) -> None:
    if key is not None and path.suffix.lower() != ".npz":
        raise InvalidInput(f"{path} is no .npz file, so it holds no array {key!r}; pass no key.")
