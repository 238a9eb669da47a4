"""The solvers' common interface, and the choice between them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import NotConverged
from hdseg_gpu.core.registry import SOLVERS, loaded
from hdseg_gpu.ops import Band, CsrMatrix, Edges, Ops


@dataclass(frozen=True)
class System:
    """A x^j = b^j on a band, one column j per right-hand side; the solver may overwrite b."""

    band: Band
    edges: Edges
    b: NDArray[Any]


@dataclass(frozen=True)
class Solution:
    """The result of a solver, converged or not; ``solve`` alone decides what follows from it."""

    x: NDArray[Any]  # (m, n): m right-hand sides, n unknowns; in the backend's layout
    solver: str
    iterations: int = 0  # the largest over the columns
    error: float = 0.0  # the largest of any potential, the last class's included; may be estimated
    # Proven bound on the error of each potential except the last class's: (n,), or one number for
    # all unknowns; None if the solver proves nothing.
    bound: NDArray[Any] | float | None = None
    converged: bool = True
    refined: int = 0  # pixels passed to the direct solver: clusters and whole components
    fallback: str | None = None  # why another solver replaced the one asked for


class Solver(Protocol):
    """The signature of the solvers in ``core.registry.SOLVERS``; see ``solve`` for arguments."""

    def __call__(
        self,
        ops: Ops,
        system: System,
        tolerance: float,
        progress: Callable[[float], None],
        *,
        certify: bool,
    ) -> Solution:
        """Return the solution reached, converged or not."""


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
        A name in ``core.registry.SOLVERS``. An explicit choice is never replaced. "multigrid"
        passes clusters that only very weak edges connect to the rest to a direct solver; "auto"
        also passes it components of the band whose error it cannot bound by the tolerance. "cg"
        uses the conjugate gradients of SciPy or CuPy.
    tolerance : float
        Bound on the error of each potential.
    progress : callable
        Called with the fraction done.
    certify : bool
        Whether "multigrid", "cg" and "auto" prove the bound; an estimate otherwise.

    Raises
    ------
    InvalidInput
        There is no solver of that name.
    NotConverged
        The solver stayed above the tolerance; "auto" practically never does.
    """
    if len(system.b) == 0:  # only one class reaches these pixels: its potential is 1
        return Solution(system.b, "none", bound=0.0)
    run: Solver = loaded(SOLVERS, "solver", solver)
    solution = run(ops, system, tolerance, progress, certify=certify)
    if not solution.converged:
        raise NotConverged(
            f"solver={solver!r} did not converge: the error may be up to {solution.error:.1e} "
            f"after {solution.iterations} iterations on {system.band.size} unknowns (tolerance "
            f"{tolerance:.0e}); use solver='auto' or 'direct', a larger tol, or a smaller beta."
        )
    return solution


def on_host(ops: Ops, system: System) -> tuple[CsrMatrix, NDArray[np.float64]]:
    """Return A and b (n, m) in host memory, for solvers that do not use an ``Ops``."""
    matrix = CsrMatrix(*map(ops.host, ops.laplacian(system.band, system.edges)))
    return matrix, ops.host(ops.body(system.b)).T.astype(np.float64, order="F")


def from_host(ops: Ops, system: System, x: NDArray[np.float64]) -> NDArray[Any]:
    """Write potentials (n, m) over b, in the backend's layout (m, n); return b."""
    ops.body(system.b)[:] = ops.xp.asarray(x.T)
    return system.b
