"""Steps of a proof of error bounds."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.ops.types import Level


class ProofOps(ABC):
    """Bounds; `mask`, (n,) of bool, has the rows of clusters."""

    @abstractmethod
    def lagging(self, level: Level, r: NDArray[Any], least: float, mask: NDArray[np.bool_]) -> int:
        """Set mask to where the one column r exceeds least a_ii; return how often it does."""

    @abstractmethod
    def doubtful(
        self,
        level: Level,
        v: NDArray[np.float64],
        longest: float,
        least: float,
        mask: NDArray[np.bool_],
    ) -> tuple[int, float]:
        """Add rows to mask where v_i is not in (0, longest], or (A v)_i < least a_ii.

        v is one column. Returns how many rows the mask has then, and the largest v_i: NaN if there
        is one, 0 if none is above.
        """

    @abstractmethod
    def factor(
        self,
        level: Level,
        v: NDArray[np.float64],
        w: NDArray[np.float64],
        r: NDArray[Any],
        mask: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        """Return the least c >= 0 with c (A v)_i >= max_j abs(r_ij) - (A w)_i outside the mask.

        (1,), where the level is. Infinity if (A v)_i is not above 0 somewhere; NaN if anything is.
        """

    @abstractmethod
    def bound(
        self,
        level: Level,
        v: NDArray[np.float64],
        w: NDArray[np.float64],
        r: NDArray[Any],
        factor: float,
    ) -> tuple[NDArray[np.float64], float] | None:
        """Return c v + w within [0, 1], (n,), with c = factor, and the largest of these.

        None unless c (A v)_i + (A w)_i >= max_j abs(r_ij) everywhere: then it bounds nothing.
        """
