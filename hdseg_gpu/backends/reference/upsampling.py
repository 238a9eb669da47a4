"""Interpolation by its definition."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.host import HostOps
from hdseg_gpu.core.classes import Classes, class_dtype
from hdseg_gpu.core.windows import GridMapping


class ReferenceUpsamplingOps(HostOps):
    """The definitions, written down."""

    def upsample_labels(self, coarse: Classes, place: GridMapping) -> Classes:
        rows, columns = (
            (2 * axis.at + 1) * axis.coarse // (2 * axis.fine) - axis.begin for axis in _axes(place)
        )
        # Indexing like this may change the memory order.
        return np.ascontiguousarray(coarse[rows][:, columns])

    def upsample_classes(self, coarse: Classes, place: GridMapping, interpolation: str) -> Classes:
        present = np.unique(coarse)
        planes = (coarse == present[:, np.newaxis, np.newaxis]).astype(np.float32)
        found: Classes = present[self.upsample_argmax(planes, place, interpolation)]
        return found

    def upsample_argmax(
        self, planes: NDArray[np.float32], place: GridMapping, interpolation: str
    ) -> Classes:
        shape = place.window.shape
        pixels = np.arange(shape[0] * shape[1])
        samples = self.sample_planes(planes, place, pixels, interpolation)
        first_largest: NDArray[np.int64] = samples.argmax(axis=1)
        fine: NDArray[Any] = first_largest.reshape(shape).astype(class_dtype(len(planes)))
        return fine

    def sample_planes(
        self,
        planes: NDArray[np.float32],
        place: GridMapping,
        pixels: NDArray[np.int64],
        interpolation: str,
    ) -> NDArray[np.float64]:
        y, x = np.divmod(pixels, place.window.width)
        in_rows, in_columns = _axes(place)
        rows = _taps(in_rows.at[y], in_rows, interpolation)
        columns = _taps(in_columns.at[x], in_columns, interpolation)
        total = np.zeros((planes.shape[0], pixels.size))
        for row, row_weight in rows:
            along = np.zeros_like(total)
            for column, column_weight in columns:
                along += column_weight * planes[:, row, column].astype(np.float64)
            total += row_weight * along
        return np.ascontiguousarray(total.T)


class _Axis(NamedTuple):
    """One axis of a grid mapping."""

    at: NDArray[np.int64]  # the window's rows or columns in the image
    fine: int  # of the image
    coarse: int  # of the coarse map
    begin: int  # of the part


def _axes(place: GridMapping) -> tuple[_Axis, _Axis]:
    window, part = place.window, place.part
    rows = np.arange(window.top, window.bottom)
    columns = np.arange(window.left, window.right)
    return (
        _Axis(rows, place.shape[0], place.grid[0], part.top),
        _Axis(columns, place.shape[1], place.grid[1], part.left),
    )


def _taps(
    index: NDArray[np.int64], axis: _Axis, interpolation: str
) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Return indices in the part, and weights; half-pixel centres, edges repeated."""
    position = (index + 0.5) * axis.coarse / axis.fine - 0.5
    base = np.floor(position)
    t = position - base
    if interpolation == "linear":
        first, weights = 0, [1 - t, t]
    else:  # cubic convolution, a = -1/2 (Keys 1981)
        first = -1
        weights = [
            ((-0.5 * t + 1) * t - 0.5) * t,
            (1.5 * t - 2.5) * t * t + 1,
            ((-1.5 * t + 2) * t + 0.5) * t,
            (0.5 * t - 0.5) * t * t,
        ]
    return [
        (np.clip(base.astype(np.int64) + first + k, 0, axis.coarse - 1) - axis.begin, weight)
        for k, weight in enumerate(weights)
    ]
