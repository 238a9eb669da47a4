"""Bands, by NumPy."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.classes import Classes
from hdseg_gpu.ops import Band, Ops


class HostBandOps(Ops):
    """In NumPy."""

    def pixels(self, band: Band) -> NDArray[np.int64]:
        return band.pixels()

    def of_pixels(self, band: Band, values: NDArray[Any]) -> NDArray[Any]:
        repeated: NDArray[Any] = np.repeat(values, np.diff(band.start), axis=0)
        return repeated

    def put(self, band: Band, values: Classes, picture: Classes, less: int = 0) -> None:
        first = values if values.ndim == 1 else values[:, 0]
        picture.reshape(-1)[band.pixels()] = first - less if less else first

    def part(
        self, band: Band, component: NDArray[np.int32], row: NDArray[np.int32]
    ) -> tuple[Band, NDArray[np.int32], NDArray[np.int32]]:
        rows = row[component]
        runs = rows >= 0
        position = np.flatnonzero(self.of_pixels(band, runs)).astype(np.int32)
        return self.select(band, runs), rows[runs], position

    def select(self, band: Band, runs: NDArray[np.bool_]) -> Band:
        lengths = np.diff(band.start)[runs]
        start = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        return Band(band.shape, band.pixel[runs], start, int(start[-1]))
