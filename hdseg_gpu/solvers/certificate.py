"""Proven bounds on the error of potentials, by the comparison principle.

S is an M-matrix: if S v >= abs(S e) row by row, then abs(e) <= v. So for any v > 0 with S v > 0,

    abs(e_i) <= v_i max_j (abs(r_j) / (S v)_j),      r = b - S x the residual, e the error of x.

With class evidence v = 1 suffices, as S 1 > 0. Without, v is the hitting time: S v = D 1, v_i is
the expected number of steps of a random walk from i to a seed. An approximate v suffices, since
S v is computed.

Clusters connected to the rest by edges as weak as 1e-10 have hitting times of 1e9 and would ruin
the bound. On a cluster C, v is harmonic instead, (S v)_C = 0, and a direct solver computes x: the
residual left there is rounding, and so is the error w = S_CC^-1 abs(r_C) it causes. With w = 0
elsewhere,

    abs(e) <= c v + w      if      c (S v)_j >= abs(r_j) - (S w)_j  outside clusters.

Source: Berman & Plemmons, Nonnegative Matrices in the Mathematical Sciences, 1994.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.ops import Level, Ops
from hdseg_gpu.solvers.direct import factorise
from hdseg_gpu.solvers.hierarchy import Hierarchy
from hdseg_gpu.solvers.iteration import FIRST_LOOK, Columns, Iteration, correct

# Solving for v stops when (S v)_j >= d_j / 2 for all but this fraction of the rows, which become
# clusters, or after _MAX_ITERATIONS.
_REACHED, _FEW, _MAX_ITERATIONS = 0.5, 1e-3, 20
# Hitting times longer than usual by _LONG belong to clusters. The usual time is the 0.9 quantile,
# or the decile before the first jump by _JUMP: clusters may hold many pixels.
_LONG, _JUMP = 20.0, 1e5
# Rows with (S v)_j < d_j / 4 after a cluster was solved join it, in at most _GROWTHS rounds.
_KEPT, _GROWTHS = 0.25, 4
# Relative rounding error of a product in float64, with a margin.
_ROUNDING = 1e-14
# Attempts to find the factor c.
_FACTORS = 3


@dataclass
class Certificate:
    """Error bounds for one matrix, for any right-hand side."""

    ops: Ops
    level: Level
    time: NDArray[np.float64]  # v as a column
    longest: float  # max v
    mask: NDArray[np.bool_]  # (n,): entries in clusters, solved directly
    cluster: NDArray[np.int64] | None = None  # their indices
    solve: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None = None  # S_CC^-1

    @classmethod
    def prepare(cls, ops: Ops, level: Level, hierarchy: Hierarchy) -> "Certificate":
        """Compute v, and find the clusters."""
        b, mask = ops.zeros(level.size, 1), ops.xp.empty(level.size, np.bool_)
        ops.body(b)[0] = ops.diagonal(level)
        walk = Iteration(ops, level, b, hierarchy.precondition, first=FIRST_LOOK)
        lagging = level.size
        while lagging > _FEW * level.size and walk.count < _MAX_ITERATIONS:
            walk.advance()
            lagging = ops.lagging(level, walk.r, 1 - _REACHED, mask)
        v = ops.body(walk.x)[0]
        usual = _LONG * _usual(ops.host(v[:: max(1, v.size // 10_000)]))
        # Entries whose time is too long, or whose true residual is too large: the one carried along
        # has drifted.
        found, longest = ops.doubtful(level, walk.x, usual, _KEPT, mask)
        self = cls(ops, level, walk.x, longest, mask)
        for _ in range(_GROWTHS):
            if found == 0:
                break
            self.cluster = ops.xp.flatnonzero(mask)
            self.solve = factorise(ops.submatrix(level, self.cluster))
            correct(ops, level, ops.zeros(level.size, 1), walk.x, self.cluster, self.solve)
            before = found
            found, self.longest = ops.doubtful(level, walk.x, np.inf, _KEPT, mask)
            if found == before:
                break
        else:  # the rows found last are not among those solved
            mask[:] = False
            mask[self.cluster] = True
        return self

    def needed(self, tolerance: float) -> float:
        """Return the max abs(r_j) / d_j outside clusters for which the bound is the tolerance."""
        return tolerance * _KEPT / max(self.longest, 1.0)  # passes NaN on

    def relative_residual(self, run: Iteration) -> float:
        """Return max abs(r_j) / d_j outside clusters."""
        share = run.relative_residuals()
        if self.cluster is not None:
            self.ops.body(share)[:, self.cluster] = 0.0
        return self.ops.largest(self.level, share)

    def bound(self, run: Iteration) -> tuple[NDArray[np.float64], float]:
        """Solve the clusters; return proven bounds (n,) on the errors, and the largest."""
        ops, level, v = self.ops, self.level, self.time
        if self.cluster is not None and self.solve is not None:
            correct(ops, level, run.b, run.x, self.cluster, self.solve)
            run.renew()
        w = ops.zeros(level.size, 1, np.float64)
        # No check that v > 0: S z >= abs(r) for z = c v + w implies z >= 0, as S is an M-matrix.
        factor = self._factor(w, run.r)
        found = ops.bound(level, v, w, run.r, factor) if factor < np.inf else None
        return (ops.xp.ones(level.size), 1.0) if found is None else found

    def _factor(self, w: NDArray[np.float64], r: Columns) -> float:
        """Fill w, zero on entry; return the factor c, infinity if none was found."""
        ops, level, cluster = self.ops, self.level, self.cluster
        first = ops.factor(level, self.time, w, r, self.mask)
        if cluster is None:
            return float(ops.host(first)[0])
        nothing, out = (ops.zeros(level.size, 1) for _ in range(2))
        ops.residual(level, nothing, self.time, out)
        columns = ops.body(out)[0], ops.body(r), ops.diagonal(level)
        (factor,), product, rest, diagonal = (
            values.astype(np.float64)
            for values in ops.fetched(first, *(column[..., cluster] for column in columns))
        )
        if not factor < np.inf:
            return np.inf
        short, residual = np.maximum(product, 0.0), abs(rest).max(axis=0)  # S v may be below 0
        for _ in range(_FACTORS):
            # Twice the factor: w increases the one that is needed outside clusters.
            noise = residual + 2 * factor * short
            noise += _ROUNDING * diagonal * self._solved(noise)  # rounding in S w
            ops.body(w)[0, cluster] = ops.xp.asarray(2 * self._solved(noise))
            (grown,) = ops.host(ops.factor(level, self.time, w, r, self.mask))
            if grown <= 2 * factor:
                return float(max(factor, grown))
            factor = grown  # the first factor was almost 0
        return np.inf

    def _solved(self, noise: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return abs(S_CC^-1 noise) on the clusters."""
        assert self.solve is not None
        solved: NDArray[np.float64] = np.abs(self.solve(noise[:, np.newaxis])[:, 0])
        return solved


def _usual(v: NDArray[np.float64]) -> float:
    """Return the usual hitting time: one that most entries outside clusters stay below."""
    if v.size == 0:
        return 1.0
    # Next to a seed the time is about 1.
    deciles = np.quantile(v, np.arange(10) / 10)
    deciles[0] = 1.0
    jumps = np.flatnonzero(deciles[1:] > _JUMP * np.maximum(deciles[:-1], 1.0))
    return float(deciles[jumps[0]] if jumps.size else deciles[-1])
