"""The compiled, multi-threaded kernels of kernels/cpu.

Outputs are allocated here and filled there, so the kernels run without the GIL. They use OpenMP:
start other processes with "spawn", because a forked child can hang in its first parallel loop.
``OMP_NUM_THREADS`` sets the number of threads.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends import isa
from hdseg_gpu.core.ops import Classes, CsrMatrix, Mask, Ops, Shape, class_dtype
from hdseg_gpu.core.params import EDGE_RULES, INTERPOLATIONS


class CpuOps(Ops):
    """Thin wrappers: allocate, call, return."""

    name = "cpu"

    def __init__(self, instruction_set: str | None = None) -> None:
        self.instruction_set, self._kernels = isa.load(instruction_set)

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

    def histogram(self, values: Classes, count: int) -> NDArray[np.int64]:
        counts = np.empty(count, np.int64)
        self._kernels.histogram(values.reshape(-1), counts)
        return counts

    def upsample_labels(self, coarse: Classes, shape: Shape) -> Classes:
        fine = np.empty(shape, coarse.dtype)
        self._kernels.upsample_labels(coarse, fine)
        return fine

    def upsample_argmax(
        self, planes: NDArray[np.float32], shape: Shape, interpolation: str
    ) -> Classes:
        fine = np.empty(shape, class_dtype(len(planes)))
        self._kernels.upsample_argmax(planes, INTERPOLATIONS.index(interpolation), fine)
        return fine

    def sample_planes(
        self,
        planes: NDArray[np.float32],
        shape: Shape,
        pixels: NDArray[np.int64],
        interpolation: str,
    ) -> NDArray[np.float64]:
        samples = np.empty((pixels.size, len(planes)))
        self._kernels.sample_planes(
            planes, INTERPOLATIONS.index(interpolation), pixels, *shape, samples
        )
        return samples

    def standard_deviation(self, values: NDArray[Any]) -> float:
        return float(self._kernels.variance(values.reshape(-1)) ** 0.5)

    def band(self, seeds: NDArray[np.int32]) -> NDArray[np.int64]:
        return np.flatnonzero(seeds == 0).astype(np.int64, copy=False)

    def edge_weights(
        self, features: NDArray[Any], pixels: NDArray[np.int64], rule: str, strength: float
    ) -> NDArray[np.float64]:
        weights = np.empty((pixels.size, 4))
        self._kernels.edge_weights(features, pixels, EDGE_RULES.index(rule), strength, weights)
        return weights

    def neighbours(self, pixels: NDArray[np.int64], shape: Shape) -> NDArray[np.int32]:
        unknown = np.empty((pixels.size, 4), np.int32)
        self._kernels.neighbours(pixels, *shape, unknown)
        return unknown

    def components(self, neighbours: NDArray[np.int32]) -> NDArray[np.int32]:
        component = np.empty(len(neighbours), np.int32)
        self._kernels.components(neighbours, component)
        return component

    def contacts(
        self,
        pixels: NDArray[np.int64],
        seeds: NDArray[np.int32],
        component: NDArray[np.int32],
        count: int,
    ) -> NDArray[np.bool_]:
        components = int(component.max()) + 1 if component.size else 0
        touches = np.zeros((components, count), np.bool_)
        self._kernels.contacts(pixels, seeds, component, touches)
        return touches

    def laplacian(
        self, weights: NDArray[np.float64], neighbours: NDArray[np.int32], gamma: float
    ) -> CsrMatrix:
        row_start = np.empty(len(neighbours) + 1, np.int32)
        entries = self._kernels.row_starts(neighbours, row_start)
        matrix = CsrMatrix(np.empty(entries), np.empty(entries, np.int32), row_start)
        self._kernels.laplacian(neighbours, weights, gamma, row_start, matrix.indices, matrix.data)
        return matrix

    def flux_from_seeds(
        self,
        weights: NDArray[np.float64],
        pixels: NDArray[np.int64],
        seeds: NDArray[np.int32],
        label: NDArray[np.int32],
    ) -> NDArray[np.float64]:
        flux = np.empty(pixels.size)
        self._kernels.flux_from_seeds(weights, pixels, seeds, label, flux)
        return flux
