"""Conjugate gradients with a Ruge-Stueben multigrid cycle of pyamg as preconditioner."""

from collections.abc import Callable

import numpy as np
import pyamg
from numpy.typing import NDArray
from scipy import sparse

from hdseg_gpu.core.ops import CsrMatrix
from hdseg_gpu.solvers import Solution
from hdseg_gpu.solvers.pcg import pcg

# Measured need: 3 to 12 iterations (docs/decisions/0003-solvers.md).
MAX_ITERATIONS = 60


def amg(
    matrix: CsrMatrix,
    b: NDArray[np.float64],
    tolerance: float,
    progress: Callable[[float], None],
) -> Solution:
    """Return the solution by algebraic multigrid, one right-hand side after the other.

    The hierarchy is built once for the matrix, which holds the unknown band alone, never the
    image. Source: Ruge & Stueben, *Algebraic Multigrid*, in *Multigrid Methods* (SIAM 1987);
    Bell, Olson, Schroder, Southworth: PyAMG, JOSS 2023.
    """
    n = len(b)
    # pyamg dispatches on the matrix classes, not on the array classes.
    A = sparse.csr_matrix((matrix.data, matrix.indices, matrix.indptr), shape=(n, n))
    hierarchy = pyamg.ruge_stuben_solver(A, max_coarse=200, coarse_solver="splu")
    precondition = hierarchy.aspreconditioner(cycle="V").matvec
    x = np.empty_like(b)
    most, worst = 0, 0.0
    for j in range(b.shape[1]):
        x[:, j], iterations, estimate = pcg(
            A.dot, precondition, b[:, j].copy(), tolerance, MAX_ITERATIONS
        )
        most, worst = max(most, iterations), np.fmax(worst, np.nan_to_num(estimate, nan=np.inf))
        progress((j + 1) / b.shape[1])
    return Solution(x, "amg", most, float(worst), converged=bool(worst <= tolerance))
