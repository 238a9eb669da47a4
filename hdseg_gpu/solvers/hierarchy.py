"""Aggregation multigrid: a hierarchy of coarser matrices, and the K-cycle through it.

Coarse entries are aggregates of about five fine ones, chosen so that what they cannot represent is
left to the smoother (kernels/cpu/aggregation.cpp). The cycle is nonlinear: use it in flexible
conjugate gradients.

Sources: Notay, An aggregation-based algebraic multigrid method, ETNA 2010; Notay & Vassilevski,
Recursive Krylov-based multigrid cycles, Numer. Linear Algebra Appl. 2008.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.ops import Level, Ops
from hdseg_gpu.solvers.iteration import Columns, ratio

# Solved by its inverse; also where coarsening stops.
COARSEST = 300
# Coarsening that leaves more than this share has stalled.
_STALLED = 0.6
# A K-cycle's second step is left out when the first took the residual below this share.
_ENOUGH = 0.35**2


@dataclass
class _Work:
    """The vectors of a coarse level: right-hand side, solution, and four of the cycle's own."""

    r: Columns
    x: Columns
    step: Columns
    v: Columns
    d: Columns
    w: Columns

    def first(self, columns: int) -> "_Work":
        """Return the first so many columns of all."""
        every = (self.r, self.x, self.step, self.v, self.d, self.w)
        return _Work(*(vector[:columns] for vector in every))


@dataclass
class Hierarchy:
    """Levels from fine to coarse; level i + 1 comes from level i by aggregate[i]."""

    ops: Ops
    levels: list[Level]
    aggregates: list[NDArray[np.int32]] = field(default_factory=list)
    inverse: NDArray[np.float64] | None = None  # of the coarsest level, unless it was reached by
    # coarsening that no longer makes progress: then it is smoothed like the others
    work: list[_Work] = field(default_factory=list)
    step: Columns | None = None

    @classmethod
    def build(cls, ops: Ops, level: Level, columns: int) -> "Hierarchy":
        """Coarsen until the matrix is small, and make room for so many columns."""
        self = cls(ops, [level])
        self.step = ops.zeros(level.size, columns)
        while self.levels[-1].size > COARSEST:
            aggregate, coarse = ops.coarsen(self.levels[-1])
            if coarse.size > _STALLED * self.levels[-1].size:
                break
            self.aggregates.append(aggregate)
            self.levels.append(coarse)
            self.work.append(_Work(*(ops.zeros(coarse.size, columns) for _ in range(6))))
        if self.levels[-1].size <= COARSEST:
            self.inverse = np.asarray(np.linalg.inv(_dense(ops, self.levels[-1])))
        return self

    def precondition(self, r: Columns, out: Columns) -> None:
        """Set out to about S^-1 r."""
        assert self.step is not None
        self._cycle(0, r, self.step[: len(r)], out)

    def _cycle(self, i: int, r: Columns, step: Columns, out: Columns) -> None:
        """Smooth, correct by the coarse levels, smooth: out is about A_i^-1 r."""
        if i == len(self.levels) - 1:
            if self.inverse is None:
                self.ops.relax(self.levels[i], r, out)
            else:
                self.ops.body(out)[:] = self.ops.body(r) @ self.inverse
            return
        below = self.work[i].first(len(r))
        self.ops.descend(self.levels[i], self.aggregates[i], r, step, below.r)
        self._k_cycle(i + 1, below)
        self.ops.ascend(self.levels[i], self.aggregates[i], r, below.x, step, out)

    def _k_cycle(self, i: int, work: _Work) -> None:
        """Solve A_i x = r by at most two steps of conjugate gradients; r is used up.

        Without them the piecewise constant coarse corrections would be too small (Notay &
        Vassilevski 2008). 2 cycles, 2 applies, 6 dots, 3 axpys.
        """
        ops, level = self.ops, self.levels[i]
        self._cycle(i, work.r, work.step, work.x)
        if i == len(self.levels) - 1 and self.inverse is not None:
            return
        energy = ops.apply(level, work.x, work.v)
        alpha = ratio(ops.dot(work.x, work.r), energy)
        before = ops.dot(work.r, work.r)
        one = np.ones_like(alpha)
        ops.combine(one, work.r, -alpha, work.v, work.r)
        if np.all(ops.dot(work.r, work.r) <= _ENOUGH * before):
            ops.combine(alpha, work.x, 0 * one, work.x, work.x)
            return
        self._cycle(i, work.r, work.step, work.d)
        energy2 = ops.apply(level, work.d, work.w)
        mixed = ops.dot(work.d, work.v)
        share = ratio(mixed, energy)
        second = ratio(ops.dot(work.d, work.r), energy2 - mixed * share)
        ops.combine(alpha - share * second, work.x, second, work.d, work.x)


def _dense(ops: Ops, level: Level) -> NDArray[np.float64]:
    """Return the matrix of a small level of any kind."""
    rows = ops.submatrix(level, np.ones(level.size, np.bool_))
    matrix = np.zeros((level.size, level.size))
    matrix[np.repeat(np.arange(level.size), np.diff(rows.indptr)), rows.indices] = rows.data
    return matrix
