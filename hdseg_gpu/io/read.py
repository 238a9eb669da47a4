"""Reading whole images, label maps and coarse maps, in any format."""

import os
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.coarse_map import coarse_cost
from hdseg_gpu.core.errors import InvalidInput, RefinementWarning, shown
from hdseg_gpu.core.memory import Budget, Cost, budget_of, nothing
from hdseg_gpu.io.formats import loaded
from hdseg_gpu.io.georeference import check_same_place
from hdseg_gpu.io.open import check_key, open_within
from hdseg_gpu.io.paths import format_to_read
from hdseg_gpu.io.picture import Picture
from hdseg_gpu.io.source import ImageSource

_TURNED = 4  # bytes per value to move the classes from the last axis to the first


def read_image(path: Path, key: str | None = None, budget: Budget | None = None) -> Picture:
    """Return the pixels of an image file as stored, or the colours of its palette."""
    budget = budget or budget_of(None)
    with open_within(budget, path, key=key, later=True) as source:
        return Picture(_taken(source, budget, nothing), source.alpha)


def read_labels(
    path: Path, key: str | None = None, budget: Budget | None = None, cost: Cost = nothing
) -> NDArray[Any]:
    """Return a label map (h, w); labels are the indices of a colour palette, or grey values.

    cost: further bytes that the array will need.
    """
    return _one_channel(path, _read(path, key, budget or budget_of(None), cost, None))


def read_coarse(
    path: Path,
    key: str | None = None,
    budget: Budget | None = None,
    cost: Cost = nothing,
    image: ImageSource | None = None,
) -> NDArray[Any]:
    """Return labels (h, w), or probabilities with three dimensions (.npy, .npz, Zarr).

    image: if both are georeferenced, their extents must agree.
    """
    found = _read(path, key, budget or budget_of(None), cost, image)
    chosen = format_to_read(path)
    if chosen.read_array is not None or (chosen.planes and found.ndim == 3):
        return found
    return _one_channel(path, found)


def read_coarse_placed(
    coarse: Any,
    key: str | None,
    image: ImageSource,
    budget: Budget | None = None,
    class_axis: int = 0,
) -> NDArray[Any]:
    """Return a coarse map from a file or array; its extent must be that of the image.

    Its size and the memory it will need are checked against the image and the budget before it is
    read.
    """
    if not isinstance(coarse, str | os.PathLike):
        if key is not None:
            raise InvalidInput(
                f"key={shown(key)} is for files, but the coarse map is an array; leave it out."
            )
        found: NDArray[Any] = coarse
        return found
    cost = partial(coarse_cost, image.shape, class_axis)
    return read_coarse(Path(coarse), key, budget, cost, image)


def _read(
    path: Path, key: str | None, budget: Budget, cost: Cost, image: ImageSource | None
) -> NDArray[Any]:
    """Return (H, W), (H, W, C), planes (C, H, W) of formats with `planes`, or any array."""
    chosen = format_to_read(path)
    check_key(path, chosen, key)
    if chosen.read_array is not None:
        array: NDArray[Any] = loaded(chosen.read_array)(path, key, budget, cost)
        return array
    with open_within(budget, path, key=key, later=True, as_labels=True) as source:
        if image is not None:
            check_same_place(image, source)
        found = _taken(source, budget, cost, planes=chosen.planes)
    if chosen.lossy:
        warnings.warn(
            f"{path} is a {chosen.name}, which does not keep labels exactly; save label maps as "
            "PNG.",
            RefinementWarning,
            stacklevel=4,
        )
    return found


def _taken(
    source: ImageSource, budget: Budget, cost: Cost, *, planes: bool = False
) -> NDArray[Any]:
    """Return all pixels, channels last, or first with `planes`; without axis for one channel."""
    one = source.channels == 1
    turned = 0 if one or not planes else _TURNED
    shape = source.shape if one or not planes else (source.channels, *source.shape)
    height, width = source.shape
    budget.require(
        height * width * source.channels * (source.dtype.itemsize + turned)
        + source.decoding
        + cost(shape, source.dtype),
        f"{source.name}: reading {height} x {width} pixels",
        "pass a smaller file",
    )
    pixels = source.take()
    if one:
        return pixels[..., 0]
    return np.moveaxis(pixels, -1, 0) if planes else pixels


def _one_channel(path: Path, labels: NDArray[Any]) -> NDArray[Any]:
    if labels.ndim != 2:
        raise InvalidInput(
            f"{path}: a label map has one channel, but this file has shape {labels.shape}; "
            "save the labels as a grey or palette image, or as .npy."
        )
    return labels
