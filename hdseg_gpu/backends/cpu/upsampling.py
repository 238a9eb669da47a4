"""The coarse map, enlarged."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cpu.kernels import CpuKernels
from hdseg_gpu.core.classes import Classes, class_dtype
from hdseg_gpu.core.windows import GridMapping


class CpuUpsamplingOps(CpuKernels):
    """Allocates, calls, returns."""

    def upsample_labels(self, coarse: Classes, place: GridMapping) -> Classes:
        fine = np.empty(place.window.shape, coarse.dtype)
        self._kernels.upsample_labels(coarse, place, fine)
        return fine

    def upsample_classes(self, coarse: Classes, place: GridMapping, interpolation: str) -> Classes:
        fine = np.empty(place.window.shape, coarse.dtype)
        self._kernels.upsample_classes(coarse, place, interpolation, fine)
        return fine

    def upsample_argmax(
        self, planes: NDArray[np.float32], place: GridMapping, interpolation: str
    ) -> Classes:
        fine: NDArray[Any] = np.empty(place.window.shape, class_dtype(len(planes)))
        self._kernels.upsample_argmax(planes, place, interpolation, fine)
        return fine

    def sample_planes(
        self,
        planes: NDArray[np.float32],
        place: GridMapping,
        pixels: NDArray[np.int64],
        interpolation: str,
    ) -> NDArray[np.float64]:
        samples = np.empty((pixels.size, len(planes)))
        self._kernels.sample_planes(planes, place, interpolation, pixels, samples)
        return samples
