"""Ignored pixels, treated as if they were outside the image.

First, classes are extended into them, so that thinning finds no boundary there, just as it finds
none at the image's border. Then they become walls, to which no edge leads.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.classes import Classes, wall_of
from hdseg_gpu.core.params import Coarse, Params
from hdseg_gpu.core.windows import GridMapping
from hdseg_gpu.ops import Ops
from hdseg_gpu.pipeline.graph import Reach

_STRIP = 1 << 21  # values processed together
_VALUES = 1 << 18  # pixels of a strip


class Rows(Protocol):
    """An array (h, w) whose rows are read and written: of NumPy, or in a file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (h, w)."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the type of its values."""

    def __getitem__(self, rows: Any) -> NDArray[Any]:
        """Return the rows of a slice, or one row."""

    def __setitem__(self, rows: Any, values: NDArray[Any]) -> None:
        """Replace them."""


def continued(coarse: Coarse) -> Coarse:
    """Return the coarse map with the nearest class, by city-block distance, at ignored pixels."""
    if coarse.ignored is None:
        return coarse
    assert coarse.classes is not None
    classes: NDArray[Any] = coarse.classes.copy()
    extend_into_ignored(classes, coarse.ignored, np.empty)
    return replace(coarse, classes=classes)


def extend_into_ignored(
    classes: Rows, ignored: Rows, room: Callable[[tuple[int, int], np.dtype[Any]], Rows]
) -> None:
    """Set each ignored pixel to the nearest class by city-block distance; not all may be ignored.

    room: makes an array of a shape and dtype, for one row of intermediate results per strip.

    First the nearest pixel within each column is found, then the nearest column within each row.
    Strips of rows are processed downwards, then upwards; each passes only one row to the next.
    """
    height, width = classes.shape
    step = max(1, _STRIP // width)
    strips = [slice(top, min(top + step, height)) for top in range(0, height, step)]
    above_at = room((len(strips), width), np.dtype(np.int32))
    above = room((len(strips), width), classes.dtype)
    far = np.int32(height + width)  # larger than any distance
    at, seen = np.full(width, -far, np.int32), np.zeros(width, classes.dtype)
    for i, rows in enumerate(strips):
        above_at[i], above[i] = at, seen
        own, holes = classes[rows], ignored[rows]
        if holes.any():
            here = _seen_before(own, holes, rows.start, at, seen)
            at, seen = here[0][-1], here[1][-1]
        else:
            at, seen = np.full_like(at, rows.stop - 1), own[-1]
    at, seen = np.full(width, height + far, np.int32), np.zeros(width, classes.dtype)
    for i, rows in reversed(list(enumerate(strips))):
        own, holes = classes[rows], ignored[rows]
        if not holes.any():
            at, seen = np.full_like(at, rows.start), own[0]
            continue
        up, first = _seen_before(own, holes, rows.start, above_at[i], above[i])
        # In reverse order, rows are numbered backwards from 0.
        down, second = _seen_before(own[::-1], holes[::-1], 1 - rows.stop, -at, seen)
        down, second = -down[::-1], second[::-1]
        at, seen = down[0], second[0]
        row = np.arange(rows.start, rows.stop, dtype=np.int32)[:, None]
        before = row - up <= down - row
        away = np.minimum(np.where(before, row - up, down - row), far)
        classes[rows] = _across(away, np.where(before, first, second))


def _seen_before(
    classes: NDArray[Any],
    ignored: NDArray[np.bool_],
    top: int,
    at: NDArray[np.int32],
    seen: NDArray[Any],
) -> tuple[NDArray[np.int32], NDArray[Any]]:
    """Return for each pixel the last row up to it that is not ignored, and its class there.

    top: row of the first line; at, seen: the same of the line before.
    """
    row = np.arange(len(classes), dtype=np.int32)[:, None]
    last = np.maximum.accumulate(np.where(ignored, np.int32(-1), row), axis=0)
    found = np.take_along_axis(classes, np.maximum(last, 0), axis=0)
    inside = last >= 0
    return np.where(inside, last + np.int32(top), at), np.where(inside, found, seen)


def _across(away: NDArray[np.int32], classes: NDArray[Any]) -> NDArray[Any]:
    """Return for each pixel the class of the column with the least sum of both distances."""
    found = np.empty_like(classes)
    step = max(1, _VALUES // away.shape[1])
    for top in range(0, len(away), step):
        rows = slice(top, top + step)
        found[rows] = np.take_along_axis(classes[rows], _nearest(away[rows]), axis=1)
    return found


def _nearest(start: NDArray[Any]) -> NDArray[np.int64]:
    """Return a j with the least start[:, j] + |i - j| for each i of a row."""
    count = start.shape[1]
    index = np.arange(count)
    # Value and index in one number, so that a running minimum keeps both.
    ahead = np.minimum.accumulate((start - index + count) * count + index, axis=1)
    behind = ((start + index) * count + index)[:, ::-1]
    behind = np.minimum.accumulate(behind, axis=1)[:, ::-1]
    before, after = ahead // count + index - count, behind // count - index
    found: NDArray[np.int64] = np.where(before <= after, ahead % count, behind % count)
    return found


def raise_walls(
    ops: Ops,
    ignored: NDArray[np.bool_],
    place: GridMapping,
    classes: Classes,
    seeds: Classes,
    params: Params,
) -> None:
    """Mark ignored pixels as walls in the seeds.

    Without evidence, unknown pixels that walls cut off from all seeds get seeds of their class.
    """
    put_walls(ops, ignored, place, seeds)
    if params.gamma > 0:
        return
    band = ops.band(seeds)
    reach = Reach.of(ops, band, seeds, None)
    cut_off = ops.pixels(ops.select(band, reach.runs_with(ops, reach.counts == 0)))
    seeds.reshape(-1)[cut_off] = classes.reshape(-1)[cut_off] + 1


def put_walls(ops: Ops, ignored: NDArray[np.bool_], place: GridMapping, seeds: Classes) -> None:
    """Mark ignored pixels as walls in the seeds; the mask is enlarged by nearest neighbour."""
    walls: NDArray[Any] = ops.upsample_labels(ignored.view(np.uint8), place)
    ops.xp.copyto(seeds, wall_of(seeds.dtype), where=walls != 0)
