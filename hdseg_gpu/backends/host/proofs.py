"""Proofs, by NumPy."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.ops import Level, Ops


class HostProofOps(Ops):
    """In NumPy."""

    def lagging(self, level: Level, r: NDArray[Any], least: float, mask: NDArray[np.bool_]) -> int:
        np.greater(self.body(r)[0] / self.diagonal(level), least, out=mask)
        return int(np.count_nonzero(mask))

    def doubtful(
        self,
        level: Level,
        v: NDArray[np.float64],
        longest: float,
        least: float,
        mask: NDArray[np.bool_],
    ) -> tuple[int, float]:
        time = self.body(v)[0]
        good = (time > 0) & (time <= longest)
        good &= self._product(level, v) >= least * self.diagonal(level)
        mask |= ~good
        return int(np.count_nonzero(mask)), float(time.max(initial=0.0))

    def factor(
        self,
        level: Level,
        v: NDArray[np.float64],
        w: NDArray[np.float64],
        r: NDArray[Any],
        mask: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        ahead, rest = self._product(level, v)[~mask], self._rest(r) - self._product(level, w)
        if not (ahead > 0).all():
            return np.array([np.nan if np.isnan(ahead).any() else np.inf])
        return np.array([(rest[~mask] / ahead).max(initial=0.0)])

    def bound(
        self,
        level: Level,
        v: NDArray[np.float64],
        w: NDArray[np.float64],
        r: NDArray[Any],
        factor: float,
    ) -> tuple[NDArray[np.float64], float] | None:
        # 1e-12: of the division that gave the factor.
        most = (1 + 1e-12) * factor * self._product(level, v) + self._product(level, w)
        if not (most >= self._rest(r)).all():
            return None
        found: NDArray[np.float64] = np.clip(factor * self.body(v)[0] + self.body(w)[0], 0.0, 1.0)
        return found, float(found.max(initial=0.0))

    def _rest(self, r: NDArray[Any]) -> NDArray[np.float64]:
        """Return max_j abs(r_ij)."""
        found: NDArray[np.float64] = abs(self.body(r)).max(axis=0).astype(np.float64)
        return found

    def _product(self, level: Level, v: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return A v of one column, (n,), computed in float64."""
        nothing, out = (self.zeros(level.size, 1) for _ in range(2))
        self.residual(level, nothing, v, out)
        product: NDArray[np.float64] = -self.body(out)[0].astype(np.float64)
        return product
