"""Pixels to ignore: treated as if they were outside the image.

Classes are first extended into them, so that thinning sees no boundary there, as it sees none at
the image's border. Then they become walls, to which no edge leads.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.classes import Classes, wall_of
from hdseg_gpu.core.params import Coarse, Params
from hdseg_gpu.core.windows import GridMapping
from hdseg_gpu.ops import Ops
from hdseg_gpu.pipeline.graph import Reach

_VALUES = 1 << 20  # that are worked on at a time


def continued(coarse: Coarse) -> Coarse:
    """Return the coarse map with the nearest class, by city-block distance, at pixels to ignore."""
    if coarse.ignored is None:
        return coarse
    assert coarse.classes is not None
    (height, width), far = coarse.shape, sum(coarse.shape)  # as good as infinite
    away, row = np.empty(coarse.shape, np.int32), np.empty(coarse.shape, np.int32)
    classes = np.empty_like(coarse.classes)
    # The nearest row in each column first, then the nearest column in each row; some at a time.
    for part in _parts(width, height):
        start = np.where(coarse.ignored[:, part], far, 0).T
        away[:, part], row[:, part] = (found.T for found in _nearest(start))
    for part in _parts(height, width):
        _, column = _nearest(away[part])
        up = np.take_along_axis(row[part], column, axis=1)
        classes[part] = coarse.classes[up, column]
    return replace(coarse, classes=classes)


def _parts(count: int, length: int) -> Iterator[slice]:
    """Yield so many lines of a length, some at a time."""
    step = max(1, _VALUES // length)
    return (slice(first, first + step) for first in range(0, count, step))


def _nearest(start: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return min_j(start[:, j] + |i - j|) for each i of a row, and such a j."""
    count = start.shape[1]
    index = np.arange(count)
    # Value and index in one number, so that a running minimum carries both along.
    ahead = np.minimum.accumulate((start - index + count) * count + index, axis=1)
    behind = ((start + index) * count + index)[:, ::-1]
    behind = np.minimum.accumulate(behind, axis=1)[:, ::-1]
    before, after = ahead // count + index - count, behind // count - index
    return np.minimum(before, after), np.where(before <= after, ahead % count, behind % count)


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
