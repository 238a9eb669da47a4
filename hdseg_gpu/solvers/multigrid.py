"""The native solver: red-black reduction, then conjugate gradients with a multigrid cycle.

Half of the pixels are eliminated exactly (``ops.reduce``). On the rest, S x = r, the preconditioner
is one K-cycle of an algebraic multigrid; where class evidence makes S diagonally dominant, a
division by its diagonal does instead.

Source: Reid, The use of conjugate gradients for systems of linear equations possessing "property
A", SIAM J. Numer. Anal. 1972; and see the modules it calls.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.ops import Level, Ops
from hdseg_gpu.core.params import ROUNDING
from hdseg_gpu.solvers import Solution, System
from hdseg_gpu.solvers.hierarchy import Hierarchy
from hdseg_gpu.solvers.iteration import Columns, Iteration

# Measured need without evidence: 9 to 35 (docs/decisions/0005-solver.md), 81 on noise.
MAX_ITERATIONS = 200
# Divided by the diagonal alone, so many iterations cost as much as a hierarchy and its cycles.
_MANY = 45
# max abs(M^-1 r) has been measured up to 4 times smaller than the error.
_SAFETY = 4.0
# The residual carried along may be this much smaller than the true one, which is what counts.
_DRIFT = 0.8


@dataclass
class _Reduced:
    """The solution on the black pixels; what is proven of each potential, before rounding."""

    x: NDArray[Any]  # columns
    iterations: int
    error: float
    bound: NDArray[Any] | float | None  # (n,), or one for all
    clusters: int = 0  # entries that the direct solver took


def multigrid(
    ops: Ops,
    system: System,
    tolerance: float,
    progress: Callable[[float], None],
    *,
    certify: bool,
) -> Solution:
    """Return x with A x = b; uses up b if it converges.

    Parameters
    ----------
    tolerance : float
        Bound on the error of each potential, the last class's included.
    certify : bool
        Whether the bound is to be proven (see ``certificate``), or may be an estimate.
    """
    band, edges, columns = system.band, system.edges, len(system.b)
    level = ops.reduce(band, edges)
    b = ops.reduce_columns(band, edges, level, system.b)
    # The last class is 1 minus the others and has all their errors; rounding comes on top.
    each = max(tolerance / columns - ROUNDING, 0.5 * tolerance / columns)
    dominance = ops.dominance(level)
    if diagonal_is_enough(dominance, each):
        found = _by_diagonal(ops, level, b, each, dominance, progress)
    else:
        found = _by_hierarchy(ops, level, b, each, progress, certify)
    error = (found.error + ROUNDING) * columns
    if not found.error <= each:
        return Solution(system.b, "multigrid", found.iterations, error, converged=False)
    x = ops.expand(band, edges, level, found.x, system.b)
    bound = found.bound
    if isinstance(bound, np.ndarray):
        # A red pixel's error is at most what its neighbours' errors add up to.
        black = ops.zeros(level.size, 1)
        ops.body(black)[0] = bound
        bound = ops.body(ops.expand(band, edges, level, black, ops.zeros(band.size, 1)))[0]
    if bound is not None:
        bound = bound + ROUNDING
    return Solution(x, "multigrid", found.iterations, error, bound, refined=found.clusters)


def _by_diagonal(
    ops: Ops,
    level: Level,
    b: Columns,
    tolerance: float,
    dominance: float,
    progress: Callable[[float], None],
) -> _Reduced:
    """Solve where evidence makes the matrix dominant: |e| <= max |r_i| / (S 1)_i."""
    run = Iteration(ops, level, b, lambda r, out: ops.relax(level, r, out))
    _iterate(run, lambda: _most(run.correction()) / dominance, _DRIFT * tolerance, progress)
    error = _most(ops.largest(run.relative_residuals())) / dominance
    return _Reduced(run.x, run.count, error, error)


def _by_hierarchy(
    ops: Ops,
    level: Level,
    b: Columns,
    tolerance: float,
    progress: Callable[[float], None],
    certify: bool,
) -> _Reduced:
    """Solve any system, by estimate and then by proof."""
    hierarchy = Hierarchy.build(ops, level, len(b))
    run = Iteration(ops, level, b, hierarchy.precondition)
    error = _iterate(run, lambda: _SAFETY * _most(run.correction()), tolerance, progress)
    if not certify or not error <= tolerance:
        return _Reduced(run.x, run.count, error, None)
    from hdseg_gpu.solvers.certificate import Certificate  # which needs SciPy

    certificate = Certificate.prepare(ops, level, hierarchy)
    goal = certificate.needed(tolerance)
    _iterate(run, lambda: certificate.relative_residual(run), goal, progress)
    bound = certificate.bound(run)
    worst = float(bound.max(initial=0.0))
    return _Reduced(run.x, run.count, worst, bound, certificate.cluster.size)


def diagonal_is_enough(dominance: float, tolerance: float) -> bool:
    """Return whether few iterations suffice with the diagonal alone as preconditioner.

    With d = min (S 1)_i / s_ii the eigenvalues of D^-1 S lie in [d, 2 - d], and conjugate
    gradients need about sqrt(kappa) / 2 log(2 / tolerance) iterations, kappa = (2 - d) / d.
    """
    if dominance <= 0:
        return False
    return 0.5 * sqrt((2 - dominance) / dominance) * log(2 / tolerance) < _MANY


def _iterate(
    run: Iteration, judge: Callable[[], float], tolerance: float, progress: Callable[[float], None]
) -> float:
    """Step until the error as judged is within the tolerance, also by the true residual."""
    error = first = judge()
    best = np.inf
    while True:
        while error > tolerance and run.count < MAX_ITERATIONS:
            run.step()
            error = judge()
            if error > 0:
                progress(min(1.0, max(0.0, log(first / error) / log(first / tolerance))))
        if not run.refresh():
            return error
        error = judge()
        # Within the tolerance; or broken down (NaN); or as good as rounding allows.
        if run.count >= MAX_ITERATIONS or not tolerance < error < best / 2:
            return error
        best = error


def _most(columns: NDArray[Any]) -> float:
    return float(columns.max(initial=0.0))
