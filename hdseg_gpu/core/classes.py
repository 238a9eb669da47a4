"""The dtypes of class indices and masks."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Classes = NDArray[np.uint8 | np.uint16 | np.uint32]
Mask = NDArray[np.bool_ | np.uint8]


# The largest number of classes: all labels of 16 bits. If classes need 32 bits, the wall is not the
# largest value but this, so that tables of all values stay small (kernels/common/labels.h).
MAX_CLASSES = 1 << 16
_WALL_OF_MANY = (1 << 17) - 1


def class_dtype(count: int) -> type[np.uint8] | type[np.uint16] | type[np.uint32]:
    """Return the dtype of class indices 0..K-1, which also holds seeds 0..K and the wall."""
    if count < np.iinfo(np.uint8).max:
        return np.uint8
    return np.uint16 if count < np.iinfo(np.uint16).max else np.uint32


def wall_of(dtype: Any) -> int:
    """Return the seed value of ignored pixels, larger than any other."""
    return min(int(np.iinfo(dtype).max), _WALL_OF_MANY)
