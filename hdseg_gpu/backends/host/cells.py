"""Cells, by NumPy."""

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.classes import Classes
from hdseg_gpu.ops import Band, Evidence, Ops


class HostCellOps(Ops):
    """In NumPy."""

    def confidence(
        self, distance: NDArray[np.float32], log: float, linear: float, cell: float
    ) -> NDArray[np.float32]:
        far = np.maximum(np.minimum(distance, 1e6) - 0.5, 0) * cell
        confidence: NDArray[np.float32] = np.tanh(log * np.log1p(far) + linear * far)
        return confidence

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
        pixels = band.pixels()
        rows, columns = np.divmod(pixels, band.shape[1])
        away = (distance[(rows + origin[0]) // cell, (columns + origin[1]) // cell] - 0.5) * cell
        own = classes.reshape(-1)[pixels].astype(np.int64)
        close = (away >= near[0]) & (away < near[1])
        wrong = close & (by_colour.label[:, 0].astype(np.int64) - 1 != own)
        found = [np.bincount(own[those], minlength=count) for those in (close, wrong)]
        return np.array(found, np.int64)
