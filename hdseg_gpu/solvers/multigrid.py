"""The native solver: red-black reduction, then conjugate gradients with a multigrid cycle.

Half of the pixels are eliminated exactly (``ops.eliminate_red``). On the rest, S x = r, the
preconditioner is one K-cycle of an algebraic multigrid; where class evidence makes S diagonally
dominant, a division by its diagonal does instead.

Source: Reid, The use of conjugate gradients for systems of linear equations possessing "property
A", SIAM J. Numer. Anal. 1972; and see the modules it calls.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.params import ROUNDING
from hdseg_gpu.ops import Level, Ops
from hdseg_gpu.solvers import Solution, System
from hdseg_gpu.solvers.hierarchy import Hierarchy
from hdseg_gpu.solvers.iteration import FIRST_LOOK, Columns, Iteration, correct, most

# Measured need without evidence: 9 to 35 (docs/decisions/0005-solver.md), 81 on noise.
MAX_ITERATIONS = 200
# Divided by the diagonal alone, so many iterations cost as much as a hierarchy and its cycles.
_MANY = 45
# max abs(M^-1 r) has been measured up to 25 times smaller than the error, in wide bands.
_SAFETY = 30.0
# Proofs that are tried, each with smaller residuals.
_PROOFS = 3
# The residual carried along may be this much smaller than the true one, which is what counts.
_DRIFT = 0.8


@dataclass
class _Reduced:
    """The solution on the black pixels; what is proven of each potential, before rounding."""

    x: NDArray[Any]  # columns
    iterations: int
    error: float
    bound: NDArray[Any] | float | None  # (n,), or one for all
    # What the direct solver took: entries of clusters, and of whole components.
    clusters: NDArray[np.bool_] | None = None
    components: NDArray[np.bool_] | None = None
    before: float = 0.0  # the error that was possible before it took components


def multigrid(
    ops: Ops,
    system: System,
    tolerance: float,
    progress: Callable[[float], None],
    *,
    certify: bool = True,
    hand_over: bool = False,
    library: bool = False,
) -> Solution:
    """Return x with A x = b; uses up b if it converges.

    Parameters
    ----------
    tolerance : float
        Bound on the error of each potential, the last class's included.
    certify : bool
        Whether the bound is to be proven (see ``certificate``), or may be an estimate.
    hand_over : bool
        Whether components whose error stays above the tolerance go to the direct solver.
    library : bool
        Whether the conjugate gradients are those of a library (``cg``); the proof, and what it may
        still ask for, are the same.
    """
    columns = len(system.b)
    level = ops.eliminate_red(system.band, system.edges)
    b = ops.eliminate_red_rhs(system.band, system.edges, level, system.b)
    # The last class is 1 minus the others and has all their errors; rounding comes on top.
    each = max(tolerance / columns - ROUNDING, 0.5 * tolerance / columns)
    dominance = ops.dominance(level)
    found, name = None, "cg" if library else "multigrid"
    if diagonal_is_enough(dominance, each) and not library:
        found = _by_diagonal(ops, level, b, each, dominance, progress)
    if found is None or not found.error <= each:
        hierarchy = Hierarchy.build(ops, level, columns)
        run = Iteration(ops, level, b, hierarchy.precondition, first=FIRST_LOOK)
        if library:
            from hdseg_gpu.solvers.cg import conjugate_gradients

            x, steps, converged = conjugate_gradients(
                ops, system, level, hierarchy.precondition, each
            )
            run.start(x, steps)
            if not converged:
                name = "cg+multigrid"
        found = _by_hierarchy(run, hierarchy, each, progress, certify, hand_over)
    if not found.error <= each:
        error = (found.error + ROUNDING) * columns
        return Solution(system.b, name, found.iterations, error, converged=False)
    return _on_band(ops, system, level, found, tolerance, name)


def auto(
    ops: Ops,
    system: System,
    tolerance: float,
    progress: Callable[[float], None],
    *,
    certify: bool = True,
) -> Solution:
    """Return the solution by ``multigrid``, and directly where that cannot bound its error."""
    return multigrid(ops, system, tolerance, progress, certify=certify, hand_over=True)


def _on_band(
    ops: Ops, system: System, level: Level, found: _Reduced, tolerance: float, name: str
) -> Solution:
    """Return what was found on the black pixels for all pixels."""
    band, edges = system.band, system.edges

    def carried(entries: NDArray[Any]) -> NDArray[Any]:
        """Return values of black pixels, and at red ones their mean by weight; seeds have 0."""
        black = ops.zeros(level.size, 1)
        ops.body(black)[0] = entries
        values = ops.back_substitute(band, edges, level, black, ops.zeros(band.size, 1))
        found: NDArray[Any] = ops.body(values)[0]
        return found

    x = ops.back_substitute(band, edges, level, found.x, system.b)
    bound = found.bound
    if bound is not None and not isinstance(bound, float):
        bound = carried(bound)  # a red pixel's error is at most its neighbours' errors, weighted
    if bound is not None:
        bound = bound + ROUNDING
    fallback, direct = None, 0  # pixels
    if name == "cg+multigrid":
        fallback = f"multigrid went on after {found.iterations} iterations in which cg was not done"
    if found.clusters is not None or found.components is not None:
        taken = ops.xp.zeros(band.size, np.bool_)
        if found.clusters is not None:
            taken |= carried(found.clusters) > 0.5
        if found.components is not None:
            taken |= carried(found.components) > 0
        direct = int(ops.xp.count_nonzero(taken))
    if found.components is not None:
        fallback = (
            f"direct instead of {name} on {direct} of {band.size} unknowns: "
            f"an error of {found.before:.1e} was possible after {found.iterations} iterations "
            f"(tolerance {tolerance:.0e})"
        )
        name = "direct" if bool(found.components.all()) else f"{name}+direct"
    return Solution(
        x,
        name,
        found.iterations,
        error=(found.error + ROUNDING) * len(x),
        bound=bound,
        refined=direct,
        fallback=fallback,
    )


def _by_diagonal(
    ops: Ops,
    level: Level,
    b: Columns,
    tolerance: float,
    dominance: float,
    progress: Callable[[float], None],
) -> _Reduced:
    """Solve where evidence makes the matrix dominant: |e| <= max |r_i| / (S 1)_i."""
    run = Iteration(ops, level, b, lambda r, out: ops.apply_inverse_diagonal(level, r, out))
    _iterate(run, lambda: run.correction() / dominance, _DRIFT * tolerance, progress)
    error = run.rest / dominance  # by the true residual: _iterate has just refreshed it
    return _Reduced(run.x, run.count, error, error)


def _by_hierarchy(
    run: Iteration,
    hierarchy: Hierarchy,
    tolerance: float,
    progress: Callable[[float], None],
    certify: bool,
    hand_over: bool,
) -> _Reduced:
    """Solve any system: by estimate, then by proof, and then directly what that leaves."""
    ops, level = run.ops, run.level
    error = _iterate(run, lambda: _SAFETY * run.correction(), tolerance, progress)
    found = _Reduced(run.x, run.count, error, None)
    if not certify and error <= tolerance:
        return found
    if error <= tolerance:
        from hdseg_gpu.solvers.certificate import Certificate  # which needs SciPy

        certificate = Certificate.prepare(ops, level, hierarchy)
        goal = certificate.needed(tolerance)
        for _ in range(_PROOFS):
            _iterate(run, lambda: certificate.relative_residual(run), goal, progress)
            bound, worst = certificate.bound(run)
            found.bound = bound
            if worst <= tolerance or worst >= 1:
                break
            goal *= 0.5 * tolerance / worst  # solving the clusters has disturbed the others
        if certificate.cluster is not None:
            found.clusters = certificate.mask
    else:
        bound = _SAFETY * abs(ops.body(run.corrections())).max(axis=0).astype(np.float64)
        worst = most(bound)
    found.iterations, found.error = run.count, worst
    if not worst <= tolerance and hand_over:  # NaN, too
        _hand_over(run, ~(bound <= tolerance), bound, found)
    return found


def _hand_over(
    run: Iteration, failed: NDArray[np.bool_], bound: NDArray[np.float64], found: _Reduced
) -> None:
    """Solve the components with failed entries directly; they depend on no others."""
    from hdseg_gpu.solvers.direct import components_of, factorise

    ops, level = run.ops, run.level
    whole = ops.submatrix(level, ops.xp.arange(level.size))
    found.components = ops.xp.asarray(components_of(whole, ops.host(failed)))
    chosen = ops.xp.flatnonzero(found.components)
    solve = factorise(ops.submatrix(level, chosen))
    ops.body(run.x)[:, chosen] = 0.0  # it may be anything, NaN included
    bound[chosen] = correct(ops, level, run.b, run.x, chosen, solve)
    found.before, found.error = found.error, most(bound)
    found.bound = bound


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
    # At x = 0 no potential is off by more than 1: not worth waiting for a device.
    error = first = 1.0 if run.count == 0 and run.ops.check_interval > 1 else judge()
    best = np.inf
    while True:
        while error > tolerance and run.count - run.before < MAX_ITERATIONS:
            run.advance()
            error = judge()
            if error > 0:
                progress(min(1.0, max(0.0, log(first / error) / log(first / tolerance))))
        if not run.refresh():
            return error
        error = judge()
        # Within the tolerance; or broken down (NaN); or as good as rounding allows.
        if run.count - run.before >= MAX_ITERATIONS or not tolerance < error < best / 2:
            return error
        best = error
