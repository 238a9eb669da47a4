"""The colours of each class around every place: local Gaussian models from the sums of cells."""

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.ops import Classes, ColourModels, Ops
from hdseg_gpu.core.params import Survey
from hdseg_gpu.pipeline.rounds import Lengths

# docs/decisions/0006-evidence.md has what was tried instead of these.
_LEVELS = 2  # windows, and windows three times as wide; what is left is the whole picture's
_WIDER = 3.0
_PRIOR = 0.005  # share of a window's pixels that the wider windows count
_RIDGE = 0.008  # added to the variances, as a share of the picture's
_BOXES = sqrt(2.0)  # standard deviation of three box filters of 3


@dataclass(frozen=True)
class Colours:
    """How colour models see pixels, and the sums over the cells of a window of the picture."""

    center: NDArray[np.float64]  # (C,)
    scale: float  # x = (image - center) scale
    cell: int  # pixels
    moments: NDArray[np.float32]  # (gh, gw, M)


def colours_of(ops: Ops, image: NDArray[Any], frozen: Survey, cell: int) -> Colours:
    """Return the sums over cells of an image (H, W, C)."""
    moments = ops.cell_moments(image, cell, frozen.center, frozen.scale)
    return Colours(frozen.center, frozen.scale, cell, moments)


def colour_models(
    ops: Ops,
    colours: Colours,
    own: Classes,
    weight: NDArray[np.float32],
    count: int,
    spread: float,
    reach: int,
    others: tuple[Classes, ...] = (),
) -> ColourModels:
    """Return the models of all classes in windows with a standard deviation of `spread` pixels.

    A cell counts for the class `own` with `weight`. A class has models wherever one of its cells,
    in `own` or in other maps that say who is considered, is at most `reach` cells away: so a pixel
    finds the models that it would find in the whole picture, whatever part of it is at hand.
    """
    group, radii = _windows(spread, colours.cell)
    size = group * colours.cell
    windows = (-(-own.shape[0] // group), -(-own.shape[1] // group))
    # So many windows have cells within reach, and a pixel looks at the next window, too.
    cells = ops.class_boxes(own, count)
    for other in others:
        if other is not own:
            cells = _around_both(cells, ops.class_boxes(other, count))
    boxes = _boxes(cells, group, -(-reach // group) + 1, windows)
    first, models, entries = np.full(count, -1, np.int64), [], 0
    for k in np.flatnonzero(boxes[:, 2]).tolist():
        top, left, height, width = boxes[k].tolist()
        models.append(
            ops.colour_model(
                colours.moments, own, weight, k, group, float(size**2),
                (top, left, height, width), radii, _PRIOR, _RIDGE,
            ).reshape(height * width, -1)
        )  # fmt: skip
        first[k] = entries
        entries += height * width
    return ColourModels(ops.xp.concatenate(models), first, boxes, size)


def windows_for(spread: float, lengths: Lengths) -> tuple[int, int]:
    """Return the pixels of a window, and how far from a pixel its evidence comes.

    spread: in units of the scale.
    """
    group, radii = _windows(spread * lengths.unit, lengths.cell)
    size = group * lengths.cell
    return size, max((3 * max(radii) + 1) * size, lengths.reach * lengths.cell + size)


def _windows(spread: float, cell: int) -> tuple[int, tuple[int, ...]]:
    """Return the cells of a window, and the radii of the filters over windows."""
    group = max(1, int(spread / (_BOXES * cell)))
    size = group * cell
    return group, tuple(_radius(spread / size * _WIDER**level) for level in range(_LEVELS))


def _radius(spread: float) -> int:
    """Return the radius of three box filters that together spread so far: 4 s^2 = w^2 - 1."""
    return max(1, round((sqrt(4 * spread**2 + 1) - 1) / 2))


def _around_both(some: NDArray[np.int64], more: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return what is around two boxes, first and last row and column; -1 for none."""
    around = np.where([True, False, True, False], np.minimum(some, more), np.maximum(some, more))
    return np.where(some < 0, more, np.where(more < 0, some, around))


def _boxes(
    cells: NDArray[np.int64], group: int, margin: int, windows: tuple[int, int]
) -> NDArray[np.int64]:
    """Return top, left, height, width of the windows around each class's cells, 0 for none."""
    boxes = np.zeros_like(cells)
    for axis in (0, 1):
        low, high = cells[:, 2 * axis], cells[:, 2 * axis + 1]
        first = np.maximum(low // group - margin, 0)
        last = np.minimum(high // group + margin, windows[axis] - 1)
        boxes[:, axis], boxes[:, axis + 2] = first, last - first + 1
    boxes[cells[:, 0] < 0] = 0
    return boxes
