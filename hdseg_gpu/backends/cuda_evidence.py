"""The part of the backend `cuda` that weighs colours, distances and the network."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cuda_cells import PIECE
from hdseg_gpu.backends.cuda_kernels import PADDING, CudaKernels, numbers_of, runs_of, suffix
from hdseg_gpu.backends.cuda_pictures import parts_of
from hdseg_gpu.backends.cuda_tasks import Tasks, looked_at, tasks_of
from hdseg_gpu.core.ops import (
    START_SHARE,
    Band,
    Classes,
    ColourModels,
    Evidence,
    Nearby,
    NearestMap,
    Network,
    Places,
    channel_count,
)
from hdseg_gpu.core.params import INTERPOLATIONS
from hdseg_gpu.core.windows import all_of

_PASSES = 3  # box filters along each axis, as in kernels/common/smoothing.h
_FIELDS = 1 << 28  # bytes of the windows that are smoothed together
_MOST_LOOKED = 3  # windows in a row that the pixels around a cell look at
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

    def nearby_classes(
        self, maps: tuple[Classes, ...], count: int, cell: int, group: int
    ) -> Nearby:
        xp, (height, width) = self.xp, maps[0].shape
        # Which windows look at a row or column of cells, as a number: most look alike.
        rows, columns = (looked_at(n, cell, group) for n in (height, width))
        kinds = rows.kind[:, np.newaxis] * len(columns.first) + columns.kind
        place = xp.asarray(kinds * count)
        keys = [xp.unique(place + one) for one in maps]
        found = self.host(xp.unique(xp.concatenate(keys)))
        kind, label = np.divmod(found, count)
        row, column = np.divmod(kind, len(columns.first))
        across = -(-width // group)
        windows = []
        for down in range(_MOST_LOOKED):
            for along in range(_MOST_LOOKED):
                y, x = rows.first[row] + down, columns.first[column] + along
                inside = (y <= rows.last[row]) & (x <= columns.last[column])
                windows.append(((y * across + x) * count + label)[inside])
        window, label = np.divmod(np.unique(np.concatenate(windows)), count)
        start = np.searchsorted(window, np.arange(-(-height // group) * across + 1))
        return Nearby(xp.asarray(start.astype(np.int64)), xp.asarray(label.astype(maps[0].dtype)))

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
        xp = self.xp
        grid = -(-own.shape[0] // group), -(-own.shape[1] // group)
        start, label = map(self.host, nearby)
        tasks = tasks_of(start, label, grid, _PASSES * max(radii))
        models: NDArray[np.float32] = xp.empty((nearby.label.size, moments.shape[2]), np.float32)
        for some in tasks.batches(_FIELDS // (4 * moments.shape[2])):
            entries = xp.asarray(some.entry)
            models[entries] = self._models_of(
                moments, own, weight, group, area, some, radii, prior, ridge
            )
        return models

    def _models_of(
        self,
        moments: Any,
        own: Classes,
        weight: Any,
        group: int,
        area: float,
        tasks: Tasks,
        radii: tuple[int, ...],
        prior: float,
        ridge: float,
    ) -> Any:
        """Return the models of some tasks, in the order of their entries."""
        xp, count = self.xp, moments.shape[2]
        channels, wanted = channel_count(count), len(tasks.entry)
        where, fields = xp.asarray(tasks.where), (
            xp.asarray(tasks.begin), xp.asarray(tasks.task), len(tasks.task)
        )  # fmt: skip
        sums = xp.empty((int(tasks.begin[-1]), count), np.float32)
        self._spread(
            "colours.cu", f"window_sums_{suffix(own)}", sums.size, moments, count, own, weight,
            *own.shape, group, np.float32(1 / area), *fields, sums,
        )  # fmt: skip
        mean = xp.empty((wanted, count), np.float64)
        self._spread("colours.cu", "start_means", mean.size, wanted, channels, mean)
        counts = START_SHARE * prior
        for radius in reversed(radii):
            smooth = self._smooth(sums, fields, radius)
            self._spread(
                "colours.cu", "shrink_means", mean.size,
                smooth, where, wanted, count, float(counts), mean,
            )  # fmt: skip
            counts = prior
        model = xp.empty((wanted, count), np.float32)
        most = channels if channels in (1, 3) else 4 if channels <= 4 else 16
        self._spread(
            "colours.cu", f"gaussians_{most}", wanted, mean, wanted, channels, float(ridge), model
        )
        return model

    def _smooth(self, sums: Any, fields: tuple[Any, ...], radius: int) -> Any:
        """Return the sums after three box filters along each axis."""
        values, other = sums, self.xp.empty_like(sums)
        for _ in range(_PASSES):
            for kernel in ("means_along_rows", "means_along_columns"):
                self._spread(
                    "colours.cu", kernel, sums.size, values, sums.shape[1], *fields, radius, other
                )
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
            models.coefficients, *models.nearby, models.size, np.float32(weight),
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
        # Without positions something has to stand for them; nobody reads it.
        positions, where = (0, band.start) if position is None else (len(position), position)
        self._along_band(
            f"add_evidence_{suffix(labels)}", band, where, positions,
            evidence.label, evidence.share, evidence.label.shape[1],
            labels, labels.shape[1], *places, band.shape[1], np.float32(gamma), b, PADDING,
            b.shape[1],
        )  # fmt: skip


def _parts(one: NearestMap) -> tuple[Any, ...]:
    """Return a map as the kernels take it."""
    return one.own, one.rival, one.distance, np.float32(one.log), np.float32(one.linear)
