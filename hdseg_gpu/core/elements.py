"""Structuring elements for the hit-or-miss transform."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput, shown

MAX_RADIUS = 4
# Direction of the miss side (x right, y down): N, NE, E, SE, S, SW, W, NW.
_DIRECTIONS = ((0, -1), (1, -1), (1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1))


def wedges(radius: int) -> NDArray[np.int8]:
    """Return eight wedges (8, 2 radius + 1, 2 radius + 1), see ``structuring_elements``."""
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    elements = np.zeros((8, *x.shape), np.int8)
    for element, (ux, uy) in zip(elements, _DIRECTIONS, strict=True):
        if ux == 0 or uy == 0:
            along, across = x * ux + y * uy, np.abs(x * uy - y * ux)
            miss, hit = along >= across, -along >= across
        else:
            miss = (x * ux >= 0) & (y * uy >= 0)
            hit = (x * ux <= 0) & (y * uy <= 0)
        element[miss] = -1
        element[hit] = 1
        element[radius, radius] = 1
    return elements


# Element sets by name: functions that return (m, n, n), n odd and at most 2 MAX_RADIUS + 1.
SETS: dict[str, Callable[[], NDArray[np.int8]]] = {
    "9x9": partial(wedges, 4),
    "3x3": partial(wedges, 1),
}


def structuring_elements(name: str) -> NDArray[np.int8]:
    """Return the structuring elements of a named set.

    Parameters
    ----------
    name : str
        ``"3x3"``: the textbook elements for thinning (Gonzalez & Woods, *Digital Image
        Processing*). ``"9x9"``: the same wedges at radius 4 (Saravanan, Challa, Danda 2022), see
        Notes.

    Returns
    -------
    ndarray of int8, shape (m, n, n)
        +1 hit (the pixel must lie in the set), -1 miss (outside), 0 don't care; the origin is
        the centre, a hit. These sets have m = 8 elements, in the order N, NE, E, SE, S, SW, W, NW.

    Raises
    ------
    InvalidInput
        The name is unknown.

    Notes
    -----
    For direction u and cell offset d = (x, y) other than the centre:

    * u along an axis: miss iff d.u >= abs(d x u), hit iff -d.u >= abs(d x u);
    * u diagonal: miss iff x ux >= 0 and y uy >= 0, hit iff x ux <= 0 and y uy <= 0.

    Examples
    --------
    >>> import hdseg_gpu
    >>> hdseg_gpu.structuring_elements("3x3")[0]
    array([[-1, -1, -1],
           [ 0,  1,  0],
           [ 1,  1,  1]], dtype=int8)
    """
    if not isinstance(name, str) or name not in SETS:
        raise InvalidInput(
            f"elements={shown(name)} is not an element set; choose one of {tuple(SETS)}."
        )
    return SETS[name]()
