"""Aggregation multigrid: a hierarchy of coarser matrices, and the V-cycle through it.

A coarse entry is an aggregate of about five fine ones, chosen so that the smoother removes the
errors that aggregates cannot represent (kernels/cpu/aggregation.cpp).

Sources: Notay, An aggregation-based algebraic multigrid method, ETNA 2010; Braess, Towards
algebraic multigrid for elliptic problems of second order, Computing 1995.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.ops import Level, Ops, SmallCycle, Work
from hdseg_gpu.solvers.iteration import Columns

# Coarsening stops at this many entries, which are solved by the dense inverse.
COARSEST = 100
# Coarsening has stalled if more than this fraction of the entries remains.
_STALLED = 0.6


@dataclass
class Hierarchy:
    """Levels from fine to coarse; aggregates[i] maps entries of level i to those of level i + 1."""

    ops: Ops
    levels: list[Level]
    step: Columns  # work space of the finest level
    aggregates: list[NDArray[np.int32]] = field(default_factory=list)
    work: list[Work] = field(default_factory=list)  # work space of the coarser levels
    # Of the coarsest level; None if coarsening stalled: then the smoother has to do.
    inverse: NDArray[np.float64] | None = None
    small: SmallCycle | None = None

    @classmethod
    def build(cls, ops: Ops, level: Level, columns: int) -> "Hierarchy":
        """Coarsen until the matrix is small; allocate work space for `columns` right-hand sides."""
        self = cls(ops, [level], ops.zeros(level.size, columns))
        while self.levels[-1].size > COARSEST:
            aggregate, coarse = ops.coarsen(self.levels[-1])
            if coarse.size > _STALLED * self.levels[-1].size:
                break
            self.aggregates.append(aggregate)
            self.levels.append(coarse)
            room = ops.zeros(coarse.size, 3 * columns)
            self.work.append(Work(*(room[i * columns : (i + 1) * columns] for i in range(3))))
        if self.levels[-1].size <= COARSEST:
            self.inverse = ops.inverse(self.levels[-1])
            self.small = ops.small_cycle(
                self.levels[1:], self.aggregates[1:], self.inverse, self.work
            )
        return self

    def precondition(self, r: Columns, out: Columns) -> None:
        """Set out to an approximation of S^-1 r, by a linear and symmetric map of r."""
        self._cycle(0, r, self.step[: len(r)], out)

    def _cycle(self, i: int, r: Columns, step: Columns, out: Columns) -> None:
        """Smooth, correct by the coarser levels, smooth: set out to about A_i^-1 r."""
        if self.small is not None and i == 1 + self.small.first:
            self.small.run(len(r))
            return
        if i == len(self.levels) - 1:
            if self.inverse is None:
                self.ops.apply_inverse_diagonal(self.levels[i], r, out)
            else:
                self.ops.multiply(self.inverse, r, out)
            return
        below = self.work[i]
        coarse_r, x, coarse_step = (v[: len(r)] for v in (below.r, below.x, below.step))
        self.ops.restrict(self.levels[i], self.aggregates[i], r, step, coarse_r)
        self._cycle(i + 1, coarse_r, coarse_step, x)
        self.ops.prolong(self.levels[i], self.aggregates[i], r, x, step, out)
