"""Reading, by extension: PNG, JPEG, TIFF, .npy and .npz."""

import os
import warnings
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.coarse_map import coarse_cost
from hdseg_gpu.core.errors import InvalidInput, RefinementWarning, shown
from hdseg_gpu.core.memory import Budget, Cost, budget_of, nothing
from hdseg_gpu.core.windows import whole
from hdseg_gpu.io.arrays import read_array
from hdseg_gpu.io.open import open_within
from hdseg_gpu.io.paths import ARRAYS, JPEGS, PICTURES, TIFFS, existing_suffix, is_zarr
from hdseg_gpu.io.picture import Picture
from hdseg_gpu.io.png_jpeg import read_picture
from hdseg_gpu.io.source import ImageSource
from hdseg_gpu.io.tiff import read_tiff


def read_image(path: Path, key: str | None = None, budget: Budget | None = None) -> Picture:
    """Return an image file's pixels as stored; a palette's colours."""
    suffix = existing_suffix(path)
    _check_key(path, key)
    if suffix in ARRAYS:
        return Picture(read_array(path, key, budget), None)
    if suffix in TIFFS:
        return read_tiff(path, budget=budget)
    return read_picture(path, budget=budget)


def read_labels(
    path: Path, key: str | None = None, budget: Budget | None = None, cost: Cost = nothing
) -> NDArray[Any]:
    """Return a label map (h, w). A colour palette's indices are labels; a grey one is grey.

    cost: what it will take besides.
    """
    suffix = existing_suffix(path)
    _check_key(path, key)
    if suffix in TIFFS:
        pixels = read_tiff(path, True, budget, cost).pixels
    elif suffix in PICTURES:
        pixels = read_picture(path, True, budget, cost).pixels
        if suffix in JPEGS:
            warnings.warn(
                f"{path} is a JPEG, which does not keep labels exactly; save label maps as PNG.",
                RefinementWarning,
                stacklevel=2,
            )
    else:
        pixels = read_array(path, key, budget, cost)
    if pixels.ndim != 2:
        raise InvalidInput(
            f"{path}: a label map has one channel, this file has shape {pixels.shape}; "
            "save the labels as a grey or palette picture, or as .npy."
        )
    return pixels


def read_coarse(
    path: Path, key: str | None = None, budget: Budget | None = None, cost: Cost = nothing
) -> NDArray[Any]:
    """Return labels (h, w), or probabilities with three dimensions (.npy, .npz)."""
    if existing_suffix(path) in ARRAYS:
        _check_key(path, key)
        return read_array(path, key, budget, cost)
    return read_labels(path, key, budget, cost)


def read_coarse_placed(
    coarse: Any,
    key: str | None,
    image: ImageSource,
    budget: Budget | None = None,
    class_axis: int = 0,
) -> NDArray[Any]:
    """Return a coarse map from a file or array; one that lies elsewhere is refused.

    TIFFs and Zarr may say where they lie: they must cover the same ground as the image.
    """
    if not isinstance(coarse, str | os.PathLike):
        if key is not None:
            raise InvalidInput(f"key={shown(key)} is for files; the coarse map is an array.")
        found: NDArray[Any] = coarse
        return found
    path, budget = Path(coarse), budget or budget_of(None)
    cost = partial(coarse_cost, image.shape, class_axis)
    if is_zarr(path):
        return _read_zarr(path, key, budget, cost)
    if path.suffix.lower() in TIFFS and image.georeference is not None:
        from hdseg_gpu.io.georeference import check_same_place

        with open_within(budget, path) as placed:
            check_same_place(image, placed)
    return read_coarse(path, key, budget, cost)


def _read_zarr(path: Path, key: str | None, budget: Budget, cost: Cost) -> NDArray[Any]:
    """Return labels, or probabilities with the classes first."""
    with open_within(budget, path, key=key) as source:
        shape = source.shape if source.channels == 1 else (source.channels, *source.shape)
        turned = 0 if source.channels == 1 else 4  # bytes of a value, as the classes come last
        budget.require(
            prod(shape) * (source.dtype.itemsize + turned)
            + source.decoding
            + cost(shape, source.dtype),
            f"{source.name}: the whole array",
            "pass a smaller one",
        )
        pixels = source.read(whole(source.shape))
    return pixels[..., 0] if source.channels == 1 else np.moveaxis(pixels, -1, 0)


def _check_key(path: Path, key: str | None) -> None:
    if key is not None and path.suffix.lower() != ".npz":
        raise InvalidInput(
            f"{path} is no .npz file, so it holds no array {shown(key)}; pass no key."
        )
