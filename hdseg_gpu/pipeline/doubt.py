"""Doubt: how unreliable the coarse map is near its boundaries, from 0 (trusted) to 1.

It is computed from two measurements. The first is the detail of the boundaries: those of a network
that decides at a lower resolution than its output are smooth, those of a downsampled sharp mask
have detail of single pixels. The second is how often colours near a boundary contradict it.
"""

from collections.abc import Callable, Iterable
from math import log

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.classes import Classes, wall_of
from hdseg_gpu.core.params import Coarse, CoarseSummary
from hdseg_gpu.core.windows import GridMapping, Shape, Window, between, placed, whole
from hdseg_gpu.ops import Band, Evidence, Ops
from hdseg_gpu.pipeline.evidence import Cells
from hdseg_gpu.pipeline.rounds import Lengths

# At _DETAIL flips per edge, doubt rises from 0 to 1 between these two contradictions; e times as
# much detail shifts both by _PER_DETAIL. They separate real networks from reduced masks, see
# docs/decisions/0006-evidence.md.
_CONTRADICTION = (0.54, 0.64)
_DETAIL = 0.1
_PER_DETAIL = 0.25
MOST_DETAIL = 0.2  # above it, doubt is 0 whatever the contradiction
OVERLAP = 8  # rows: twice as far as the blur reaches, see Ops.boundary_detail
_NEAR = (1.0, 2.0)  # distances at which contradiction is measured, in units of the scale
# With more than SAMPLE unknown pixels, contradiction is measured on some patches. Their choice does
# not depend on the tiling.
PATCH = 256  # side in pixels
SAMPLE = 1 << 18


def detail_of(ops: Ops, strips: Iterable[Classes]) -> float:
    """Return the number of pixels of a coarse map (h, w) that a blur flips, divided by its edges.

    strips: all its rows; each strip begins with the last OVERLAP rows of the one before.
    """
    flips = edges = 0
    for i, strip in enumerate(strips):
        # Shared rows are counted twice, so their counts are subtracted. Where a strip ends the blur
        # lacks rows, but it lacks the same ones in the shared rows, so the difference is exact.
        more = ops.boundary_detail(strip)
        shared = ops.boundary_detail(strip[:OVERLAP]) if i else (0, 0)
        flips, edges = flips + more[0] - shared[0], edges + more[1] - shared[1]
    return max(flips / max(edges, 1), 1e-4)


def doubt_of(detail: float, contradiction: float) -> float:
    """Return the doubt, 0 to 1, from the detail and the contradiction."""
    none, full = (limit + _PER_DETAIL * log(detail / _DETAIL) for limit in _CONTRADICTION)
    return min(1.0, max(0.0, (contradiction - none) / (full - none)))


def unknown_in_patches(ops: Ops, band: Band, window: Window, patches: Shape) -> NDArray[np.int64]:
    """Count the pixels of a window's band in each patch of the image: (rows, columns)."""
    rows, columns = ops.xp.divmod(ops.pixels(band), band.shape[1])
    patch = (rows + window.top) // PATCH * patches[1] + (columns + window.left) // PATCH
    counts: NDArray[np.int64] = ops.host(ops.xp.bincount(patch, minlength=patches[0] * patches[1]))
    return counts.reshape(patches)


def in_squares(unknown: NDArray[np.int64], side: int) -> NDArray[np.int64]:
    """Sum the counts of unknown pixels in patches over squares with the given side."""
    step = side // PATCH
    rows = np.add.reduceat(unknown, np.arange(0, unknown.shape[0], step), axis=0)
    return np.add.reduceat(rows, np.arange(0, unknown.shape[1], step), axis=1)


def patches_of(shape: Shape) -> Shape:
    """Return the rows and columns of patches of an image."""
    return -(-shape[0] // PATCH), -(-shape[1] // PATCH)


def patch_at(shape: Shape, index: int) -> Window:
    """Return the window of a patch of an image; patches are numbered row by row."""
    row, column = divmod(index, patches_of(shape)[1])
    top, left = row * PATCH, column * PATCH
    return between(top, left, top + PATCH, left + PATCH, shape)


def sample(unknown: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return the patches to measure on, from the number of unknown pixels in each."""
    order, counts = _order(unknown.size), unknown.reshape(-1)
    chosen = np.zeros(unknown.size, np.bool_)
    chosen[order] = np.cumsum(counts[order]) - counts[order] < SAMPLE
    return chosen.reshape(unknown.shape) & (unknown > 0)


def scattered(patches: Shape, count: int) -> NDArray[np.bool_]:
    """Return a mask of `count` patches spread over an image."""
    chosen = np.zeros(patches[0] * patches[1], np.bool_)
    chosen[_order(chosen.size)[:count]] = True
    return chosen.reshape(patches)


def _order(patches: int) -> NDArray[np.int64]:
    """Return the patches in a fixed order in which any first few are spread over the image."""
    # Fractional parts of multiples of the golden ratio: products wrap around.
    return np.argsort(np.arange(patches, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))


def grouped(chosen: NDArray[np.bool_], shape: Shape, tile: int, halo: int) -> list[list[int]]:
    """Return the chosen patches in groups, each of which is read as one window.

    The patches of a tile form one group if the window around them, halo included, has at most as
    many pixels as their own windows together; else each patch is its own group.
    """
    numbers = np.arange(chosen.size).reshape(chosen.shape)
    step, found = tile // PATCH, list[list[int]]()
    for top in range(0, chosen.shape[0], step):
        for left in range(0, chosen.shape[1], step):
            here = np.s_[top : top + step, left : left + step]
            patches: list[int] = numbers[here][chosen[here]].tolist()
            if not patches:
                continue
            together = _area(around(shape, patches).padded(halo, shape))
            apart = sum(_area(patch_at(shape, patch).padded(halo, shape)) for patch in patches)
            found += [patches] if together <= apart else [[patch] for patch in patches]
    return found


def _area(window: Window) -> int:
    return window.height * window.width


def around(shape: Shape, patches: list[int]) -> Window:
    """Return the bounding window of some patches."""
    windows = [patch_at(shape, patch) for patch in patches]
    return between(
        min(w.top for w in windows), min(w.left for w in windows),
        max(w.bottom for w in windows), max(w.right for w in windows), shape,
    )  # fmt: skip


def sampled(ops: Ops, seeds: Classes, band: Band) -> Band:
    """Return the part of an image's band on which contradiction is measured."""
    if band.size <= SAMPLE:
        return band
    shape = seeds.shape
    chosen = sample(unknown_in_patches(ops, band, whole(shape), patches_of(shape)))
    return band_in(ops, seeds, whole(shape), shape, np.flatnonzero(chosen).tolist())


def band_in(ops: Ops, seeds: Classes, window: Window, shape: Shape, patches: list[int]) -> Band:
    """Return the band of a window's seeds, restricted to some patches of the image."""
    masked = ops.xp.full_like(seeds, wall_of(seeds.dtype))
    for patch in patches:
        rows, columns = patch_at(shape, patch).relative_to(window).slices
        masked[rows, columns] = seeds[rows, columns]
    return ops.band(masked)


def contradictions_of(
    ops: Ops,
    band: Band,
    by_colour: Evidence,
    classes: Classes,
    nearest: Cells,
    lengths: Lengths,
    origin: tuple[int, int],
    count: int,
) -> NDArray[np.int64]:
    """Count each class's pixels near boundaries, and those with another class's colours: (2, K).

    origin: row and column, in pixels, of the band's window within the grid of cells.
    """
    near = _NEAR[0] * lengths.unit, _NEAR[1] * lengths.unit
    return ops.contradictions(
        band, by_colour, classes, nearest.distance, lengths.cell, origin, near, count
    )


def contradiction_of(counts: NDArray[np.int64]) -> float:
    """Return how strongly colours contradict the classes near boundaries, from counts (2, K).

    It is twice the mean over the classes, weighted by the square root of their pixels, of the
    fraction of pixels with another class's colours, 1 to 2 units from the boundary.
    """
    total, wrong = counts
    if not total.any():
        return 0.0
    return float(2 * np.average(wrong / np.maximum(total, 1), weights=np.sqrt(total)))


def drawn_grid(coarse: CoarseSummary, shape: Shape, scale: float) -> Shape:
    """Return the shape of the grid on which the network decided.

    It is smaller than the coarse map if the map was enlarged.
    """
    if scale <= coarse.scale_to(shape) * (1 + 1e-9):
        return coarse.shape
    return (
        min(coarse.shape[0], max(1, round(shape[0] / scale))),
        min(coarse.shape[1], max(1, round(shape[1] / scale))),
    )


def labels_at_scale(ops: Ops, read: Callable[[Window], Coarse], place: GridMapping) -> Classes:
    """Return the network's classes in a window of the grid of ``drawn_grid``, given by `place`.

    read: returns the part of the coarse map in a window of that map.
    """
    around = placed(place.part, place.grid, place.grid)
    coarse, part = read(around.part), around.part
    labels = coarse.classes
    if labels is None:
        assert coarse.probabilities is not None
        part = place.part
        labels = ops.upsample_argmax(coarse.probabilities, around, "linear")
    if place.shape == place.grid and place.window == part:
        return labels
    return ops.upsample_labels(labels, place._replace(part=part))
