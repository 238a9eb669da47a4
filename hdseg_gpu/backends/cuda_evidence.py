"""The part of the backend `cuda` that weighs colours, distances and the network."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cuda_cells import PIECE
from hdseg_gpu.backends.cuda_kernels import PADDING, CudaKernels, numbers_of, runs_of, suffix
from hdseg_gpu.backends.cuda_pictures import parts_of
from hdseg_gpu.core.ops import (
    START_SHARE,
    Band,
    Classes,
    ColourModels,
    Evidence,
    NearestMap,
    Network,
    channel_count,
    component_count,
)
from hdseg_gpu.core.params import INTERPOLATIONS
from hdseg_gpu.core.windows import Window, all_of

_PASSES = 3  # box filters along each axis, as in kernels/common/smoothing.h
_WARPS = 4  # of a block: class_evidence needs many registers, and small blocks waste few


class CudaEvidence(CudaKernels):
    """Allocates, launches, returns."""

    def _along_band(self, kernel: str, band: Band, *args: Any) -> None:
        """Start a kernel of evidence.cu with a warp for each piece of the band."""
        self._along(kernel, band.size, *runs_of(band), *args)

    def _along(self, kernel: str, positions: int, *args: Any) -> None:
        blocks = min(-(-positions // (_WARPS * PIECE)), self.device.most_blocks)
        if blocks > 0:
            self.device.launch("evidence.cu", kernel, (blocks,), (32 * _WARPS,), args)

    def colour_model(
        self,
        moments: NDArray[np.float32],
        own: Classes,
        weight: NDArray[np.float32],
        k: int,
        group: int,
        area: float,
        box: tuple[int, int, int, int],
        radii: tuple[int, ...],
        prior: float,
        ridge: float,
    ) -> NDArray[np.float32]:
        wanted, count = Window(*box), moments.shape[2]
        channels = channel_count(count)
        grid = -(-own.shape[0] // group), -(-own.shape[1] // group)
        around = wanted.grown(_PASSES * max(radii), grid)
        sums = self.xp.empty((*around.shape, count), np.float32)
        self._spread(
            "colours.cu", f"window_sums_{suffix(own)}", sums.size, moments, count, own, weight,
            *own.shape, k, group, np.float32(1 / area), *around, sums,
        )  # fmt: skip
        windows, inner = wanted.height * wanted.width, wanted.seen_from(around)
        mean = self.xp.empty((windows, count), np.float64)
        self._spread("colours.cu", "start_means", mean.size, windows, channels, mean)
        counts = START_SHARE * prior
        for radius in reversed(radii):
            smooth = self._smooth(sums, radius)
            self._spread(
                "colours.cu", "shrink_means", mean.size,
                smooth, around.width, *inner, count, float(counts), mean,
            )  # fmt: skip
            counts = prior
        model: NDArray[np.float32] = self.xp.empty((*wanted.shape, count), np.float32)
        most = channels if channels in (1, 3) else 4 if channels <= 4 else 16
        self._spread(
            "colours.cu", f"gaussians_{most}", windows, mean, windows, channels, float(ridge), model
        )
        return model

    def _smooth(self, sums: Any, radius: int) -> Any:
        """Return the sums after three box filters along each axis."""
        entries, (height, width, count) = sums.size, sums.shape
        values, other = sums, self.xp.empty_like(sums)
        for _ in range(_PASSES):
            for stride, length in ((count, width), (width * count, height)):
                self._spread(
                    "colours.cu", "box_means", entries,
                    values, entries, stride, length, radius, other,
                )  # fmt: skip
                # The sums stay: the next radius begins with them.
                spare = self.xp.empty_like(sums) if values is sums else values
                values, other = other, spare
        return values

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
        network: Network | None,
        kept: int,
    ) -> Evidence:
        xp, own = self.xp, maps[0].own
        if network is None:
            nothing = models.coefficients.reshape(1, 1, -1)[:, :0]
            network = Network(nothing, all_of(band.shape, (0, 0)), "linear", 0.0, 0.0)
        found = Evidence(
            xp.empty((band.size, kept), own.dtype), xp.empty((band.size, kept), np.float32)
        )
        of_colours = (
            models.coefficients, xp.asarray(models.first), xp.asarray(models.box), models.size,
            np.float32(weight),
        )  # fmt: skip
        of_network = (
            network.planes, *numbers_of(network.place),
            np.int32(INTERPOLATIONS.index(network.interpolation)), np.float32(network.log),
            np.float32(network.linear),
        )  # fmt: skip
        for part in parts_of(self, image, band):
            self._along(
                f"class_evidence_{suffix(image)}_{suffix(own)}", part.end - part.begin,
                band.pixel, band.start, len(band.pixel), part.begin, part.end, *band.shape,
                part.values, part.first, *origin, image.shape[2], xp.asarray(center), float(scale),
                *of_colours, len(maps), *own.shape, *_parts(maps[0]), *_parts(maps[-1]), cell,
                np.float32(unit), *of_network, kept, *found,
            )  # fmt: skip
        return found

    def evident_classes(
        self, band: Band, evidence: Evidence, component: NDArray[np.int32], count: int
    ) -> NDArray[np.bool_]:
        components = component_count(component)
        touches: NDArray[np.bool_] = self.xp.zeros((components, count), np.bool_)
        self._along_band(
            f"evident_classes_{suffix(evidence.label)}", band,
            evidence.label, evidence.label.shape[1], component, count, touches,
        )  # fmt: skip
        return touches

    def add_evidence(
        self,
        band: Band,
        position: NDArray[np.int32] | None,
        evidence: Evidence,
        labels: NDArray[Any],
        gamma: float,
        b: NDArray[Any],
    ) -> None:
        # Without positions something has to stand for them; nobody reads it.
        positions, where = (0, band.start) if position is None else (len(position), position)
        self._along_band(
            f"add_evidence_{suffix(labels)}", band, where, positions,
            evidence.label, evidence.share, evidence.label.shape[1],
            labels, labels.shape[1], np.float32(gamma), b, PADDING, b.shape[1],
        )  # fmt: skip


def _parts(one: NearestMap) -> tuple[Any, ...]:
    """Return a map as the kernels take it."""
    return one.own, one.rival, one.distance, np.float32(one.log), np.float32(one.linear)
