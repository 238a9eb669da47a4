"""Planes of bits, 64 pixels to a word, and their neighbours."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

WORD = 64
Plane = NDArray[np.uint64]  # (H, words), see ``ops.pack``


def framed(xp: Any, plane: Plane, above: int, below: int, left: int, right: int) -> Plane:
    """Return a plane with rows and words of zeros around it."""
    height, words = plane.shape
    found: Plane = xp.zeros((above + height + below, left + words + right), np.uint64)
    found[above : above + height, left : left + words] = plane
    return found


def shifted(framed_plane: Plane, left: int, words: int, columns: int) -> Plane:
    """Return the plane whose pixel x is pixel x + `columns` of a framed one; rows stay framed.

    left: words of the frame before the first of the `words` of the plane.
    """
    first, bits = divmod(columns, WORD)
    first += left
    low = framed_plane[:, first : first + words]
    if bits == 0:
        return low
    high = framed_plane[:, first + 1 : first + 1 + words]
    found: Plane = (low >> np.uint64(bits)) | (high << np.uint64(WORD - bits))
    return found
