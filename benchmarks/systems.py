"""The linear system of a band, and the contestants that solve it.

hdseg_gpu's solver interface is used in one place, ``by_ours``: adapt it there. Every contestant
gets what it names of the arrays of ``build``, so that a solver that works on weights and
neighbours instead of a matrix needs other parameters and nothing else.

The time of a solver includes its hierarchy or factorisation, but not the assembly of the system,
which is timed by itself.
"""

from contextlib import suppress
from typing import Any

import numpy as np
import pyamg
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import spsolve

from benchmarks.targets import ACCURACY
from hdseg_gpu import backends
from hdseg_gpu.core.ops import CsrMatrix
from hdseg_gpu.solvers import solve

MAX_ITERATIONS = 60
Vector = NDArray[np.float64]
Solved = tuple[Vector, dict[str, Any]]


def build(
    image: NDArray[np.uint8],
    coarse: NDArray[np.uint8],
    seeds: NDArray[np.int32],
    *,
    beta: float,
    gamma: float,
) -> dict[str, NDArray[Any]]:
    """Return the system of the first class: (L_UU + gamma I) x = -L_US m + gamma lambda.

    Keys: pixels (n,), weights (n, 4), neighbours (n, 4), data, indices, indptr (CSR), b (n,),
    evidence (n,) with lambda, which is the coarse map interpolated linearly, and strength, the
    factor in the edge weights.
    """
    ops = backends.load("cpu")
    sigma = ops.standard_deviation(image) / 255
    strength = beta / 255**2 / (10 * sigma * image.shape[2] ** 0.5)
    pixels = ops.band(seeds)
    inside = (coarse == 0).astype(np.float32)[np.newaxis]
    evidence = ops.sample_planes(inside, seeds.shape, pixels, "linear")[:, 0]
    weights, neighbours, matrix, b = _assemble(image, seeds, pixels, evidence, strength, gamma)
    return {
        "pixels": pixels,
        "evidence": evidence,
        "weights": weights,
        "neighbours": neighbours,
        "b": b,
        "strength": np.array(strength),
        **matrix._asdict(),
    }


def assembly(
    image: NDArray[np.uint8],
    seeds: NDArray[np.int32],
    pixels: NDArray[np.int64],
    evidence: Vector,
    strength: NDArray[np.float64],
    *,
    gamma: float,
) -> Solved:
    """Return b; takes the time of the edge weights and the matrix."""
    return _assemble(image, seeds, pixels, evidence, float(strength), gamma)[-1], {}


def _assemble(
    image: NDArray[np.uint8],
    seeds: NDArray[np.int32],
    pixels: NDArray[np.int64],
    evidence: Vector,
    strength: float,
    gamma: float,
) -> tuple[Vector, NDArray[np.int32], CsrMatrix, Vector]:
    ops = backends.load("cpu")
    weights = ops.edge_weights(image, pixels, "intensity", strength)
    neighbours = ops.neighbours(pixels, seeds.shape)
    first = np.ones(pixels.size, np.int32)
    b = ops.flux_from_seeds(weights, pixels, seeds, first) + gamma * evidence
    return weights, neighbours, ops.laplacian(weights, neighbours, gamma), b


def by_ours(
    data: Vector, indices: NDArray[np.int32], indptr: NDArray[np.int32], b: Vector
) -> Solved:
    """Return x by hdseg_gpu's own choice of a solver, to the accuracy asked for."""
    matrix = CsrMatrix(data, indices, indptr)
    solution = solve(matrix, b[:, np.newaxis], "auto", ACCURACY, lambda _: None)
    return solution.x[:, 0], {"solver": solution.solver, "iterations": solution.iterations}


def by_pyamg(
    data: Vector,
    indices: NDArray[np.int32],
    indptr: NDArray[np.int32],
    b: Vector,
    exact: Vector,
    *,
    second_pass: bool,
    iterations: int | None = None,
) -> Solved:
    """Return x by pyamg's Ruge-Stueben hierarchy and conjugate gradients.

    Without `iterations` it is told its true error after each one and stops as soon as that is
    small enough: no stopping rule could do better. With their number it runs them and no more,
    which is what is timed.
    """
    A = sparse.csr_matrix((data, indices, indptr), shape=(b.size, b.size))
    options = {"CF": ("RS", {"second_pass": True})} if second_pass else {}
    hierarchy = pyamg.ruge_stuben_solver(A, **options)
    if iterations is not None:
        x = hierarchy.solve(b, tol=1e-300, maxiter=iterations, accel="cg")
        return x, {"iterations": iterations}

    count = 0

    class Reached(Exception):
        """Ends the iteration."""

    def look(x: Vector) -> None:
        nonlocal count
        count += 1
        if np.abs(x - exact).max() <= ACCURACY:
            raise Reached

    with suppress(Reached):
        hierarchy.solve(b, tol=1e-300, maxiter=MAX_ITERATIONS, accel="cg", callback=look)
    return np.empty(0), {"timed": {"iterations": count}}


def by_spsolve(
    data: Vector, indices: NDArray[np.int32], indptr: NDArray[np.int32], b: Vector
) -> Solved:
    """Return the direct solution by SciPy, which is the truth the others are measured against."""
    # Of a symmetric matrix the rows are the columns that SuperLU wants.
    return spsolve(sparse.csc_matrix((data, indices, indptr), shape=(b.size, b.size)), b), {}
