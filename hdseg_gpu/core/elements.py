"""Structuring elements for the hit-or-miss transform."""

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput, shown

MAX_RADIUS = 4
_RADII = {"9x9": 4, "3x3": 1}
NAMES = tuple(_RADII)

# The miss side's direction (x right, y down): N, NE, E, SE, S, SW, W, NW.
_DIRECTIONS = ((0, -1), (1, -1), (1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1))


def structuring_elements(name: str) -> NDArray[np.int8]:
    """Return the eight elements of a set, in the order N, NE, E, SE, S, SW, W, NW.

    Parameters
    ----------
    name : {"9x9", "3x3"}
        ``"3x3"``: the textbook elements for thinning (Gonzalez & Woods, *Digital Image
        Processing*). ``"9x9"``: the same wedges at radius 4 (Saravanan, Challa, Danda 2022).

    Returns
    -------
    ndarray of int8, shape (8, n, n)
        +1 hit (the pixel must lie in the set), -1 miss (outside), 0 don't care; the origin is
        the centre, a hit.

    Raises
    ------
    InvalidInput
        The name is unknown.

    Notes
    -----
    For direction u and cell offset d = (x, y) other than the centre:

    * u along an axis: miss iff d.u >= abs(d x u), hit iff -d.u >= abs(d x u);
    * u diagonal: miss iff x ux >= 0 and y uy >= 0, hit iff x ux <= 0 and y uy <= 0.
    """
    if not isinstance(name, str) or name not in _RADII:
        raise InvalidInput(f"elements={shown(name)} is not an element set; choose one of {NAMES}.")
    r = _RADII[name]
    y, x = np.mgrid[-r : r + 1, -r : r + 1]
    elements = np.zeros((8, 2 * r + 1, 2 * r + 1), np.int8)
    for element, (ux, uy) in zip(elements, _DIRECTIONS, strict=True):
        if ux == 0 or uy == 0:
            along, across = x * ux + y * uy, np.abs(x * uy - y * ux)
            miss, hit = along >= across, -along >= across
        else:
            miss = (x * ux >= 0) & (y * uy >= 0)
            hit = (x * ux <= 0) & (y * uy <= 0)
        element[miss] = -1
        element[hit] = 1
        element[r, r] = 1
    return elements
