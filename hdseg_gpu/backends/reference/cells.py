"""Cells by their definitions."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from hdseg_gpu.backends.host import HostOps
from hdseg_gpu.core.classes import Classes

_FARTHEST = 30.0
_REACH = 4  # of the window in boundary_detail
_SPREAD = 1.5


class ReferenceCellOps(HostOps):
    """The definitions, written down."""

    def cell_moments(
        self, image: NDArray[Any], cell: int, center: NDArray[np.float64], scale: float
    ) -> NDArray[np.float32]:
        height, width, channels = image.shape
        x = standardised(image, center, scale)
        i, j = np.triu_indices(channels)
        ones = np.ones((height, width, 1), np.float32)
        terms = np.concatenate([ones, x, x[..., i] * x[..., j]], axis=2)
        sums = np.zeros((-(-height // cell), -(-width // cell), terms.shape[2]), np.float32)
        for dy in range(min(cell, height)):
            for dx in range(min(cell, width)):
                # One pixel for each class of each cell.
                part = terms[dy::cell, dx::cell]
                sums[: part.shape[0], : part.shape[1]] += part
        return sums

    def cell_labels(self, labels: Classes, cell: int) -> Classes:
        height, width = labels.shape
        found = np.empty((-(-height // cell), -(-width // cell)), labels.dtype)
        for y, x in np.ndindex(*found.shape):
            pixels = labels[y * cell : (y + 1) * cell, x * cell : (x + 1) * cell]
            values, counts = np.unique(pixels, return_counts=True)  # ascending
            found[y, x] = values[counts.argmax()]
        return found

    def nearest_others(self, cells: Classes, reach: int) -> tuple[NDArray[np.float32], Classes]:
        nearest, nearest_other = np.full(cells.shape, np.inf), cells.copy()
        for k in np.unique(cells):
            to_k = distance_transform_edt(cells != k)
            # Squares are integers, so rounding finds equal distances.
            squared = np.rint(to_k**2)
            nearer = (cells != k) & (squared < nearest) & (squared <= reach**2)
            nearest[nearer], nearest_other[nearer] = squared[nearer], k
        return np.sqrt(nearest).astype(np.float32), nearest_other

    def boundary_detail(self, labels: Classes) -> tuple[int, int]:
        height, width = labels.shape
        padded = np.pad(labels, _REACH, mode="edge")
        own, total = np.zeros(labels.shape), 0.0
        for dy in range(-_REACH, _REACH + 1):
            for dx in range(-_REACH, _REACH + 1):
                weight = math.exp(-(dx * dx + dy * dy) / (2 * _SPREAD**2))
                other = padded[_REACH + dy :, _REACH + dx :][:height, :width]
                own += weight * (other == labels)
                total += weight
        across = labels[:, 1:] != labels[:, :-1]
        down = labels[1:] != labels[:-1]
        edges = np.count_nonzero(across) + np.count_nonzero(down)
        return int(np.count_nonzero(own < total / 2)), int(edges)


def standardised(
    values: NDArray[Any], center: NDArray[np.float64], scale: float
) -> NDArray[np.float32]:
    """Return (values - center) scale, clipped to +-30."""
    x = (values.astype(np.float64) - center) * scale
    return np.clip(x, -_FARTHEST, _FARTHEST).astype(np.float32)
