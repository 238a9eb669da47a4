"""From the coarse map to a class for each pixel of the image."""

from dataclasses import replace

import numpy as np

from hdseg_gpu.core.ops import Classes, Ops, class_dtype
from hdseg_gpu.core.params import Coarse, Params
from hdseg_gpu.core.windows import Placement, placed

# Where so many classes occur, parts of the window have fewer; down to so many pixels.
_MANY = 8
_SMALL = 512


def upsample(ops: Ops, coarse: Coarse, place: Placement, params: Params) -> Classes:
    """Return class indices in a window of the picture, from the part of the map that is at hand.

    Labels are enlarged by nearest neighbour, or interpolated as one plane a class, which rounds
    the stairs; probabilities are interpolated.
    """
    if coarse.probabilities is not None:
        return ops.upsample_argmax(coarse.probabilities, place, params.interpolation)
    assert coarse.classes is not None
    if params.interpolation == "nearest":
        return ops.upsample_labels(coarse.classes, place)
    # The planes sum to 1, so a class that does not occur is nowhere the largest.
    present = np.flatnonzero(ops.histogram(coarse.classes, coarse.count))
    dtype = class_dtype(coarse.count)
    if len(present) == 1:
        alone: Classes = ops.xp.full(place.window.shape, present[0], dtype)
        return alone
    if len(present) > _MANY and max(place.window.shape) > _SMALL:
        return _in_quarters(ops, coarse, place, params)
    planes = ops.xp.empty((len(present), *coarse.classes.shape), np.float32)
    for plane, k in zip(planes, present.tolist(), strict=True):
        plane[:] = coarse.classes == k
    found = ops.upsample_argmax(planes, place, params.interpolation)
    if len(present) == coarse.count:
        return found
    return ops.xp.asarray(present.astype(dtype))[found]  # type: ignore[no-any-return]


def _in_quarters(ops: Ops, coarse: Coarse, place: Placement, params: Params) -> Classes:
    """Return the same, from smaller windows: what a plane costs does not depend on its class."""
    assert coarse.classes is not None
    window = place.window
    found: Classes = ops.xp.empty(window.shape, class_dtype(coarse.count))
    side = -(-max(window.shape) // 2)
    for quarter in window.divided(side):
        part = placed(quarter, place.shape, place.grid)
        inside = part.part.seen_from(place.part).slices
        smaller = replace(coarse, classes=ops.xp.ascontiguousarray(coarse.classes[inside]))
        found[quarter.seen_from(window).slices] = upsample(ops, smaller, part, params)
    return found
