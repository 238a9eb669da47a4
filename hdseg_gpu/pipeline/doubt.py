"""How far the coarse map is to be doubted near its boundaries: 0, not at all, to 1.

Two signs, and both must be there. A network that decides at a lower resolution than its answer has
draws boundaries without detail; one reduced from a sharp mask has detail of single pixels. And
where the boundary is wrong, the colours beside it contradict it.
"""

from math import log

import numpy as np

from hdseg_gpu.core.ops import Band, Classes, Evidence, NearestMap, Ops

# Where doubt ends and where it is full: between what real networks and reduced masks show. See
# docs/decisions/0006-evidence.md.
_DETAIL = (0.18, 0.10)  # flips per edge
_CONTRADICTION = (0.40, 0.50)
_NEAR = (1.0, 2.0)  # distances at which contradiction is measured, in units of the scale
SAMPLE = 1 << 17  # pixels that it is measured on


def doubt_of_detail(ops: Ops, coarse: Classes) -> float:
    """Return the doubt that the boundaries of a coarse map (h, w) give cause for."""
    flips, edges = ops.boundary_detail(coarse)
    detail = max(flips / max(edges, 1), 1e-9)
    none, full = _DETAIL
    return float(np.clip((log(none) - log(detail)) / (log(none) - log(full)), 0, 1))


def sample(band: Band) -> Band:
    """Return enough runs of a band to measure on."""
    step = max(1, band.size // SAMPLE)
    return band.select(np.arange(band.pixel.size) % step == 0)


def doubt_of_colours(
    band: Band, by_colour: Evidence, classes: Classes, nearest: NearestMap, cell: int, unit: float
) -> float:
    """Return the doubt that the colours give cause for, by their answer alone at some pixels.

    It follows twice the mean over the classes (weighted with the roots of their pixels) of the
    share of pixels with another colour, where the boundary is 1 to 2 units away.
    """
    pixels = band.pixels()
    rows, columns = np.divmod(pixels, band.shape[1])
    distance = (nearest.distance[rows // cell, columns // cell] - 0.5) * cell / unit
    own = classes.reshape(-1)[pixels].astype(np.int64)
    near = (distance >= _NEAR[0]) & (distance < _NEAR[1])
    if not near.any():
        return 0.0
    count = int(own.max()) + 1
    wrong = by_colour.label[:, 0].astype(np.int64) - 1 != own
    total = np.bincount(own[near], minlength=count)
    share = np.bincount(own[near & wrong], minlength=count) / np.maximum(total, 1)
    contradiction = 2 * np.average(share, weights=np.sqrt(total))
    none, full = _CONTRADICTION
    return float(np.clip((contradiction - none) / (full - none), 0, 1))
