"""Levels, by NumPy."""

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.ops import Level, Ops


class HostLevelOps(Ops):
    """In NumPy."""

    def dominance(self, level: Level) -> float:
        return float((self.row_sums(level) / self.diagonal(level)).min(initial=1.0))

    def inverse(self, level: Level) -> NDArray[np.float64]:
        """By Gauss & Jordan: an M-matrix needs no pivots."""
        rows = self.submatrix(level, np.arange(level.size))
        inverse = np.zeros((level.size, level.size))
        inverse[np.repeat(np.arange(level.size), np.diff(rows.indptr)), rows.indices] = rows.data
        for k in range(len(inverse)):
            pivot = inverse[k, k]
            row, column = inverse[k] / pivot, inverse[:, k].copy()
            inverse -= column[:, np.newaxis] * row
            inverse[k], inverse[:, k], inverse[k, k] = row, -column / pivot, 1 / pivot
        return inverse
