"""How the system is solved: the choice, and the one rule for falling back."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import HdsegError, NotConverged
from hdseg_gpu.core.ops import Band, CsrMatrix, Edges, Ops
from hdseg_gpu.core.params import ROUNDING


@dataclass(frozen=True)
class System:
    """A x^j = b^j on a band, one column j for each right-hand side; the solver may use b up."""

    band: Band
    edges: Edges
    b: NDArray[Any]


@dataclass(frozen=True)
class Solution:
    """What a solver returns; what to make of it is decided in ``solve`` alone."""

    x: NDArray[Any]  # columns (m, n)
    solver: str
    iterations: int = 0  # the largest over the columns
    error: float = 0.0  # of any potential, also of the last class: a bound, or an estimate
    # Proven bound on the error of each potential but the last class's: (n,) or for all of them;
    # None where the solver proves nothing.
    bound: NDArray[Any] | float | None = None
    converged: bool = True
    refined: int = 0  # pixels handed to the direct solver, clusters and whole components
    fallback: str | None = None  # why another solver than the first choice gave the answer

    def without_potentials(self) -> "Solution":
        """Return the figures alone."""
        return replace(self, x=np.empty((len(self.x), 0)), bound=None)


def solve(
    ops: Ops,
    system: System,
    solver: str,
    tolerance: float,
    progress: Callable[[float], None],
    *,
    certify: bool = True,
) -> Solution:
    """Return x with A x = b, each potential within `tolerance` of the exact solution.

    Parameters
    ----------
    ops : Ops
        The backend of the system.
    system : System
        A = L_UU + gamma I and right-hand sides with potentials in [0, 1].
    solver : {"auto", "multigrid", "cg", "amg", "direct"}
        An explicit name is final. "multigrid" hands clusters that hang on all others by the
        weakest of edges to a direct solver; "auto" does so, too, with components of the band whose
        error it cannot bound by the tolerance. "cg" iterates by SciPy or CuPy instead.
    tolerance : float
        Bound on the error of each potential.
    progress : callable
        Told the fraction done.
    certify : bool
        Whether "multigrid", "cg" and "auto" prove the bound, or are content with an estimate.

    Raises
    ------
    NotConverged
        The solver stayed above the tolerance; "auto" practically never does.
    """
    if len(system.b) == 0:  # one class alone reaches these pixels: its potential is 1
        return Solution(system.b, "none", bound=0.0)
    if solver == "direct":
        return _direct(ops, system, tolerance)
    if solver == "amg":
        return _amg(ops, system, tolerance, progress)
    from hdseg_gpu.solvers.multigrid import multigrid

    hand_over = solver == "auto"
    solution = multigrid(
        ops, system, tolerance, progress,
        certify=certify, hand_over=hand_over, library=solver == "cg",
    )  # fmt: skip
    if not solution.converged:
        raise NotConverged(
            f"solver={solver!r} did not converge: an error of {solution.error:.1e} was possible "
            f"after {solution.iterations} iterations on {system.band.size} unknowns (tolerance "
            f"{tolerance:.0e}); use solver='auto' or 'direct', a larger tol, or a smaller beta."
        )
    return solution


def _direct(ops: Ops, system: System, tolerance: float) -> Solution:
    from hdseg_gpu.solvers.direct import direct

    b = ops.body(system.b)
    x, last = direct(
        _on_host(ops, system), ops.host(ops.excess(system.edges)), ops.host(b).T.astype(np.float64)
    )
    if not last <= tolerance:
        raise NotConverged(
            f"solver='direct' is off by {last:.1e} on {system.band.size} unknowns (tolerance "
            f"{tolerance:.0e}); use a larger tol, or a smaller beta."
        )
    b[:] = ops.xp.asarray(x.T)
    bound = last + ROUNDING
    return Solution(system.b, "direct", error=bound * len(b), bound=bound)


def _amg(ops: Ops, system: System, tolerance: float, progress: Callable[[float], None]) -> Solution:
    try:
        from hdseg_gpu.solvers.amg import amg
    except ImportError as error:
        raise HdsegError(
            f"solver='amg' needs pyamg, which did not load ({error}); "
            "run `pip install pyamg`, or use solver='auto'."
        ) from error
    b = ops.body(system.b)
    columns = ops.host(b).T.astype(np.float64, order="F")
    x, iterations, estimate, converged = amg(
        _on_host(ops, system), columns, max(tolerance - ROUNDING, ROUNDING), progress
    )
    if not converged:
        raise NotConverged(
            f"solver='amg' did not converge: an estimated error of {estimate:.1e} was left after "
            f"{iterations} iterations on {len(x)} unknowns (tolerance {tolerance:.0e}); "
            "use solver='auto' or 'direct', or a smaller beta."
        )
    b[:] = ops.xp.asarray(x.T)
    return Solution(system.b, "amg", iterations, estimate + ROUNDING)


def _on_host(ops: Ops, system: System) -> CsrMatrix:
    """Return A in host memory."""
    return CsrMatrix(*map(ops.host, ops.laplacian(system.band, system.edges)))
