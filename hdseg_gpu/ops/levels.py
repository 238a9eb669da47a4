"""Levels: the matrices of the multigrid hierarchy."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.ops.types import CsrMatrix, Level


class LevelOps(ABC):
    """Properties of a `Level`, and the next coarser one."""

    @abstractmethod
    def grid_level(
        self, link: NDArray[np.int32], weight: NDArray[np.float32], row_sum: NDArray[np.float32]
    ) -> Level:
        """Return the level of entries that are pixels of a grid with d axes, in its order.

        link: (d, n), for each axis, the slowest first, the next entry along it, -1 if there is
        none; along the last axis it is i + 1 for entry i. weight: (d, n), of that edge, 0 if there
        is none. row_sum: (n,) A 1.
        """

    @abstractmethod
    def diagonal(self, level: Level) -> NDArray[Any]:
        """Return the diagonal (n,)."""

    @abstractmethod
    def row_sums(self, level: Level) -> NDArray[Any]:
        """Return A 1, (n,)."""

    @abstractmethod
    def dominance(self, level: Level) -> float:
        """Return min (A 1)_i / a_ii, 1 of a matrix without rows."""

    @abstractmethod
    def inverse(self, level: Level) -> NDArray[np.float64]:
        """Return A^-1 of a small level, dense, (n, n)."""

    @abstractmethod
    def coarsen(self, level: Level) -> tuple[NDArray[np.int32], Level]:
        """Return the aggregate of each entry, -1 for none, and the coarse matrix.

        It is P^T A P, where P repeats the value of an aggregate at its entries, with the weights w
        between aggregates a, b (and to seeds) reduced to w max(0.6, 1 / (1 + 0.2 w (R_a + R_b))),
        R the number of an aggregate's entries less one by the sum of the weights within it. Left
        out are entries that the smoother alone can handle: their row sum dominates.
        """

    @abstractmethod
    def submatrix(self, level: Level, chosen: NDArray[np.int64]) -> CsrMatrix:
        """Return some rows and the same columns of the matrix, by ascending number, on the host."""
