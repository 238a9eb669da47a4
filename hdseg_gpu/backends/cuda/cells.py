"""Ops of the backend `cuda` on cells."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cuda.kernels import PIECE, CudaKernels, suffix
from hdseg_gpu.backends.cuda.pictures import strips_of
from hdseg_gpu.backends.cuda.structs import band_of
from hdseg_gpu.core.classes import Classes
from hdseg_gpu.ops import Band, Evidence

_LARGE_CELL = 8  # from here on a warp counts the classes of a cell
_WARP = 32
_MOMENTS_BLOCK = 128  # threads, as in kernels/cuda/moments.cu
_COLUMNS_BLOCK = 32  # threads: columns are few, and every processor should have some


class CudaCellOps(CudaKernels):
    """Allocates, launches, returns."""

    def cell_moments(
        self, image: NDArray[Any], cell: int, center: NDArray[np.float64], scale: float
    ) -> NDArray[np.float32]:
        height, width, channels = image.shape
        tall, wide = -(-height // cell), -(-width // cell)
        moments: NDArray[np.float32] = self.xp.empty(
            (tall, wide, (channels + 1) * (channels + 2) // 2), np.float32
        )
        known = channels if channels in (1, 3) else "any"
        for strip in strips_of(image, cell):
            rows = len(strip.values)
            warps = -(-rows // cell) * -(-wide // _WARP)
            blocks = min(-(-warps * _WARP // _MOMENTS_BLOCK), self.device.most_blocks)
            args = (
                strip.values, rows, width, channels, cell, center, float(scale),
                moments[strip.top // cell :],
            )  # fmt: skip
            self.device.launch(
                "moments.cu", f"cell_moments_{suffix(image)}_{known}", (blocks,),
                (_MOMENTS_BLOCK,), args,
            )  # fmt: skip
        return moments

    def cell_labels(self, labels: Classes, cell: int) -> Classes:
        height, width = labels.shape
        found: Classes = self.xp.empty((-(-height // cell), -(-width // cell)), labels.dtype)
        size, threads = ("small", 1) if cell < _LARGE_CELL else ("large", _WARP)
        self._spread(
            "cells.cu", f"{size}_cell_labels_{suffix(labels)}", threads * found.size,
            labels, height, width, cell, found,
        )  # fmt: skip
        return found

    def nearest_others(self, cells: Classes, reach: int) -> tuple[NDArray[np.float32], Classes]:
        height, width = cells.shape
        segments = height * -(-width // _WARP)
        room = self.xp.empty(cells.size + segments, np.int64)
        squared, least = room[: cells.size], room[cells.size :]
        blocks = min(-(-width // _COLUMNS_BLOCK), self.device.most_blocks)
        self.device.launch(
            "nearest_other.cu", f"nearest_others_in_columns_{suffix(cells)}",
            (blocks,), (_COLUMNS_BLOCK,),
            (cells, height, width, reach, squared),
        )  # fmt: skip
        self._spread(
            "nearest_other.cu", f"nearest_others_in_segments_{suffix(cells)}", _WARP * least.size,
            cells, squared, height, width, least,
        )  # fmt: skip
        distance = self.xp.empty(cells.shape, np.float32)
        nearest_other: Classes = self.xp.empty(cells.shape, cells.dtype)
        self._spread(
            "nearest_other.cu", f"nearest_others_in_rows_{suffix(cells)}", cells.size,
            cells, squared, least, height, width, reach, distance, nearest_other,
        )  # fmt: skip
        return distance, nearest_other

    def confidence(
        self, distance: NDArray[np.float32], log: float, linear: float, cell: float
    ) -> NDArray[np.float32]:
        sure: NDArray[np.float32] = self.xp.empty(distance.shape, np.float32)
        trust = np.float32(log), np.float32(linear), np.float32(cell)
        self._spread("cells.cu", "confidence", distance.size, distance, distance.size, *trust, sure)
        return sure

    def contradictions(
        self,
        band: Band,
        by_colour: Evidence,
        classes: Classes,
        distance: NDArray[np.float32],
        cell: int,
        origin: tuple[int, int],
        near: tuple[float, float],
        count: int,
    ) -> NDArray[np.int64]:
        counts = self.xp.zeros((2, count), np.uint64)
        kept = by_colour.label.shape[1]
        self._spread(
            "cells.cu", f"contradictions_{suffix(classes)}", _WARP * -(-band.size // PIECE),
            band_of(band), band.size, by_colour.label, kept, classes,
            (distance, distance.shape[1], cell, *origin), tuple(map(np.float32, near)), count,
            counts,
        )  # fmt: skip
        return self.host(counts).astype(np.int64)

    def boundary_detail(self, labels: Classes) -> tuple[int, int]:
        found = self.xp.zeros(2, np.uint64)
        self._spread(
            "detail.cu", f"boundary_detail_{suffix(labels)}", labels.size,
            labels, *labels.shape, found,
        )  # fmt: skip
        flips, edges = self.host(found).tolist()
        return flips, edges
