"""Bands and their components."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cpu.kernels import CpuKernels
from hdseg_gpu.core.windows import Window
from hdseg_gpu.ops import Band, Evidence, Places


class CpuBandOps(CpuKernels):
    """Allocates, calls, returns."""

    def band(self, seeds: NDArray[Any]) -> Band:
        pixel, start = self._kernels.find_runs(seeds)
        return Band(seeds.shape, pixel, start, int(start[-1]))

    def components(self, band: Band) -> NDArray[np.int32]:
        component = np.empty(band.pixel.size, np.int32)
        self._kernels.components(band, component)
        return component

    def labels_at(
        self, band: Band, seeds: NDArray[Any], places: Places, evidence: Evidence | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        label = np.empty((0, 0), seeds.dtype) if evidence is None else evidence.label
        return self._kernels.labels_at(band, seeds, places, label)

    def decide(
        self,
        band: Band,
        x: NDArray[Any],
        labels: NDArray[Any],
        places: Places,
        bound: NDArray[Any] | float,
        core: Window,
        seeds: NDArray[Any],
    ) -> int:
        bounds = np.atleast_1d(np.asarray(bound, np.float32))
        return self._kernels.decide(band, x, labels, places, bounds, core, seeds)
