"""Conjugate gradients with a Ruge-Stueben multigrid cycle of pyamg as preconditioner."""

from collections.abc import Callable

import numpy as np
import pyamg
from numpy.typing import NDArray
from scipy import sparse

from hdseg_gpu.core.params import ROUNDING
from hdseg_gpu.ops import CsrMatrix, Ops
from hdseg_gpu.solvers import Solution, System, from_host, on_host
from hdseg_gpu.solvers.pcg import pcg

# Measured need: 4 to 16 iterations (docs/decisions/0003-solvers.md).
MAX_ITERATIONS = 60
# M^-1 r has been measured up to 6 times smaller than the true error.
_SAFETY = 10.0


def amg(
    ops: Ops,
    system: System,
    tolerance: float,
    progress: Callable[[float], None],
    *,
    certify: bool = True,
) -> Solution:
    """Return the solution by pyamg; its error is an estimate, not a bound."""
    matrix, b = on_host(ops, system)
    x, iterations, estimate, converged = by_pyamg(
        matrix, b, max(tolerance - ROUNDING, ROUNDING), progress
    )
    found = from_host(ops, system, x)
    return Solution(found, "amg", iterations, estimate + ROUNDING, converged=converged)


def by_pyamg(
    matrix: CsrMatrix,
    b: NDArray[np.float64],
    tolerance: float,
    progress: Callable[[float], None],
) -> tuple[NDArray[np.float64], int, float, bool]:
    """Return x (n, m), iterations, error estimate, and whether that is within the tolerance.

    Right-hand sides are solved one by one, with one hierarchy. Source: Ruge & Stueben, *Algebraic
    Multigrid*, in
    *Multigrid Methods* (SIAM 1987);
    Bell, Olson, Schroder, Southworth: PyAMG, JOSS 2023.
    """
    n = len(b)
    # pyamg dispatches on the matrix classes, not on the array classes.
    A = sparse.csr_matrix((matrix.data, matrix.indices, matrix.indptr), shape=(n, n))
    # Without the second pass of coarsening some clusters behind sharp edges have no coarse point:
    # the error there stays near 1 although the residual is small.
    hierarchy = pyamg.ruge_stuben_solver(
        A, CF=("RS", {"second_pass": True}), max_coarse=200, coarse_solver="splu"
    )
    precondition = hierarchy.aspreconditioner(cycle="V").matvec
    x = np.empty_like(b)
    columns = b.shape[1]
    # A hierarchy of one level is a direct solver, whose estimate is the error.
    safety = _SAFETY if len(hierarchy.levels) > 1 else 1.0
    # The last class is 1 minus the others, so the errors of all columns may add up in it.
    each = tolerance / (safety * columns)
    most, total = 0, 0.0
    for j in range(columns):
        x[:, j], iterations, estimate = pcg(
            A.dot, precondition, b[:, j].copy(), each, MAX_ITERATIONS
        )
        # NaN: the iteration broke down.
        total += np.inf if np.isnan(estimate) else estimate
        most = max(most, iterations)
        progress((j + 1) / columns)
    # If rounding stopped the iteration, no other solver gets further: accept the estimate without
    # the safety factor.
    required = tolerance if most < MAX_ITERATIONS else tolerance / safety
    return x, most, safety * total, total <= required
