"""Sparse LU factorisation by SciPy (SuperLU): the reference for the other solvers."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from hdseg_gpu.core.params import ROUNDING
from hdseg_gpu.ops import CsrMatrix, Ops
from hdseg_gpu.solvers import Solution, System, from_host, on_host

# Each correction reduces the error by at least 1e-6, the accuracy of float64 on clusters connected
# to the rest by edges of 1e-10.
_CORRECTIONS = 2


def factorise(matrix: CsrMatrix) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Return the function that maps right-hand sides (n, m) to solutions.

    The matrix is a symmetric M-matrix: no pivoting is needed, and the symmetric ordering (minimum
    degree on A + A^T) causes less fill-in than the default.
    """
    n = len(matrix.indptr) - 1
    # SuperLU needs columns; the rows of a symmetric matrix are its columns.
    A = sparse.csc_array((matrix.data, matrix.indices, matrix.indptr), shape=(n, n))
    factors = splu(
        A, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
    )
    solve: Callable[[NDArray[np.float64]], NDArray[np.float64]] = factors.solve
    return solve


def direct(
    ops: Ops,
    system: System,
    tolerance: float,
    progress: Callable[[float], None],
    *,
    certify: bool = True,
) -> Solution:
    """Return the solution by LU factors of A in float64, whatever the tolerance."""
    matrix, b = on_host(ops, system)
    x, last = corrected(matrix, ops.host(ops.matrix_row_sums(system.edges)), b)
    bound = last + ROUNDING
    found = from_host(ops, system, x)
    error = bound * x.shape[1]
    return Solution(found, "direct", error=error, bound=bound, converged=last <= tolerance)


def corrected(
    matrix: CsrMatrix, row_sum: NDArray[np.float64], b: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Return A^-1 b, (n, m), for the matrix A with row sums `row_sum`, and its last correction.

    The diagonal of A is the row sum plus the weights; a row sum of 1e-10 is lost to rounding there.
    So x is corrected by iterative refinement: the residual is computed from
    (A x)_i = row_sum_i x_i + sum_j w_ij (x_i - x_j). The size of the last correction bounds the
    remaining error, as the next one would be far smaller.
    """
    solve = factorise(matrix)
    x = solve(b)
    row = np.repeat(np.arange(len(row_sum)), np.diff(matrix.indptr))
    last = 0.0
    for _ in range(_CORRECTIONS):
        last = 0.0
        for j in range(x.shape[1]):
            flow = matrix.data * (x[matrix.indices, j] - x[row, j])
            product = row_sum * x[:, j] + np.bincount(row, flow, len(row_sum))
            change = solve(b[:, j] - product)
            x[:, j] += change
            last = max(last, float(np.abs(change).max(initial=0.0)))
    return x, last


def components_of(matrix: CsrMatrix, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the entries, (n,), of all connected components that contain a chosen entry."""
    n = chosen.size
    graph = sparse.csr_array((matrix.data, matrix.indices, matrix.indptr), shape=(n, n))
    count, label = connected_components(graph, directed=False)
    hit = np.zeros(count, np.bool_)
    hit[label[chosen]] = True
    return np.asarray(hit[label])
