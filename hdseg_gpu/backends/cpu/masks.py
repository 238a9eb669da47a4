"""Thinning, seeds, pruning, the majority filter."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cpu.kernels import CpuKernels
from hdseg_gpu.core.classes import Classes, Mask
from hdseg_gpu.ops import Band


class CpuMaskOps(CpuKernels):
    """Allocates, calls, returns."""

    def thinning(self, mask: Mask, elements: NDArray[np.int8], passes: int) -> Mask:
        thinned = np.empty_like(mask)
        self._kernels.thin_bytes(mask.view(np.uint8), elements, passes, thinned.view(np.uint8))
        return thinned

    def thinning_packed(
        self, mask: NDArray[np.uint8], width: int, elements: NDArray[np.int8], passes: int
    ) -> NDArray[np.uint8]:
        thinned = np.empty_like(mask)
        self._kernels.thin_bits(mask, width, elements, passes, thinned)
        return thinned

    def seeds(
        self, classes: Classes, count: int, elements: NDArray[np.int8], passes: int
    ) -> Classes:
        seeds = np.empty_like(classes)
        self._kernels.seeds(classes, count, elements, passes, seeds)
        return seeds

    def prune(self, seeds: Classes, length: int) -> Classes:
        pruned = np.empty_like(seeds)
        self._kernels.prune(seeds, length, pruned)
        return pruned

    def majority(self, labels: Classes, band: Band, size: int) -> Classes:
        found: NDArray[Any] = np.empty(band.size, labels.dtype)
        self._kernels.majority(band, labels, size, found)
        return found
