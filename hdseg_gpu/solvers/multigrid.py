"""The native solver: red-black reduction, then conjugate gradients with a multigrid cycle.

Half of the pixels are eliminated exactly (``ops.eliminate_red``). On the rest, S x = b, the
preconditioner is one V-cycle of an algebraic multigrid; where class evidence makes S strongly
diagonally dominant, dividing by its diagonal suffices.

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
# This many iterations with the diagonal alone cost as much as building and using a hierarchy.
_MANY = 45
# max abs(M^-1 r) has been measured up to 25 times smaller than the error, in wide bands.
_SAFETY = 30.0
# Attempts to prove the bound, each with a smaller residual.
_PROOFS = 3
# Margin for the residual carried along being smaller than the true one.
_DRIFT = 0.8


@dataclass
class _Reduced:
    """The solution on the black pixels, with error bounds before rounding is added."""

    x: NDArray[Any]  # columns
    iterations: int
    error: float
    bound: NDArray[Any] | float | None  # (n,), or one for all entries
    # Entries solved directly: those of clusters, and of whole components.
    clusters: NDArray[np.bool_] | None = None
    components: NDArray[np.bool_] | None = None
    before: float = 0.0  # the error bound before components were solved directly


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
    """Return x with A x = b; overwrites b if it converges.

    Parameters
    ----------
    tolerance : float
        Bound on the error of each potential, the last class's included.
    certify : bool
        Whether to prove the bound (see ``certificate``); an estimate otherwise.
    hand_over : bool
        Whether components whose error stays above the tolerance are solved directly.
    library : bool
        Whether to iterate by a library's conjugate gradients (``cg``). The bound is proven in the
        same way, with iterations of our own where the proof needs more.
    """
    columns = len(system.b)
    level = ops.eliminate_red(system.band, system.edges)
    b = ops.eliminate_red_rhs(system.band, system.edges, level, system.b)
    # The last class is 1 minus the others, so all their errors add up in it; plus rounding.
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


def on_level(
    ops: Ops, level: Level, b: Columns, tolerance: float, progress: Callable[[float], None]
) -> tuple[Columns, float]:
    """Return x with A x = b for the matrix of a level, (m, n) of float64, and an error bound.

    Each potential is within the tolerance by an estimate; components where it is not are solved
    directly.
    """
    hierarchy = Hierarchy.build(ops, level, len(b))
    run = Iteration(ops, level, b, hierarchy.precondition, first=FIRST_LOOK)
    found = _by_hierarchy(run, hierarchy, tolerance, progress, certify=False, hand_over=True)
    return ops.body(found.x), found.error


def auto(
    ops: Ops,
    system: System,
    tolerance: float,
    progress: Callable[[float], None],
    *,
    certify: bool = True,
) -> Solution:
    """Return the solution by ``multigrid``, and by ``direct`` where that cannot bound its error."""
    return multigrid(ops, system, tolerance, progress, certify=certify, hand_over=True)


def _on_band(
    ops: Ops, system: System, level: Level, found: _Reduced, tolerance: float, name: str
) -> Solution:
    """Extend the solution from the black pixels to all pixels of the band."""
    band, edges = system.band, system.edges

    def carried(entries: NDArray[Any]) -> NDArray[Any]:
        """Extend black pixels' values to red ones by the weighted mean of neighbours; seeds: 0."""
        black = ops.zeros(level.size, 1)
        ops.body(black)[0] = entries
        values = ops.back_substitute(band, edges, level, black, ops.zeros(band.size, 1))
        found: NDArray[Any] = ops.body(values)[0]
        return found

    x = ops.back_substitute(band, edges, level, found.x, system.b)
    bound = found.bound
    if bound is not None and not isinstance(bound, float):
        bound = carried(bound)  # a red pixel's error is at most its neighbours' weighted mean
    if bound is not None:
        bound = bound + ROUNDING
    fallback, direct = None, 0  # pixels
    if name == "cg+multigrid":
        fallback = f"multigrid after {found.iterations} iterations in which cg did not converge"
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
            f"the error could be up to {found.before:.1e} after {found.iterations} iterations "
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
    """Solve where evidence makes the matrix diagonally dominant: |e| <= max |r_i| / (S 1)_i."""
    run = Iteration(ops, level, b, lambda r, out: ops.apply_inverse_diagonal(level, r, out))
    _iterate(run, lambda: run.correction() / dominance, _DRIFT * tolerance, progress)
    error = run.rest / dominance  # from the true residual: _iterate has just recomputed it
    return _Reduced(run.x, run.count, error, error)


def _by_hierarchy(
    run: Iteration,
    hierarchy: Hierarchy,
    tolerance: float,
    progress: Callable[[float], None],
    certify: bool,
    hand_over: bool,
) -> _Reduced:
    """Solve any system: iterate by an error estimate, then prove it, then solve the rest directly.

    Components whose error cannot be bounded are solved directly only if `hand_over`.
    """
    ops, level = run.ops, run.level
    error = _iterate(run, lambda: _SAFETY * run.correction(), tolerance, progress)
    found = _Reduced(run.x, run.count, error, None)
    if not certify and error <= tolerance:
        return found
    if error <= tolerance:
        from hdseg_gpu.solvers.certificate import Certificate  # needs SciPy

        certificate = Certificate.prepare(ops, level, hierarchy)
        goal = certificate.needed(tolerance)
        for _ in range(_PROOFS):
            _iterate(run, lambda: certificate.relative_residual(run), goal, progress)
            bound, worst = certificate.bound(run)
            found.bound = bound
            if worst <= tolerance or worst >= 1:
                break
            goal *= 0.5 * tolerance / worst  # solving the clusters raised the others' residuals
        if certificate.cluster is not None:
            found.clusters = certificate.mask
    else:
        bound = _SAFETY * abs(ops.body(run.corrections())).max(axis=0).astype(np.float64)
        worst = most(bound)
    found.iterations, found.error = run.count, worst
    if not worst <= tolerance and hand_over:  # also if NaN
        _hand_over(run, ~(bound <= tolerance), bound, found)
    return found


def _hand_over(
    run: Iteration, failed: NDArray[np.bool_], bound: NDArray[np.float64], found: _Reduced
) -> None:
    """Solve the components that contain failed entries directly; components are independent."""
    from hdseg_gpu.solvers.direct import components_of, factorise

    ops, level = run.ops, run.level
    whole = ops.submatrix(level, ops.xp.arange(level.size))
    found.components = ops.xp.asarray(components_of(whole, ops.host(failed)))
    chosen = ops.xp.flatnonzero(found.components)
    solve = factorise(ops.submatrix(level, chosen))
    ops.body(run.x)[:, chosen] = 0.0  # may hold NaN
    bound[chosen] = correct(ops, level, run.b, run.x, chosen, solve)
    found.before, found.error = found.error, most(bound)
    found.bound = bound


def diagonal_is_enough(dominance: float, tolerance: float) -> bool:
    """Return whether the diagonal alone is a good enough preconditioner.

    With d = min (S 1)_i / s_ii (`dominance`) the eigenvalues of D^-1 S lie in [d, 2 - d], and
    conjugate gradients need about sqrt(kappa) / 2 log(2 / tolerance) iterations,
    kappa = (2 - d) / d.
    """
    if dominance <= 0:
        return False
    return 0.5 * sqrt((2 - dominance) / dominance) * log(2 / tolerance) < _MANY


def _iterate(
    run: Iteration, judge: Callable[[], float], tolerance: float, progress: Callable[[float], None]
) -> float:
    """Step until `judge()` is within the tolerance for the true residual; return its last value."""
    # At x = 0 no potential is off by more than 1: no need to wait for the device.
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
        # Converged; broken down (NaN); or limited by rounding.
        if run.count - run.before >= MAX_ITERATIONS or not tolerance < error < best / 2:
            return error
        best = error
