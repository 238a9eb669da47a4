"""Ops of the backend `cpu` on cells."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cpu.kernels import CpuKernels
from hdseg_gpu.core.classes import Classes


class CpuCellOps(CpuKernels):
    """Allocates, calls, returns."""

    def cell_moments(
        self, image: NDArray[Any], cell: int, center: NDArray[np.float64], scale: float
    ) -> NDArray[np.float32]:
        height, width, channels = image.shape
        count = (channels + 1) * (channels + 2) // 2
        moments = np.empty((-(-height // cell), -(-width // cell), count), np.float32)
        self._kernels.cell_moments(image, cell, center, scale, moments)
        return moments

    def cell_labels(self, labels: Classes, cell: int) -> Classes:
        height, width = labels.shape
        found = np.empty((-(-height // cell), -(-width // cell)), labels.dtype)
        self._kernels.cell_labels(labels, cell, found)
        return found

    def nearest_others(self, cells: Classes, reach: int) -> tuple[NDArray[np.float32], Classes]:
        distance, nearest_other = np.empty(cells.shape, np.float32), np.empty_like(cells)
        self._kernels.nearest_others(cells, reach, distance, nearest_other)
        return distance, nearest_other

    def boundary_detail(self, labels: Classes) -> tuple[int, int]:
        return self._kernels.boundary_detail(labels)
