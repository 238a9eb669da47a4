"""Colours, distances and the network, weighed."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cpu.kernels import CpuKernels, numbers_of
from hdseg_gpu.core.classes import Classes
from hdseg_gpu.core.options import INTERPOLATIONS
from hdseg_gpu.core.windows import all_of
from hdseg_gpu.ops import (
    START_SHARE,
    Band,
    CoarseProbabilities,
    ColourModels,
    Evidence,
    Nearby,
    NearestMap,
    Places,
    channel_count,
)


class CpuEvidenceOps(CpuKernels):
    """Allocates, calls, returns."""

    def nearby_classes(
        self, maps: tuple[Classes, ...], count: int, cell: int, group: int
    ) -> Nearby:
        return Nearby(*self._kernels.nearby_classes(np.stack(maps), count, cell, group))

    def colour_models(
        self,
        moments: NDArray[np.float32],
        own: Classes,
        weight: NDArray[np.float32],
        count: int,
        group: int,
        area: float,
        nearby: Nearby,
        radii: tuple[int, ...],
        prior: float,
        ridge: float,
    ) -> NDArray[np.float32]:
        models = np.empty((nearby.label.size, moments.shape[2]), np.float32)
        self._kernels.colour_models(
            moments, channel_count(moments.shape[2]), own, weight, count, group, area, *nearby,
            np.array(radii, np.int64), prior, START_SHARE * prior, ridge, models,
        )  # fmt: skip
        return models

    def class_evidence(
        self,
        band: Band,
        image: NDArray[Any],
        origin: tuple[int, int],
        center: NDArray[np.float64],
        scale: float,
        models: ColourModels,
        weight: float,
        maps: tuple[NearestMap, ...],
        cell: int,
        unit: float,
        network: CoarseProbabilities | None,
        kept: int,
    ) -> Evidence:
        if network is None:
            nothing = np.empty((0, 1, 1), np.float32)
            network = CoarseProbabilities(nothing, all_of(band.shape, (1, 1)), "linear", 0.0, 0.0)
        own = np.stack([m.own for m in maps])
        found = Evidence(
            np.empty((band.size, kept), own.dtype), np.empty((band.size, kept), np.float32)
        )
        self._kernels.class_evidence(
            band.pixel, band.start, image, *origin, center, scale,
            models.coefficients, *models.nearby, models.size, weight,
            own, np.stack([m.nearest_other for m in maps]), np.stack([m.distance for m in maps]),
            np.array([(m.log, m.linear) for m in maps], np.float32), cell, unit,
            network.planes, numbers_of(network.place), INTERPOLATIONS.index(network.interpolation),
            network.log, network.linear, *found,
        )  # fmt: skip
        return found

    def add_evidence(
        self,
        band: Band,
        position: NDArray[np.int32] | None,
        evidence: Evidence,
        labels: NDArray[Any],
        places: Places,
        gamma: float,
        b: NDArray[Any],
    ) -> None:
        every = np.empty(0, np.int32) if position is None else position
        self._kernels.add_evidence(
            band.pixel, band.start, every, *evidence, labels, *places, band.shape[1], gamma, b
        )
