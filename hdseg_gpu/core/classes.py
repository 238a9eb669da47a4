"""What class indices and masks are stored as."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Classes = NDArray[np.uint8 | np.uint16 | np.uint32]
Mask = NDArray[np.bool_ | np.uint8]


# The most classes, as many labels as 16 bits have; and the wall where there are so many that
# classes need 32 bits: tables of all values stay small, as in kernels/common/labels.h.
MAX_CLASSES = 1 << 16
_WALL_OF_MANY = (1 << 17) - 1


def class_dtype(count: int) -> type[np.uint8] | type[np.uint16] | type[np.uint32]:
    """Return the dtype of the class indices 0..K-1, and of the seeds 0..K and walls."""
    if count < np.iinfo(np.uint8).max:
        return np.uint8
    return np.uint16 if count < np.iinfo(np.uint16).max else np.uint32


def wall_of(dtype: Any) -> int:
    """Return the seed of pixels that are outside for everybody, larger than any other."""
    return min(int(np.iinfo(dtype).max), _WALL_OF_MANY)
