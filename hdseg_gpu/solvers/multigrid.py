"""The native solver: red-black reduction, then conjugate gradients with a multigrid cycle.

Half of the pixels are eliminated exactly (``ops.reduce``). On the rest, S x = r, the preconditioner
is one K-cycle of an algebraic multigrid; where class evidence makes S diagonally dominant, a
division by its diagonal does instead.

Source: Reid, The use of conjugate gradients for systems of linear equations possessing "property
A", SIAM J. Numer. Anal. 1972; and see the modules it calls.
"""

from collections.abc import Callable
from math import log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.ops import Ops
from hdseg_gpu.solvers import Solution, System
from hdseg_gpu.solvers.certificate import Certificate
from hdseg_gpu.solvers.direct import ROUNDING
from hdseg_gpu.solvers.hierarchy import Hierarchy
from hdseg_gpu.solvers.iteration import Iteration

# Measured need without evidence: 9 to 28 (docs/decisions/0005-solver.md).
MAX_ITERATIONS = 100
# Divided by the diagonal alone, so many iterations cost as much as a hierarchy and its cycles.
_MANY = 45
# max abs(M^-1 r) has been measured up to 3 times smaller than the error.
_SAFETY = 3.0


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
    band, edges = system.band, system.edges
    level = ops.reduce(band, edges)
    b = ops.reduce_columns(band, edges, level, system.b)
    each = tolerance / len(b)  # the last class is 1 minus the others, and has all their errors
    dominance = ops.dominance(level)
    bound: NDArray[Any] | float | None = None
    refined = 0
    if diagonal_is_enough(dominance, each):
        # v = 1 in the comparison principle: |e| <= max |r_i| / (S 1)_i.
        run = Iteration(ops, level, b, lambda r, out: ops.relax(level, r, out))
        error = _iterate(run, lambda: _most(run.correction()) / dominance, each, progress)
        bound = error
    else:
        hierarchy = Hierarchy.build(ops, level, len(b))
        run = Iteration(ops, level, b, hierarchy.precondition)
        error = _iterate(run, lambda: _SAFETY * _most(run.correction()), each, progress)
        if certify and error <= each:
            certificate = Certificate.prepare(ops, level, hierarchy)
            refined = certificate.cluster.size
            goal = certificate.needed(each)
            _iterate(run, lambda: certificate.relative_residual(run), goal, progress)
            bound = certificate.bound(run)
            error = float(bound.max(initial=0.0))
    if not error <= each:
        return Solution(system.b, "multigrid", run.count, error * len(b), converged=False)
    x = ops.expand(band, edges, level, run.x, system.b)
    if isinstance(bound, np.ndarray):
        columns = ops.zeros(band.size, 1)
        entries = ops.zeros(level.size, 1)
        ops.body(entries)[0] = bound
        bound = ops.body(ops.expand(band, edges, level, entries, columns))[0]
    if bound is not None:
        bound = bound + ROUNDING  # so far it was about S and its right-hand sides as stored
    return Solution(
        x,
        "multigrid",
        iterations=run.count,
        error=error * len(b) + ROUNDING,
        bound=bound,
        refined=refined,
    )


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
    first = best = judge()
    while True:
        error = judge()
        while error > tolerance and run.count < MAX_ITERATIONS:
            run.step()
            error = judge()
            if first > tolerance:
                progress(
                    min(1.0, max(0.0, log(first / max(error, 1e-30)) / log(first / tolerance)))
                )
        if not run.refresh() or run.count >= MAX_ITERATIONS:
            return error
        error = judge()
        # Within the tolerance; or broken down (NaN); or as good as rounding allows.
        if not tolerance < error < best / 2:
            return error
        best = error


def _most(columns: NDArray[Any]) -> float:
    return float(columns.max(initial=0.0))
