"""Sparse LU factorisation by SciPy (SuperLU): the answer the others are measured against."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

from hdseg_gpu.core.ops import CsrMatrix

# Two elimination orders differ by so much at beta = 5000, where clusters hang on edges of 1e-10.
ROUNDING = 2e-6


def factorise(matrix: CsrMatrix) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Return the function that maps right-hand sides (n, m) to solutions.

    The matrix is a symmetric M-matrix, so no pivoting is needed and the ordering may be the
    symmetric one (minimum degree on A + A^T), which fills in less than the default.
    """
    n = len(matrix.indptr) - 1
    # The transpose of a symmetric matrix: its rows serve as the columns SuperLU wants.
    A = sparse.csc_array((matrix.data, matrix.indices, matrix.indptr), shape=(n, n))
    factors = splu(
        A, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
    )
    solve: Callable[[NDArray[np.float64]], NDArray[np.float64]] = factors.solve
    return solve
