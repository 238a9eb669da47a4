"""How the system is solved: the choice, and the one rule for falling back."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import NotConverged
from hdseg_gpu.core.registry import SOLVERS, loaded
from hdseg_gpu.ops import Band, CsrMatrix, Edges, Ops


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


class Solver(Protocol):
    """What a name in ``core.registry.SOLVERS`` stands for; see ``solve`` for the arguments."""

    def __call__(
        self,
        ops: Ops,
        system: System,
        tolerance: float,
        progress: Callable[[float], None],
        *,
        certify: bool,
    ) -> Solution:
        """Return what was reached, converged or not."""


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
    solver : str
        A name in ``core.registry.SOLVERS``. An explicit one is final. "multigrid" hands clusters
        that hang on all others by the weakest of edges to a direct solver; "auto" does so, too,
        with components of the band whose error it cannot bound by the tolerance. "cg" iterates by
        SciPy or CuPy instead.
    tolerance : float
        Bound on the error of each potential.
    progress : callable
        Told the fraction done.
    certify : bool
        Whether "multigrid", "cg" and "auto" prove the bound, or are content with an estimate.

    Raises
    ------
    InvalidInput
        There is no solver of that name.
    NotConverged
        The solver stayed above the tolerance; "auto" practically never does.
    """
    if len(system.b) == 0:  # one class alone reaches these pixels: its potential is 1
        return Solution(system.b, "none", bound=0.0)
    run: Solver = loaded(SOLVERS, "solver", solver)
    solution = run(ops, system, tolerance, progress, certify=certify)
    if not solution.converged:
        raise NotConverged(
            f"solver={solver!r} did not converge: an error of {solution.error:.1e} was possible "
            f"after {solution.iterations} iterations on {system.band.size} unknowns (tolerance "
            f"{tolerance:.0e}); use solver='auto' or 'direct', a larger tol, or a smaller beta."
        )
    return solution


def on_host(ops: Ops, system: System) -> tuple[CsrMatrix, NDArray[np.float64]]:
    """Return A and b (m, n) in host memory, for solvers that know nothing of an ``Ops``."""
    matrix = CsrMatrix(*map(ops.host, ops.laplacian(system.band, system.edges)))
    return matrix, ops.host(ops.body(system.b)).T.astype(np.float64, order="F")


def from_host(ops: Ops, system: System, x: NDArray[np.float64]) -> NDArray[Any]:
    """Return potentials (m, n) as columns of the backend, in the place of b."""
    ops.body(system.b)[:] = ops.xp.asarray(x.T)
    return system.b
