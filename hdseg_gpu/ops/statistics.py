"""Counts, means and deviations of all values."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.classes import Classes


class StatisticsOps(ABC):
    """Counts and sums over a whole array."""

    @abstractmethod
    def histogram(self, values: Classes, count: int) -> NDArray[np.int64]:
        """Return how often each of 0..count-1 occurs, in host memory; no value is larger."""

    @abstractmethod
    def standard_deviation(self, values: NDArray[Any]) -> float:
        """Return the standard deviation of all values, in their own units, summed in float64."""

    @abstractmethod
    def channel_means(self, image: NDArray[Any]) -> NDArray[np.float64]:
        """Return the mean of each channel of (H, W, C), summed in float64: (C,) in host memory."""

    def spread(self, image: NDArray[Any]) -> tuple[NDArray[np.float64], float]:
        """Return ``channel_means`` and ``standard_deviation`` of (H, W, C)."""
        return self.channel_means(image), self.standard_deviation(image)
