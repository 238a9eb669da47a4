"""Ops of the backend `cuda` for the evidence."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cuda.cupy_device import BLOCK
from hdseg_gpu.backends.cuda.kernels import PIECE, CudaKernels, suffix
from hdseg_gpu.backends.cuda.layout import PADDING
from hdseg_gpu.backends.cuda.pictures import parts_of
from hdseg_gpu.backends.cuda.structs import band_of, evidence_terms_of
from hdseg_gpu.backends.cuda.tasks import Tasks
from hdseg_gpu.core.classes import Classes
from hdseg_gpu.core.windows import Shape
from hdseg_gpu.ops import (
    Band,
    Estimation,
    Evidence,
    EvidenceTerms,
    Nearby,
    Places,
    Steps,
    channel_count,
)

_PASSES = 3  # box filters along each axis, as in kernels/common/smoothing.h
_FIELDS = 1 << 27  # bytes of the windows smoothed together; there are five copies of them
_GUESSED = 1 << 23  # bytes up to which the number of windows is not fetched from the device
_FIELD_BLOCK = 512  # threads; each field has a block of its own
# As in kernels/cuda/nearby.cu: maps, windows in a row, classes of them whose extent is known.
_MOST_NEAR = 4
_SQUARE = 32
_BOXES = 1024
_WARPS = 4  # of a block: class_evidence needs many registers, and small blocks waste few


class CudaEvidenceOps(CudaKernels):
    """Allocates, launches, returns."""

    def _along(self, kernel: str, positions: int, *args: Any) -> None:
        """Start a kernel of evidence.cu with a warp for each piece of positions of a band."""
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
        nearby: Nearby,
        how: Estimation,
    ) -> NDArray[np.float32]:
        xp, entries, width = self.xp, len(nearby.label), moments.shape[2]
        channels, radii, group = channel_count(width), how.radii, how.group
        models: NDArray[np.float32] = xp.empty((entries, width), np.float32)
        grid = -(-own.shape[0] // group), -(-own.shape[1] // group)
        tasks = self._tasks(nearby, count, grid, _PASSES * max(radii), width)
        cells = moments, own, weight, own.shape, group, np.float32(1 / how.area)
        radius_bits = sum(radius << 16 * i for i, radius in enumerate(radii))
        exact = channels in (1, 3)
        most = channels if exact else 4 if channels <= 4 else 16
        means = xp.empty((1, 1) if exact else models.shape, np.float64)
        for some in tasks.batches(self.host, _FIELDS // (4 * width)):
            values = some.windows * width
            levels = len(radii)
            room = xp.empty((1 + 2 * levels) * values, np.float32)
            sums = room[:values]
            between, smoothed = room[values:].reshape(2, levels, values)
            self._spread("colours.cu", f"window_sums_{suffix(own)}", values, cells, some.args, sums)
            self.device.launch(
                "colours.cu", "smooth",
                (min(some.most * width, self.device.most_blocks), levels), (_FIELD_BLOCK,),
                (sums, some.args, values, radius_bits, between, smoothed),
            )  # fmt: skip
            self._spread(
                "colours.cu", f"gaussians_{most}", entries,
                (smoothed, values, levels, how.prior, how.start), some.args, tasks.where, entries,
                channels, how.ridge, means, models,
            )  # fmt: skip
        return models

    def _tasks(self, nearby: Nearby, count: int, grid: Shape, reach: int, moments: int) -> Tasks:
        """Return the smoothing tasks for the entries of `nearby`."""
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
        if 4 * windows * moments > _GUESSED:  # the upper bound would take too much memory
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
        terms: EvidenceTerms,
        kept: int,
    ) -> Evidence:
        label: NDArray[Any] = self.xp.empty((band.size, kept), terms.maps[0].own.dtype)
        share = self.xp.empty((band.size, kept), np.float32)
        kernel = f"class_evidence_{suffix(image)}_{suffix(label)}"
        for part in parts_of(self, image, band):
            picture = part.values, part.first, *origin, image.shape[2]
            self._along(
                kernel, part.end - part.begin, band_of(band), (part.begin, part.end), picture,
                evidence_terms_of(terms), kept, label, share,
            )  # fmt: skip
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
        label, share = evidence
        self._along(
            f"add_evidence_{suffix(labels)}", band.size, band_of(band), band.size, position,
            label, share, label.shape[1], (labels, labels.shape[1], places), np.float32(gamma), b,
            PADDING, b.shape[1],
        )  # fmt: skip
