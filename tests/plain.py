"""refine() without class evidence: the plain random walker, for tests that need exactly that."""

import numpy as np
import pytest

from hdseg_gpu import refine

# All that a method decides, except the passes: they depend on the scale.
PLAIN = {
    "elements": "9x9", "edges": None, "beta": 1000.0, "gamma": 0.0, "interpolation": "nearest",
    "solver": "auto", "unsure": 0.0, "prune": False, "majority": 1,
}  # fmt: skip


def plain(image, coarse, **options):
    """Return what refine() does with PLAIN and 2 passes for each unit of the scale.

    An option given wins; with gamma > 0 this is evidence on the plain walker's band.
    """
    given = PLAIN | {"passes": plain_passes(image, coarse, options)}
    if np.ndim(coarse) == 3:
        del given["interpolation"]  # of probabilities: the default
    return refine(image, coarse, **given | options)


def plain_passes(image, coarse, options):
    """Return 2 passes for each unit of the scale that is given, or that the shapes have."""
    scale = options.get("scale")
    if scale is None:
        h, w = sides(coarse, options.get("class_axis", 0))
        shape = sides(image, options.get("channel_axis", -1))
        scale = max(shape[0] / h, shape[1] / w) if shape != (h, w) else 8.0
    return max(1, round(2 * scale))


def sides(array, axis):
    """Return (height, width) of a picture or map whose channels or classes are on the axis."""
    shape = list(np.shape(array))
    if len(shape) == 3:
        del shape[axis]
    return tuple(shape)


# For what holds with evidence and without.
either_way = pytest.mark.parametrize("refined", [plain, refine], ids=["plain", "evidence"])
