"""Columns, and what the iterations do with them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.ops.types import Level, SmallCycle, Work


class VectorOps(ABC):
    """Columns: (m, ...) arrays of a backend's own layout; `body` shows their entries."""

    @abstractmethod
    def zeros(self, size: int, columns: int, dtype: Any = np.float32) -> NDArray[Any]:
        """Return `columns` columns with `size` entries each, all 0."""

    @abstractmethod
    def body(self, columns: NDArray[Any]) -> NDArray[Any]:
        """Return a view of the entries of columns: (m, n)."""

    @abstractmethod
    def residual(
        self, level: Level, b: NDArray[Any], x: NDArray[np.float64], out: NDArray[Any]
    ) -> None:
        """Set out = b - A x, computed in float64."""

    @abstractmethod
    def refresh(
        self, level: Level, b: NDArray[Any], x: NDArray[np.float64], r: NDArray[Any]
    ) -> NDArray[np.float64]:
        """Set r = b - A x, computed in float64; return three numbers for each column, (3, m).

        r . r before and after, and max_i abs(r_i) / a_ii, NaN if there is one; in host memory.
        """

    @abstractmethod
    def conjugate(
        self,
        level: Level,
        z: NDArray[Any],
        q: NDArray[Any],
        energy: NDArray[np.float64],
        p: NDArray[Any],
    ) -> None:
        """Set p = z - (z . q / energy) p for each column: conjugate to the p before.

        q = A p and energy = p . q are those of the last step; where energy is not above 0, p = z.
        """

    @abstractmethod
    def step(
        self,
        level: Level,
        p: NDArray[Any],
        q: NDArray[Any],
        energy: NDArray[np.float64],
        x: NDArray[np.float64],
        r: NDArray[Any],
    ) -> None:
        """Set q = A p and energy = p . q, (m,); then x += a p and r -= a q with a = p . r / energy.

        For each column, with sums in float64; a is 0 where energy is not above 0: x is exact there.
        """

    @abstractmethod
    def apply_inverse_diagonal(self, level: Level, r: NDArray[Any], out: NDArray[Any]) -> None:
        """Set out = D^-1 r, D the diagonal."""

    @abstractmethod
    def restrict(
        self,
        level: Level,
        aggregate: NDArray[np.int32],
        r: NDArray[Any],
        x: NDArray[Any],
        coarse: NDArray[Any],
    ) -> None:
        """Set x = 0.8 D^-1 r and coarse = P^T (r - A x)."""

    @abstractmethod
    def prolong(
        self,
        level: Level,
        aggregate: NDArray[np.int32],
        r: NDArray[Any],
        coarse: NDArray[Any],
        x: NDArray[Any],
        out: NDArray[Any],
    ) -> None:
        """Set out = y + 0.8 D^-1 (r - A y), y = x + P coarse; x may go."""

    def small_cycle(
        self,
        levels: Sequence[Level],
        aggregates: Sequence[NDArray[np.int32]],
        inverse: NDArray[np.float64],
        work: Sequence[Work],
    ) -> SmallCycle | None:
        """Return one call for all of a V-cycle's small levels, None where that gains nothing.

        levels: those below the finest, the last with its inverse; aggregates: of all but the last.
        """
        return None

    @abstractmethod
    def multiply(self, matrix: NDArray[np.float64], r: NDArray[Any], out: NDArray[Any]) -> None:
        """Set out = M r of each column, M dense, (n, n) and small."""

    @abstractmethod
    def largest(self, level: Level, x: NDArray[Any]) -> float:
        """Return max abs(x) over all columns of a level, NaN if there is one; 0 of none."""
