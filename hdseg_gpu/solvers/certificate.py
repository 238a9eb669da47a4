"""Proven bounds on the error of potentials, by the comparison principle.

S is an M-matrix: if S v >= abs(S e) row by row, then abs(e) <= v. So for any v > 0 with S v > 0,

    abs(e_i) <= v_i max_j (abs(r_j) / (S v)_j),      r = b - S x the residual, e the error of x.

With class evidence v = 1 will do, as S 1 > 0. Without, v is the hitting time: S v = D 1, the steps
that a random walker needs from i to a seed. Only an approximate v is needed, since S v is computed.

Pixels where that fails, because they hang on all others by edges as weak as 1e-10, are put into an
excepted set. Their error is at most 1, as potentials lie in [0, 1], and what of it gets through the
weak edges is counted among the others' residuals. Source: Berman & Plemmons, Nonnegative Matrices
in the Mathematical Sciences, 1994.
"""

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.ops import Level, Ops
from hdseg_gpu.solvers.hierarchy import Hierarchy
from hdseg_gpu.solvers.iteration import Columns, Iteration

# Of S v / D: what a row must reach, and how much of that is reserved for excepted neighbours.
_REACHED, _RESERVED = 0.5, 0.25
# Steps of a walker beyond which pixels are excepted: their bound would be no use.
LONGEST = 1e4
_MAX_ITERATIONS = 20
_FEW = 1e-4
_MAX_SPREADS = 50


def hitting_time(ops: Ops, level: Level, hierarchy: Hierarchy) -> NDArray[np.float32]:
    """Return about S^-1 D 1, (n,): good enough where (S v)_i >= d_i / 2."""
    b = ops.zeros(level.size, 1)
    ops.body(b)[0] = ops.diagonal(level)
    walk = Iteration(ops, level, b, hierarchy.precondition)
    rest = ops.zeros(level.size, 1)
    while walk.count < _MAX_ITERATIONS:
        walk.step()
        ops.relax(level, walk.r, rest)
        # A few rows may lag behind for long: those of clusters that are as good as cut off.
        if np.mean(ops.body(rest)[0] > 1 - _REACHED) < _FEW:
            break
    time: NDArray[np.float32] = ops.body(walk.x)[0].astype(np.float32)
    return time


def needed_residual(time: NDArray[np.float32], tolerance: float) -> float:
    """Return the max abs(D^-1 r) with which the bound is within the tolerance nearly everywhere."""
    sample = time[:: max(1, time.size // 10_000)]
    usual = float(np.quantile(np.minimum(sample, LONGEST), 0.999)) if sample.size else 1.0
    return tolerance * (_REACHED - _RESERVED) / max(usual, 1.0)


def bound_of(
    ops: Ops, level: Level, time: NDArray[np.float32], r: Columns, tolerance: float
) -> NDArray[np.float32]:
    """Return the proven bound on the error of each entry, (n,): 1 where nothing is proven.

    Parameters
    ----------
    time : ndarray, (n,)
        About the hitting time; any positive values give a valid bound.
    r : columns
        Residuals b - S x, computed in float64.
    tolerance : float
        The bound that is wanted: excepted is what could not meet it anyway.
    """
    diagonal = ops.diagonal(level)
    residual = np.abs(ops.body(r)).max(axis=0) / diagonal
    v, product = ops.zeros(level.size, 1), ops.zeros(level.size, 1)
    ops.body(v)[0] = time
    ops.apply(level, v, product)
    good = (ops.body(product)[0] >= _REACHED * diagonal) & (time <= LONGEST) & (time > 0)
    for _ in range(_MAX_SPREADS):
        factor = max(
            float(residual[good].max(initial=0.0)) / (_REACHED - _RESERVED), tolerance / LONGEST
        )
        if good.all():
            break
        # What errors of 1 send over from the excepted entries: (W 1)_j = -(S 1)_j.
        ops.body(v)[0] = ~good
        ops.apply(level, v, product)
        reached = good & (-ops.body(product)[0] > factor * _RESERVED * diagonal)
        if not reached.any():
            break
        good &= ~reached
    else:
        good[:] = False
    return np.where(good, np.minimum(factor * time, 1.0), 1.0).astype(np.float32)
