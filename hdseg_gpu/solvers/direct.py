"""Sparse LU factorisation by SciPy (SuperLU): the answer the others are measured against."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

from hdseg_gpu.core.ops import CsrMatrix
from hdseg_gpu.solvers import Solution


def direct(matrix: CsrMatrix, b: NDArray[np.float64]) -> Solution:
    """Return the exact solution (up to rounding), all right-hand sides from one factorisation.

    The matrix is a symmetric M-matrix, so no pivoting is needed and the ordering may be the
    symmetric one (minimum degree on A + A^T), which fills in less than the default.
    """
    n = len(b)
    # The transpose of a symmetric matrix: its rows serve as the columns SuperLU wants.
    A = sparse.csc_array((matrix.data, matrix.indices, matrix.indptr), shape=(n, n))
    factors = splu(
        A, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
    )
    return Solution(factors.solve(b), "direct")
