"""Colours, distances and the network, weighed."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cpu.kernels import CpuKernels
from hdseg_gpu.core.classes import Classes
from hdseg_gpu.ops import (
    Band,
    Estimation,
    Evidence,
    EvidenceTerms,
    Nearby,
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
        nearby: Nearby,
        how: Estimation,
    ) -> NDArray[np.float32]:
        models = np.empty((nearby.label.size, moments.shape[2]), np.float32)
        self._kernels.colour_models(
            moments, channel_count(moments.shape[2]), own, weight, count, *nearby, how, models
        )
        return models

    def class_evidence(
        self,
        band: Band,
        image: NDArray[Any],
        origin: tuple[int, int],
        terms: EvidenceTerms,
        kept: int,
    ) -> Evidence:
        label: NDArray[Any] = np.empty((band.size, kept), terms.maps[0].own.dtype)
        share = np.empty((band.size, kept), np.float32)
        self._kernels.class_evidence(band, image, *origin, terms, label, share)
        return Evidence(label, share)

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
        self._kernels.add_evidence(band, every, *evidence, labels, places, gamma, b)
