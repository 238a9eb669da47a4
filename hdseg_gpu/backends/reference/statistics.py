"""Counts and sums, in NumPy."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.host import HostOps
from hdseg_gpu.core.classes import Classes


class ReferenceStatisticsOps(HostOps):
    """The definitions, written down."""

    def histogram(self, values: Classes, count: int) -> NDArray[np.int64]:
        return np.bincount(values.ravel(), minlength=count).astype(np.int64)

    def standard_deviation(self, values: NDArray[Any]) -> float:
        exact = values.astype(np.float64)
        # Relative to the first value, so that a constant image has exactly 0.
        return float((exact - exact.flat[0]).std())

    def channel_means(self, image: NDArray[Any]) -> NDArray[np.float64]:
        means: NDArray[np.float64] = image.astype(np.float64).mean(axis=(0, 1))
        return means
