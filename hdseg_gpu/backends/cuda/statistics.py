"""Ops of the backend `cuda` for counts and sums."""

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cuda.cupy_device import BLOCK
from hdseg_gpu.backends.cuda.kernels import CudaKernels, suffix
from hdseg_gpu.backends.cuda.pictures import first_value, strips_of
from hdseg_gpu.core.classes import Classes

_CHUNK = 1 << 17  # values per block, each with a sum that the host reads
_NEAR = 1 << 15  # values that a block reads in a row: mostly alike
_MOST_BINS = 12288  # of a histogram in 48 KB of shared memory


class CudaStatisticsOps(CudaKernels):
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


def _means(sums: list[int], pixels: int) -> NDArray[np.float64]:
    return np.array(sums[:-1], np.float64) / pixels


def _deviation(sums: list[int], size: int) -> float:
    *of_channels, squares = sums
    return float(((size * squares - sum(of_channels) ** 2) / size**2) ** 0.5)
