"""What scikit-image warns of: the accuracy of conjugate gradients that stop at a residual.

Our potentials are within a tolerance of the exact ones, whatever the matrix. But callers may need
the warnings, so for systems of few pixels SciPy's conjugate gradients run as there.
"""

from collections.abc import Iterator

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import cg

from hdseg_gpu.compat.potentials import Walk, csr_of, flux, reached

# Unlabelled pixels of each mode; where its accuracy is worst, up to what takes some milliseconds.
FEW = {"cg": 8192, "cg_j": 256, "cg_mg": 256}


def warned_of(walk: Walk, mode: str, tol: float, prob_tol: float) -> Iterator[str]:
    """Yield the warnings; the seeds are still those given."""
    graph = reached(walk, np.float64)
    n = len(graph.pixel)
    if n == 0:
        return
    rows = csr_of(walk.ops, graph)
    matrix = sparse.csr_array((rows.data, rows.indices, rows.indptr), shape=(n, n))
    inverse = sparse.diags_array(1 / matrix.diagonal())
    preconditioner = None if mode == "cg" else inverse
    found = [
        cg(matrix, flux(walk.ops, graph.contacts, n, label), rtol=tol, atol=0, M=preconditioner)
        for label in range(1, walk.labels + 1)
    ]
    if any(steps > 0 for _, steps in found):
        yield (
            "Conjugate gradient convergence to tolerance not achieved. Consider decreasing beta to "
            "improve system conditionning."
        )
    x = np.array([potential for potential, _ in found])
    if x.min() < -prob_tol or x.max() > 1 + prob_tol:
        yield (
            "The probability range is outside [0, 1] given the tolerance `prob_tol`. Consider "
            "decreasing `beta` and/or decreasing `tol`."
        )
