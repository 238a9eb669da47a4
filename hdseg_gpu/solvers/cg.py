"""Conjugate gradients by SciPy, or by CuPy on a device.

The matrix A = L_UU + gamma I is assembled; the preconditioner is a LinearOperator. It eliminates
the red pixels exactly and applies one multigrid cycle to the black ones:

    M^-1 r:  y_b = cycle(r_b - A_br A_rr^-1 r_r),   y_r = A_rr^-1 (r_r - A_rb y_b)

Source: Hestenes & Stiefel 1952; Saad, *Iterative Methods for Sparse Linear Systems*, 2003.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.ops import Level, Ops
from hdseg_gpu.solvers import Solution, System
from hdseg_gpu.solvers.iteration import Columns, Precondition
from hdseg_gpu.solvers.multigrid import multigrid

# Measured need: up to 70 without evidence. An iteration that breaks down (NaN) also stops here.
MAX_ITERATIONS = 300
# Relative tolerance of the residual = _RESIDUAL times the tolerance of the potentials.
_RESIDUAL = 0.1


def cg(
    ops: Ops,
    system: System,
    tolerance: float,
    progress: Callable[[float], None],
    *,
    certify: bool = True,
) -> Solution:
    """Return the solution by a library's conjugate gradients, certified as in "multigrid"."""
    return multigrid(ops, system, tolerance, progress, certify=certify, library=True)


def conjugate_gradients(
    ops: Ops, system: System, level: Level, cycle: Precondition, tolerance: float
) -> tuple[NDArray[np.float64], int, bool]:
    """Return A^-1 b at the black pixels, (m, n), the largest iteration count, and convergence.

    The libraries solve one right-hand side at a time.
    """
    sparse, linalg = ops.sparse()
    band, edges, size = system.band, system.edges, system.band.size
    matrix = ops.laplacian(band, edges)
    csr = (matrix.data, matrix.indices, matrix.indptr)
    A = sparse.csr_matrix(csr, shape=(size, size))
    r, below, above = ops.zeros(size, 1), ops.zeros(level.size, 1), ops.zeros(level.size, 1)
    passed = 0

    def precondition(residual: Any) -> Any:
        ops.body(r)[0] = residual
        below[:] = ops.eliminate_red_rhs(band, edges, level, r)
        cycle(below, above)
        return ops.body(ops.back_substitute(band, edges, level, above, r))[0].astype(np.float64)

    def count(_: Any) -> None:
        nonlocal passed
        passed += 1

    M = linalg.LinearOperator((size, size), matvec=precondition, dtype=np.float64)
    black = ops.xp.flatnonzero(_is_black(ops.pixels(band), band.shape[1]))
    found: Columns = ops.xp.zeros((len(system.b), level.size))
    most, converged = 0, True
    for j in range(len(system.b)):
        passed = 0
        b = ops.body(system.b)[j].astype(np.float64)
        x, stopped = linalg.cg(
            A, b, rtol=_RESIDUAL * tolerance, maxiter=MAX_ITERATIONS, M=M, callback=count
        )
        found[j] = x[black]
        most, converged = max(most, passed), converged and stopped == 0
    return found, most, converged


def _is_black(pixels: NDArray[np.int64], width: int) -> NDArray[np.bool_]:
    black: NDArray[np.bool_] = (pixels // width + pixels % width) % 2 == 0
    return black
