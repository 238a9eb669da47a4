"""The part of the backend `cuda` that weighs colours, distances and the network."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cuda.cupy_device import BLOCK
from hdseg_gpu.backends.cuda.kernels import PIECE, CudaKernels, numbers_of, runs_of, suffix
from hdseg_gpu.backends.cuda.layout import PADDING
from hdseg_gpu.backends.cuda.pictures import parts_of
from hdseg_gpu.backends.cuda.tasks import Tasks
from hdseg_gpu.core.classes import Classes
from hdseg_gpu.core.options import INTERPOLATIONS
from hdseg_gpu.core.windows import Shape, all_of
from hdseg_gpu.ops import (
    START_SHARE,
    Band,
    CoarseProbabilities,
    ColourModels,
    Evidence,
    Nearby,
    NearestMap,
    Places,
    Steps,
    channel_count,
)

_PASSES = 3  # box filters along each axis, as in kernels/common/smoothing.h
_FIELDS = 1 << 27  # bytes of the windows that are smoothed together, of which there are five copies
_GUESSED = 1 << 23  # bytes that they may take without anybody asking the device how many they are
_FIELD_BLOCK = 512  # threads, as one block has a field to itself
# As in kernels/cuda/nearby.cu: maps, windows in a row, classes of them whose extent is known.
_MOST_NEAR = 4
_SQUARE = 32
_BOXES = 1024
_WARPS = 4  # of a block: class_evidence needs many registers, and small blocks waste few


class CudaEvidenceOps(CudaKernels):
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
        nearby: Nearby = self.together(self.begin_nearby_classes(maps, count, cell, group))[0]
        return nearby

    def begin_nearby_classes(
        self, maps: tuple[Classes, ...], count: int, cell: int, group: int
    ) -> Steps[Nearby]:
        xp, (height, width), kind = self.xp, maps[0].shape, suffix(maps[0])
        windows = -(-height // group) * -(-width // group)
        words = -(-count // 32)
        four = [*maps, *maps[:1] * (_MOST_NEAR - len(maps))]
        given = *four, len(maps), height, width, cell, group, words
        blocks = min(-(-windows // _WARPS), self.device.most_blocks)
        how = (blocks,), (32 * _WARPS,)
        found = self._counted(windows)
        args = *given, found.counts, found.done
        self.device.launch("nearby.cu", f"count_nearby_{kind}", *how, args, 4 * _WARPS * words)
        self._scanned(found)
        (totals,) = yield (found.totals,)
        entries = int(totals[0, -1])
        start, label = xp.empty(windows + 1, np.int64), xp.empty(entries, maps[0].dtype)
        args = *given, *found.before, start, label
        self.device.launch("nearby.cu", f"write_nearby_{kind}", *how, args, 4 * _WARPS * words)
        return Nearby(start, label)

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
        xp, entries, width = self.xp, len(nearby.label), moments.shape[2]
        channels = channel_count(width)
        models: NDArray[np.float32] = xp.empty((entries, width), np.float32)
        grid = -(-own.shape[0] // group), -(-own.shape[1] // group)
        tasks = self._tasks(nearby, count, grid, _PASSES * max(radii), width)
        cells = moments, own, weight, *own.shape, group, np.float32(1 / area)
        packed = sum(radius << 16 * i for i, radius in enumerate(radii))
        exact = channels in (1, 3)
        most = channels if exact else 4 if channels <= 4 else 16
        means = xp.empty((1, 1) if exact else models.shape, np.float64)
        for some in tasks.batches(self.host, _FIELDS // (4 * width)):
            values = some.windows * width
            levels = len(radii)
            room = xp.empty((1 + 2 * levels) * values, np.float32)
            sums = room[:values]
            between, smoothed = room[values:].reshape(2, levels, values)
            self._spread(
                "colours.cu", f"window_sums_{suffix(own)}", values, *cells, *some.args, sums
            )
            self.device.launch(
                "colours.cu", "smooth",
                (min(some.most * width, self.device.most_blocks), levels), (_FIELD_BLOCK,),
                (sums, *some.args, values, packed, between, smoothed),
            )  # fmt: skip
            self._spread(
                "colours.cu", f"gaussians_{most}", entries, smoothed, *some.args, values, levels,
                prior, START_SHARE * prior, tasks.where, entries, channels, ridge, means, models,
            )  # fmt: skip
        return models

    def _tasks(self, nearby: Nearby, count: int, grid: Shape, reach: int, moments: int) -> Tasks:
        """Return what is to be smoothed for the entries of `nearby`."""
        xp, kind, words = self.xp, suffix(nearby.label), -(-count // 32)
        squares = -(-grid[0] // _SQUARE) * -(-grid[1] // _SQUARE)
        entries = len(nearby.label)
        given, how = (*nearby, *grid, reach, words), (
            (min(squares, self.device.most_blocks),), (BLOCK,),
        )  # fmt: skip
        shared = 4 * (4 * _BOXES + 2 * words)
        found = self._counted(squares, 2)
        args = *given, found.counts, found.done
        self.device.launch("nearby.cu", f"count_tasks_{kind}", *how, args, shared)
        self._scanned(found)
        most = min(entries, squares * count)
        side = _SQUARE + 2 * reach
        windows, known = most * min(side, grid[0]) * min(side, grid[1]), False
        if 4 * windows * moments > _GUESSED:  # what there is room for at most is too much
            most, windows = self.host(found.totals)[:, -1].tolist()
            known = True
        room = xp.empty(6 * most + 1, np.int64)
        task, begin = room[: 5 * most].reshape(most, 5), room[5 * most :]
        where = xp.empty((entries, 2), np.int32)
        args = *given, *found.before, task, begin, where
        self.device.launch("nearby.cu", f"write_tasks_{kind}", *how, args, shared)
        total = found.tile[found.tile.size // 2 - 1 : found.tile.size // 2]
        return Tasks(task, begin, where, total, most, windows, known, moments)

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
        xp, own = self.xp, maps[0].own
        if network is None:
            nothing = models.coefficients.reshape(1, 1, -1)[:, :0]
            network = CoarseProbabilities(nothing, all_of(band.shape, (0, 0)), "linear", 0.0, 0.0)
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
                part.values, part.first, *origin, image.shape[2], center, float(scale),
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
            evidence.label, evidence.probability, evidence.label.shape[1],
            labels, labels.shape[1], *places, band.shape[1], np.float32(gamma), b, PADDING,
            b.shape[1],
        )  # fmt: skip


def _parts(one: NearestMap) -> tuple[Any, ...]:
    """Return a map as the kernels take it."""
    return one.own, one.nearest_other, one.distance, np.float32(one.log), np.float32(one.linear)
