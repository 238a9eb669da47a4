"""Proven bounds on the error of potentials, by the comparison principle.

S is an M-matrix: if S v >= abs(S e) row by row, then abs(e) <= v. So for any v > 0 with S v > 0,

    abs(e_i) <= v_i max_j (abs(r_j) / (S v)_j),      r = b - S x the residual, e the error of x.

With class evidence v = 1 will do, as S 1 > 0. Without, v is the hitting time: S v = D 1, the steps
that a random walker needs from i to a seed. Only an approximate v is needed, since S v is computed.

Clusters that hang on all others by edges as weak as 1e-10 have hitting times of 1e9 and would
spoil the bound. On them, v is just harmonic, (S v)_C = 0, and a direct solver takes x: what is
left of the residual there is rounding, and so is the error w = S_CC^-1 abs(r_C) that it makes.
With w = 0 elsewhere,

    abs(e) <= c v + w      if      c (S v)_j >= abs(r_j) - (S w)_j  outside clusters.

Source: Berman & Plemmons, Nonnegative Matrices in the Mathematical Sciences, 1994.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.ops import Level, Ops
from hdseg_gpu.solvers.direct import factorise
from hdseg_gpu.solvers.hierarchy import Hierarchy
from hdseg_gpu.solvers.iteration import Iteration, correct, most

# Of the walk: (S v)_j >= d_j / 2, but for this share of the rows, which become clusters.
_REACHED, _FEW, _MAX_ITERATIONS = 0.5, 1e-3, 20
# Times longer by this factor than what most are below are those of clusters. They may be many:
# where the deciles of all times jump by so much, those above do not count as usual.
_LONG, _JUMP = 20.0, 1e5
# Clusters grow by the rows for which they leave (S v)_j < d_j / 4, at most so often.
_KEPT, _GROWTHS = 0.25, 4
# Of a product in float64, with a margin.
_ROUNDING = 1e-14
# At most so many factors c are tried.
_FACTORS = 3


@dataclass
class Certificate:
    """What it takes to bound errors for one matrix, whatever the right-hand side."""

    ops: Ops
    level: Level
    time: NDArray[np.float64]  # v as a column
    cluster: NDArray[np.int64]  # entries for the direct solver
    solve: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None  # on the cluster

    @classmethod
    def prepare(cls, ops: Ops, level: Level, hierarchy: Hierarchy) -> "Certificate":
        """Walk: find v, and the clusters."""
        diagonal = ops.diagonal(level)
        b, rest = ops.zeros(level.size, 1), ops.zeros(level.size, 1)
        ops.body(b)[0] = diagonal
        walk = Iteration(ops, level, b, hierarchy.precondition)
        lagging = ops.xp.ones(level.size, np.bool_)
        while int(lagging.sum()) > _FEW * level.size and walk.count < _MAX_ITERATIONS:
            walk.step()
            ops.relax(level, walk.r, rest)
            lagging = ops.body(rest)[0] > 1 - _REACHED
        v = ops.body(walk.x)[0]
        self = cls(ops, level, walk.x, ops.xp.empty(0, np.int64), None)
        usual = _usual(ops.host(v[:: max(1, v.size // 10_000)]))
        strange = lagging | (v > _LONG * usual) | (v <= 0)
        # Where the walk's own residual has drifted from the true one.
        strange |= self._product(walk.x) < _KEPT * diagonal
        for _ in range(_GROWTHS):
            if not bool(strange.any()):
                break
            self.cluster = ops.xp.flatnonzero(strange)
            self.solve = factorise(ops.submatrix(level, strange))
            correct(ops, level, 0 * b, walk.x, self.cluster, self.solve)
            lost = (self._product(walk.x) < _KEPT * diagonal) & ~strange
            if not bool(lost.any()):
                break
            strange |= lost
        return self

    def needed(self, tolerance: float) -> float:
        """Return the max abs(r_j) / d_j outside clusters with which the bound is the tolerance."""
        longest = most(self.ops.body(self.time), 1.0)
        return tolerance * _KEPT / longest

    def relative_residual(self, run: Iteration) -> float:
        """Return max abs(r_j) / d_j outside clusters."""
        share = run.relative_residuals()
        self.ops.body(share)[:, self.cluster] = 0.0
        return self.ops.largest(share)

    def bound(self, run: Iteration) -> NDArray[np.float64]:
        """Solve the clusters; return the proven bound on the error of each entry, (n,)."""
        ops, v, cluster = self.ops, self.ops.body(self.time)[0], self.cluster
        xp = ops.xp
        nothing: NDArray[np.float64] = xp.ones(v.size)
        if self.solve is not None:
            correct(ops, self.level, run.b, run.x, cluster, self.solve)
            run.restart()
        run.refresh()
        diagonal = ops.diagonal(self.level)
        residual = abs(ops.body(run.r)).max(axis=0).astype(np.float64)
        product, sent = self._product(self.time), xp.zeros(v.size)
        outside = xp.ones(v.size, np.bool_)
        outside[cluster] = False
        # Nothing else is asked of v: where S z >= abs(r) for z = c v + w, z is positive.
        if not bool((product[outside] > 0).all()):
            return nothing
        factor = most(residual[outside] / product[outside])
        w = ops.zeros(self.level.size, 1, np.float64)
        if self.solve is not None:
            for _ in range(_FACTORS):
                # Twice: the second term is for a factor that grows by what w sends over.
                noise = residual[cluster] + 2 * factor * xp.maximum(-product[cluster], 0.0)
                noise += _ROUNDING * diagonal[cluster] * self._solved(noise)  # of S w itself
                ops.body(w)[0, cluster] = 2 * self._solved(noise)
                sent = self._product(w)
                rest = residual[outside] - sent[outside]
                grown = most(rest / product[outside])
                if grown <= 2 * factor:
                    break
                factor = grown  # it was almost 0
            else:
                return nothing
            factor = max(factor, grown)
        # 1e-12: of the division above.
        if not bool(((1 + 1e-12) * factor * product + sent >= residual).all()):
            return nothing
        bound: NDArray[np.float64] = xp.clip(factor * v + ops.body(w)[0], 0.0, 1.0)
        return bound

    def _solved(self, noise: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return abs(S_CC^-1 noise) on the clusters."""
        assert self.solve is not None
        solved: NDArray[np.float64] = self.ops.xp.asarray(
            np.abs(self.solve(self.ops.host(noise)[:, np.newaxis])[:, 0])
        )
        return solved

    def _product(self, v: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return S v, (n,), computed in float64."""
        nothing, out = (self.ops.zeros(self.level.size, 1) for _ in range(2))
        self.ops.residual(self.level, nothing, v, out)
        product: NDArray[np.float64] = -self.ops.body(out)[0].astype(np.float64)
        return product


def _usual(v: NDArray[np.float64]) -> float:
    """Return what most of some times are below, clusters apart."""
    if v.size == 0:
        return 1.0
    # Beside a seed it is about 1.
    deciles = np.quantile(v, np.arange(10) / 10)
    deciles[0] = 1.0
    jumps = np.flatnonzero(deciles[1:] > _JUMP * np.maximum(deciles[:-1], 1.0))
    return float(deciles[jumps[0]] if jumps.size else deciles[-1])
