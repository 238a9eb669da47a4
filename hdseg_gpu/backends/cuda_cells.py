"""The part of the backend `cuda` that counts, and divides a picture into cells."""

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cuda_device import BLOCK
from hdseg_gpu.backends.cuda_kernels import CudaKernels, runs_of, suffix
from hdseg_gpu.backends.cuda_pictures import first_value, strips_of
from hdseg_gpu.core.ops import Band, Classes, Evidence

_CHUNK = 1 << 17  # values that a block adds up: for each there is a sum that the host reads
_NEAR = 1 << 15  # values that a block looks at before it goes elsewhere: mostly alike
_MOST_BINS = 12288  # of a histogram in 48 KB of shared memory
_LARGE_CELL = 8  # from here on a warp counts the classes of a cell
_WARP = 32
_MOMENTS_BLOCK = 128  # threads, as in kernels/cuda/moments.cu
_COLUMNS_BLOCK = 32  # threads: columns are few, and every processor should have some
PIECE = 256  # positions of a band that a warp walks along, as in kernels/cuda/positions.h


class CudaCells(CudaKernels):
    """Allocates, launches, returns."""

    def _by_chunks(self, kernel: str, count: int, *args: Any, chunk: int, shared: int = 0) -> None:
        """Start a kernel of statistics.cu with a block for each chunk."""
        blocks = min(-(-count // chunk), self.device.most_blocks)
        if blocks > 0:
            self.device.launch("statistics.cu", kernel, (blocks,), (BLOCK,), args, shared)

    def histogram(self, values: Classes, count: int) -> NDArray[np.int64]:
        counts = self.xp.zeros(count, np.uint64)
        many = count > _MOST_BINS
        self._by_chunks(
            f"histogram_{'of_many_' if many else ''}{suffix(values)}",
            values.size, values, values.size, _NEAR, count, counts,
            chunk=_NEAR, shared=0 if many else 4 * count,
        )  # fmt: skip
        return self.host(counts).astype(np.int64)

    def standard_deviation(self, values: NDArray[Any]) -> float:
        if values.dtype.kind == "u":
            return _deviation(self._integer_sums(values, 1), prod(values.shape))
        kind, size = suffix(values), prod(values.shape)
        origin = first_value(values)
        mean = float(self._float_sums(f"float_sums_{kind}", values, origin).sum() / size)
        squared = self._float_sums(f"float_squares_{kind}", values, origin, mean)
        return float((squared.sum() / size) ** 0.5)

    def channel_means(self, image: NDArray[Any]) -> NDArray[np.float64]:
        height, width, channels = image.shape
        if image.dtype.kind == "u":
            return _means(self._integer_sums(image, channels), height * width)
        chunk, found = _CHUNK // channels, []
        for strip in strips_of(image):
            pixels = strip.values.size // channels
            sums = self.xp.empty((-(-pixels // chunk), channels), np.float64)
            self._by_chunks(
                f"channel_sums_{suffix(image)}", pixels,
                strip.values, pixels, channels, chunk, sums, chunk=chunk, shared=8 * BLOCK,
            )  # fmt: skip
            found.append(sums)
        total = np.concatenate([self.host(sums) for sums in found]).sum(axis=0)
        means: NDArray[np.float64] = total / (height * width)
        return means

    def spread(self, image: NDArray[Any]) -> tuple[NDArray[np.float64], float]:
        if image.dtype.kind != "u":
            return super().spread(image)
        height, width, channels = image.shape
        sums = self._integer_sums(image, channels)
        return _means(sums, height * width), _deviation(sums, height * width * channels)

    def _integer_sums(self, values: NDArray[Any], channels: int) -> list[int]:
        """Return the sums of each channel's values, and that of the squares of all, exactly."""
        chunk, found = _CHUNK // channels, []
        for strip in strips_of(values):
            pixels = strip.values.size // channels
            sums = self.xp.empty((-(-pixels // chunk), channels + 1), np.uint64)
            self._by_chunks(
                f"integer_sums_{suffix(values)}", pixels,
                strip.values, pixels, channels, chunk, sums, chunk=chunk, shared=8 * BLOCK,
            )  # fmt: skip
            found.append(sums)
        # Python's integers do not overflow.
        rows = (row for sums in found for row in self.host(sums).tolist())
        return [sum(column) for column in zip(*rows, strict=True)]

    def _float_sums(self, kernel: str, values: Any, *args: Any) -> NDArray[Any]:
        """Return the sums of all chunks, in host memory."""
        found = []
        for strip in strips_of(values):
            size = strip.values.size
            sums = self.xp.empty(-(-size // _CHUNK), np.float64)
            self._by_chunks(kernel, size, strip.values, size, _CHUNK, *args, sums, chunk=_CHUNK)
            found.append(sums)
        return np.concatenate([self.host(sums) for sums in found])

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

    def rival_distances(self, cells: Classes, reach: int) -> tuple[NDArray[np.float32], Classes]:
        height, width = cells.shape
        segments = height * -(-width // _WARP)
        room = self.xp.empty(cells.size + segments, np.int64)
        squared, least = room[: cells.size], room[cells.size :]
        blocks = min(-(-width // _COLUMNS_BLOCK), self.device.most_blocks)
        self.device.launch(
            "rivals.cu", f"rivals_in_columns_{suffix(cells)}", (blocks,), (_COLUMNS_BLOCK,),
            (cells, height, width, reach, squared),
        )  # fmt: skip
        self._spread(
            "rivals.cu", f"rivals_in_segments_{suffix(cells)}", _WARP * least.size,
            cells, squared, height, width, least,
        )  # fmt: skip
        distance = self.xp.empty(cells.shape, np.float32)
        rival: Classes = self.xp.empty(cells.shape, cells.dtype)
        self._spread(
            "rivals.cu", f"rivals_in_rows_{suffix(cells)}", cells.size,
            cells, squared, least, height, width, reach, distance, rival,
        )  # fmt: skip
        return distance, rival

    def certainty(
        self, distance: NDArray[np.float32], log: float, linear: float, cell: float
    ) -> NDArray[np.float32]:
        sure: NDArray[np.float32] = self.xp.empty(distance.shape, np.float32)
        trust = np.float32(log), np.float32(linear), np.float32(cell)
        self._spread("cells.cu", "certainty", distance.size, distance, distance.size, *trust, sure)
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
            *runs_of(band), *band.shape, by_colour.label, kept, classes, distance,
            distance.shape[1], cell, *origin, np.float32(near[0]), np.float32(near[1]), count,
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


def _means(sums: list[int], pixels: int) -> NDArray[np.float64]:
    return np.array(sums[:-1], np.float64) / pixels


def _deviation(sums: list[int], size: int) -> float:
    *of_channels, squares = sums
    return float(((size * squares - sum(of_channels) ** 2) / size**2) ** 0.5)
