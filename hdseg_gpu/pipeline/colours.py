"""Local Gaussian colour models of the classes, from moments summed over cells.

Models are estimated in colour windows: squares of cells, smoothed over their neighbours.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.classes import Classes
from hdseg_gpu.core.params import ImageStatistics
from hdseg_gpu.ops import ColourModels, Estimation, Nearby, Ops, Steps
from hdseg_gpu.pipeline.rounds import Lengths

# docs/decisions/0006-evidence.md lists the alternatives tried.
_LEVELS = 2  # colour windows, and _WIDER times as wide ones; then the whole image
_WIDER = 3.0
_PRIOR = 0.005  # weight of the wider windows, as a fraction of a colour window's pixels
_START = 1e-4  # times _PRIOR: weight of the whole image's colours in the widest windows
_RIDGE = 0.008  # added to the variances, as a fraction of the image's
_BOXES = sqrt(2.0)  # standard deviation of three successive box filters of width 3


@dataclass(frozen=True)
class Colours:
    """The normalisation of colours, and the moments of a window's cells."""

    center: NDArray[np.float64]  # (C,), an array of the backend
    scale: float  # x = (image - center) * scale
    cell: int  # side in pixels
    moments: NDArray[np.float32]  # (gh, gw, M): sums of 1, x_i and x_i x_j over each cell


def colours_of(ops: Ops, image: NDArray[Any], statistics: ImageStatistics, cell: int) -> Colours:
    """Return the moments of the cells of an image (H, W, C)."""
    center = ops.xp.asarray(statistics.center)
    moments = ops.cell_moments(image, cell, center, statistics.scale)
    return Colours(center, statistics.scale, cell, moments)


def begin_nearby(
    ops: Ops, colours: Colours, near: tuple[Classes, ...], count: int, spread: float
) -> Steps[Nearby]:
    """Start finding which classes need a model in which colour window, from classes near cells.

    A colour window has the models that pixels around it may need. So the models of a pixel do not
    depend on which part of the image is loaded, and a class costs nothing where it is not near.
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
    """Return colour models of the classes in all colour windows.

    own: the class of each cell, (gh, gw). weight: of each cell in that class's model, (gh, gw).
    spread: standard deviation of the smoothing, in pixels.
    """
    group, radii = windows_of(spread, colours.cell)
    size = group * colours.cell
    how = Estimation(group, float(size**2), radii, _PRIOR, _START * _PRIOR, _RIDGE)
    models = ops.colour_models(colours.moments, own, weight, count, nearby, how)
    return ColourModels(models, nearby, size)


def windows_for(spread: float, lengths: Lengths) -> tuple[int, int]:
    """Return the side of a colour window and how far a pixel's evidence reaches, in pixels.

    spread: in units of the scale.
    """
    group, radii = windows_of(spread * lengths.unit, lengths.cell)
    size = group * lengths.cell
    return size, max((3 * max(radii) + 1) * size, lengths.reach * lengths.cell + size)


def windows_of(spread: float, cell: int) -> tuple[int, tuple[int, ...]]:
    """Return the side of a colour window in cells, and the radii of the box filters over them."""
    group = max(1, int(spread / (_BOXES * cell)))
    size = group * cell
    return group, tuple(_radius(spread / size * _WIDER**level) for level in range(_LEVELS))


def _radius(spread: float) -> int:
    """Return the radius of box filters of which three in a row have this standard deviation.

    spread: s, with 4 s^2 = w^2 - 1 for width w = 2 radius + 1.
    """
    return max(1, round((sqrt(4 * spread**2 + 1) - 1) / 2))
