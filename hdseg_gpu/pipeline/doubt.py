"""How far the coarse map is to be doubted near its boundaries: 0, not at all, to 1.

Two signs, and both must be there. A network that decides at a lower resolution than its answer has
draws boundaries without detail; one reduced from a sharp mask has detail of single pixels. And
where the boundary is wrong, the colours beside it contradict it.
"""

from math import log

import numpy as np

from hdseg_gpu.core.ops import Band, Classes, Evidence, NearestMap, Ops

# The contradiction at which doubt begins and is full, where there are _DETAIL flips per edge, and
# what e times as much detail adds to it: between what real networks and reduced masks show. See
# docs/decisions/0006-evidence.md.
_CONTRADICTION = (0.54, 0.64)
_DETAIL = 0.1
_PER_DETAIL = 0.25
MOST_DETAIL = 0.2  # more than that leaves no doubt, whatever the colours say
_NEAR = (1.0, 2.0)  # distances at which contradiction is measured, in units of the scale
SAMPLE = 1 << 17  # pixels that it is measured on


def detail_of(ops: Ops, coarse: Classes) -> float:
    """Return how many pixels of a coarse map (h, w) a blur would flip, for each of its edges."""
    flips, edges = ops.boundary_detail(coarse)
    return max(flips / max(edges, 1), 1e-4)


def doubt_of(detail: float, contradiction: float) -> float:
    """Return the doubt that both give cause for."""
    none, full = (limit + _PER_DETAIL * log(detail / _DETAIL) for limit in _CONTRADICTION)
    return min(1.0, max(0.0, (contradiction - none) / (full - none)))


def sample(ops: Ops, band: Band) -> Band:
    """Return enough runs of a band to measure on."""
    step = max(1, band.size // SAMPLE)
    return ops.select(band, ops.xp.arange(len(band.pixel)) % step == 0)


def contradiction_of(
    ops: Ops,
    band: Band,
    by_colour: Evidence,
    classes: Classes,
    nearest: NearestMap,
    cell: int,
    unit: float,
    count: int,
) -> float:
    """Return how the colours' answer at some pixels contradicts the classes near boundaries.

    It is twice the mean over the classes (weighted with the roots of their pixels) of the
    share of pixels with the colours of another, where the boundary is 1 to 2 units away.
    """
    near = _NEAR[0] * unit, _NEAR[1] * unit
    total, wrong = ops.contradictions(band, by_colour, classes, nearest.distance, cell, near, count)
    if not total.any():
        return 0.0
    return float(2 * np.average(wrong / np.maximum(total, 1), weights=np.sqrt(total)))
