"""Counts and sums."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cpu.kernels import CpuKernels
from hdseg_gpu.core.classes import Classes


class CpuStatisticsOps(CpuKernels):
    """Allocates, calls, returns."""

    def histogram(self, values: Classes, count: int) -> NDArray[np.int64]:
        counts = np.empty(count, np.int64)
        self._kernels.histogram(values.reshape(-1), counts)
        return counts

    def standard_deviation(self, values: NDArray[Any]) -> float:
        return float(self._kernels.variance(values.reshape(-1)) ** 0.5)

    def channel_means(self, image: NDArray[Any]) -> NDArray[np.float64]:
        means = np.empty(image.shape[2])
        self._kernels.channel_means(image, means)
        return means
