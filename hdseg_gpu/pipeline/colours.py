"""The colours of each class around every place: local Gaussian models from the sums of cells."""

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.classes import Classes
from hdseg_gpu.core.params import ImageStatistics
from hdseg_gpu.ops import ColourModels, Nearby, Ops, Steps
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

    center: NDArray[np.float64]  # (C,), the backend's
    scale: float  # x = (image - center) scale
    cell: int  # pixels
    moments: NDArray[np.float32]  # (gh, gw, M)


def colours_of(ops: Ops, image: NDArray[Any], statistics: ImageStatistics, cell: int) -> Colours:
    """Return the sums over cells of an image (H, W, C)."""
    center = ops.xp.asarray(statistics.center)
    moments = ops.cell_moments(image, cell, center, statistics.scale)
    return Colours(center, statistics.scale, cell, moments)


def begin_nearby(
    ops: Ops, colours: Colours, near: tuple[Classes, ...], count: int, spread: float
) -> Steps[Nearby]:
    """Begin to find which classes need a model in which window, by the classes near each cell.

    Windows have the models that pixels around them may ask for: so a pixel finds those that it
    would find in the whole picture, whatever part of it is at hand, and a class costs nothing where
    it is not near.
    """
    group, _ = windows_of(spread, colours.cell)
    return ops.begin_nearby_classes(near, count, colours.cell, group)


def colour_models(
    ops: Ops,
    colours: Colours,
    own: Classes,
    weight: NDArray[np.float32],
    count: int,
    spread: float,
    nearby: Nearby,
) -> ColourModels:
    """Return models of the classes in windows with a standard deviation of `spread` pixels.

    A cell counts for the class `own` with `weight`.
    """
    group, radii = windows_of(spread, colours.cell)
    size = group * colours.cell
    models = ops.colour_models(
        colours.moments, own, weight, count, group, float(size**2), nearby, radii, _PRIOR, _RIDGE
    )
    return ColourModels(models, nearby, size)


def windows_for(spread: float, lengths: Lengths) -> tuple[int, int]:
    """Return the pixels of a window, and how far from a pixel its evidence comes.

    spread: in units of the scale.
    """
    group, radii = windows_of(spread * lengths.unit, lengths.cell)
    size = group * lengths.cell
    return size, max((3 * max(radii) + 1) * size, lengths.reach * lengths.cell + size)


def windows_of(spread: float, cell: int) -> tuple[int, tuple[int, ...]]:
    """Return the cells of a window, and the radii of the filters over windows."""
    group = max(1, int(spread / (_BOXES * cell)))
    size = group * cell
    return group, tuple(_radius(spread / size * _WIDER**level) for level in range(_LEVELS))


def _radius(spread: float) -> int:
    """Return the radius of three box filters that together spread so far: 4 s^2 = w^2 - 1."""
    return max(1, round((sqrt(4 * spread**2 + 1) - 1) / 2))
