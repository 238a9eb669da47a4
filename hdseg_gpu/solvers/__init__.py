"""How the system is solved: the choice, and the one rule for falling back."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import HdsegError, NotConverged
from hdseg_gpu.core.ops import CsrMatrix

NAMES = ("auto", "amg", "direct")


@dataclass(frozen=True)
class Solution:
    """What a solver returns; what to make of it is decided in ``solve`` alone."""

    x: NDArray[np.float64]  # (n, m), one column for each right-hand side
    solver: str
    iterations: int = 0  # the largest over the columns
    error_estimate: float = 0.0  # of any entry of x, and of 1 minus the sum of a row
    converged: bool = True
    fallback: str | None = None  # why another solver than the first choice gave the answer

    def without_potentials(self) -> "Solution":
        """Return the figures alone."""
        return replace(self, x=np.empty((0, self.x.shape[1])))


def solve(
    matrix: CsrMatrix,
    b: NDArray[np.float64],
    solver: str,
    tolerance: float,
    progress: Callable[[float], None],
) -> Solution:
    """Return x with A x = b, each entry within about `tolerance` of the exact solution.

    Parameters
    ----------
    matrix : CsrMatrix
        Symmetric positive definite M-matrix A, (n, n).
    b : ndarray of float64, shape (n, m)
        Right-hand sides.
    solver : {"auto", "amg", "direct"}
        An explicit name is final. "auto" is "amg", and "direct" where that fails.
    tolerance : float
        Bound on the estimated error of each entry of x.
    progress : callable
        Told the fraction done.

    Raises
    ------
    NotConverged
        solver="amg" stayed above the tolerance.
    """
    if b.shape[1] == 0:  # one class alone reaches these pixels: its potential is 1
        return Solution(b, "none")
    if solver == "direct":
        return _direct(matrix, b)
    try:
        solution = _amg(matrix, b, tolerance, progress)
    except ImportError as error:
        if solver == "amg":
            raise HdsegError(
                f"solver='amg' needs pyamg, which did not load ({error}); "
                "run `pip install pyamg`, or use solver='direct'."
            ) from error
        reason = f"pyamg did not load ({error})"
    else:
        if solution.converged:
            return solution
        reason = (
            f"an estimated error of {solution.error_estimate:.1e} was left after "
            f"{solution.iterations} iterations on {len(b)} unknowns (tolerance {tolerance:.0e})"
        )
        if solver == "amg":
            raise NotConverged(
                f"solver='amg' did not converge: {reason}; "
                "use solver='auto' or 'direct', or a smaller beta."
            )
    return replace(_direct(matrix, b), fallback=f"direct instead of amg: {reason}")


def _direct(matrix: CsrMatrix, b: NDArray[np.float64]) -> Solution:
    from hdseg_gpu.solvers.direct import direct

    return direct(matrix, b)


def _amg(
    matrix: CsrMatrix,
    b: NDArray[np.float64],
    tolerance: float,
    progress: Callable[[float], None],
) -> Solution:
    from hdseg_gpu.solvers.amg import amg

    return amg(matrix, b, tolerance, progress)
