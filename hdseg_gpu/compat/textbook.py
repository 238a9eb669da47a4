"""Systems of a few pixels, by SciPy's conjugate gradients as scikit-image calls them.

For these, building a hierarchy takes longer than solving; and warnings of inaccuracy, which follow
from `tol`, appear under the same conditions as there.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import cg

from hdseg_gpu.compat.potentials import Walk, csr_of, flux, reached

FEW = 256  # pixels
_MAX_ITERATIONS = {"cg_mg": 30}  # by default 10 n


def by_textbook(
    walk: Walk, mode: str, tol: float, prob_tol: float, probabilities: NDArray[Any] | None
) -> tuple[str, ...]:
    """Do what ``label_all`` does; return what is to be warned of."""
    graph = reached(walk)
    n, notes = len(graph.pixel), []
    if n == 0:
        return ()
    rows = csr_of(walk.ops, graph)
    matrix = sparse.csr_array((rows.data, rows.indices, rows.indptr), shape=(n, n))
    inverse = None if mode == "cg" else sparse.dia_array((1 / matrix.diagonal()[None], 0), (n, n))
    found = [
        cg(matrix, flux(walk.ops, graph, k), rtol=tol, atol=0, M=inverse,
           maxiter=_MAX_ITERATIONS.get(mode))
        for k in range(1, walk.count + 1)
    ]  # fmt: skip
    x = np.array([potential for potential, _ in found])
    if any(info > 0 for _, info in found):
        notes.append(
            "Conjugate gradient convergence to tolerance not achieved. Consider decreasing beta to "
            "improve system conditionning."
        )
    if x.min() < -prob_tol or x.max() > 1 + prob_tol:
        notes.append(
            "The probability range is outside [0, 1] given the tolerance `prob_tol`. Consider "
            "decreasing `beta` and/or decreasing `tol`."
        )
    if probabilities is not None:
        probabilities.reshape(walk.count, -1)[:, graph.pixel] = x
    walk.seeds.reshape(-1)[graph.pixel] = x.argmax(axis=0) + 1
    return tuple(notes)
