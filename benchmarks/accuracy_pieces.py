"""Helpers shared by methods of ``benchmarks.accuracy``: planes, seeds, tiles."""

from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import hdseg_gpu
from benchmarks.accuracy_items import Item

Window = tuple[slice, slice]
# (image, seeds 1..count and 0 where unknown, count) -> 1..count, 0 where it cannot tell
Solve = Callable[[NDArray[Any], NDArray[np.int32], int], NDArray[Any]]


class Skipped(Exception):
    """Raised by a method that cannot run here; the text is the reason."""


def labels_of(item: Item, found: NDArray[Any]) -> NDArray[Any]:
    """Convert refine()'s result for this item to labels: for probabilities it is class indices."""
    return item.values[found] if item.coarse.ndim == 3 else found


def nearest(item: Item) -> NDArray[Any]:
    """Return the coarse labels, or the likeliest class, enlarged by nearest neighbour."""
    coarse = item.coarse
    if coarse.ndim == 3:
        coarse = item.values[coarse.argmax(axis=0)]
    labels: NDArray[Any] = hdseg_gpu.refine(item.image, coarse, passes=0, interpolation="nearest")
    return labels


def linear_planes(item: Item) -> NDArray[np.float32]:
    """Return (K, H, W): the probabilities, or the labels' indicators, linearly enlarged."""
    h, w = item.truth.shape
    planes = item.coarse
    if planes.ndim == 2:
        planes = planes == item.values[:, None, None]
    return np.stack([
        cv2.resize(plane.astype(np.float32), (w, h), interpolation=cv2.INTER_LINEAR)
        for plane in planes
    ])  # fmt: skip


def rgb(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the image with three channels."""
    return np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image[..., :3]


def tiles(
    shape: tuple[int, ...], size: int, margin: int
) -> Iterator[tuple[Window, Window, Window]]:
    """Yield slices: of a tile with margin, of the tile within that, and of it in the image."""
    for top in range(0, shape[0], size):
        for left in range(0, shape[1], size):
            outer, within, inner = [], [], []
            for start, length in ((top, shape[0]), (left, shape[1])):
                stop, first = min(start + size, length), max(start - margin, 0)
                outer.append(slice(first, min(stop + margin, length)))
                within.append(slice(start - first, stop - first))
                inner.append(slice(start, stop))
            yield (outer[0], outer[1]), (within[0], within[1]), (inner[0], inner[1])


def decide_band(item: Item, solve: Solve, size: int) -> NDArray[Any]:
    """Return labels: seeds as in refine(), all other pixels decided by `solve`, tile by tile.

    The band is about 4 scale wide, so tiles need at least that margin. Pixels without any seed
    within reach keep their coarse label.
    """
    labels = nearest(item)
    seeds = hdseg_gpu.seeds(labels, scale=item.size)
    margin = max(64, round(6 * item.size))
    for outer, within, inner in tiles(labels.shape, size, margin):
        here = seeds[outer]
        present = np.unique(here[here > 0])
        unknown = here[within] == 0
        if not unknown.any() or present.size == 0:
            continue
        ranks = np.where(here > 0, np.searchsorted(present, here) + 1, 0).astype(np.int32)
        found = solve(item.image[outer], ranks, len(present))[within]
        decided = unknown & (found > 0)
        labels[inner][decided] = (present - 1)[found[decided] - 1]
    return labels
