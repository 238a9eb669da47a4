"""The linear system of a band, and the contestants that solve it.

hdseg_gpu's solver interface is used only in ``by_ours``. Every contestant gets those arrays of
``build`` that its parameters name.

The time of a solver includes its hierarchy or factorisation, but not the assembly of the system,
which is timed separately.
"""

from contextlib import suppress
from typing import Any

import numpy as np
import pyamg
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import spsolve

from benchmarks.targets import ACCURACY
from hdseg_gpu.backends.cpu import CpuOps
from hdseg_gpu.backends.cpu.layout import CpuEdges
from hdseg_gpu.core.windows import all_of
from hdseg_gpu.ops import Band, by_run
from hdseg_gpu.solvers import System, solve

MAX_ITERATIONS = 60
Vector = NDArray[np.float64]
Solved = tuple[NDArray[Any], dict[str, Any]]


def build(
    image: NDArray[np.uint8],
    coarse: NDArray[np.uint8],
    seeds: NDArray[np.uint8],
    *,
    beta: float,
    gamma: float,
) -> dict[str, NDArray[Any]]:
    """Return the system of the first class: (L_UU + gamma I) x = -L_US m + gamma lambda.

    Keys: pixels (n,), their runs as pixel and start, edges as the cpu backend keeps them, columns
    for its right-hand side; data, indices, indptr (CSR) and b (n,) for the others; evidence
    (n,) with lambda, which is the coarse map interpolated linearly, and strength, the factor in
    the edge weights.
    """
    ops = CpuOps()
    sigma = ops.standard_deviation(image) / 255
    strength = beta / 255**2 / (10 * sigma * image.shape[2] ** 0.5)
    band = ops.band(seeds)
    inside = (coarse == 0).astype(np.float32)[np.newaxis]
    place = all_of(seeds.shape, coarse.shape)
    evidence = ops.sample_planes(inside, place, band.pixels(), "linear")[:, 0]
    edges, columns = _assemble(image, seeds, strength, gamma)
    ops.body(columns)[0] += gamma * evidence
    return {
        "pixels": band.pixels(),
        "pixel": band.pixel,
        "start": band.start,
        "edges": edges.rows,
        "columns": columns,
        "b": ops.body(columns)[0].astype(np.float64),
        "evidence": evidence,
        "strength": np.array(strength),
        **ops.laplacian(band, edges)._asdict(),
    }


def assembly(
    image: NDArray[np.uint8],
    seeds: NDArray[np.uint8],
    strength: NDArray[np.float64],
    *,
    gamma: float,
) -> Solved:
    """Return the right-hand side; takes the time of finding the band, edge weights and matrix."""
    return _assemble(image, seeds, float(strength), gamma)[1], {}


def _assemble(
    image: NDArray[np.uint8], seeds: NDArray[np.uint8], strength: float, gamma: float
) -> tuple[CpuEdges, NDArray[np.float32]]:
    ops = CpuOps()
    band = ops.band(seeds)
    first = np.ones((band.pixel.size, 1), seeds.dtype)
    edges, columns = ops.assemble(
        band, image, "intensity", strength, seeds, first, by_run(band), gamma
    )
    assert isinstance(edges, CpuEdges)
    return edges, columns


def by_ours(
    seeds: NDArray[np.uint8],
    pixel: NDArray[np.int64],
    start: NDArray[np.int32],
    edges: NDArray[np.float32],
    columns: NDArray[np.float32],
    *,
    certify: bool,
) -> Solved:
    """Return x by hdseg_gpu's own solver, with a proven bound on its errors or an estimate."""
    ops = CpuOps()
    system = System(
        Band(seeds.shape, pixel, start, int(start[-1])), CpuEdges(edges), columns.copy()
    )
    solution = solve(ops, system, "auto", ACCURACY, lambda _: None, certify=certify)
    found: NDArray[np.float32] = ops.body(solution.x)[0]
    return found, {
        "solver": solution.solver,
        "iterations": solution.iterations,
        "bound": solution.error,
    }


def whole(
    image: NDArray[np.uint8],
    seeds: NDArray[np.uint8],
    evidence: Vector,
    strength: NDArray[np.float64],
    *,
    gamma: float,
) -> Solved:
    """Return x from the image, by assembly and solution together, for their peak memory."""
    ops = CpuOps()
    band = ops.band(seeds)
    edges, columns = _assemble(image, seeds, float(strength), gamma)
    if gamma > 0:
        ops.body(columns)[0] += gamma * evidence
    solution = solve(ops, System(band, edges, columns), "auto", ACCURACY, lambda _: None)
    found: NDArray[np.float32] = ops.body(solution.x)[0]
    return found, {"solver": solution.solver, "iterations": solution.iterations}


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

    Without `iterations` it stops by the true error, which no stopping rule could improve on. With
    `iterations` it runs that many; this is what is timed.
    """
    A = sparse.csr_matrix((data, indices, indptr), shape=(b.size, b.size))
    options = {"CF": ("RS", {"second_pass": True})} if second_pass else {}
    hierarchy = pyamg.ruge_stuben_solver(A, **options)
    if iterations is not None:
        x = hierarchy.solve(b, tol=1e-300, maxiter=iterations, accel="cg")
        return x, {"iterations": iterations}

    count = 0

    class Reached(Exception):
        """Raised to end the iteration."""

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
    """Return the direct solution by SciPy, the reference for the others."""
    # SuperLU needs columns; the rows of a symmetric matrix are its columns.
    return spsolve(sparse.csc_matrix((data, indices, indptr), shape=(b.size, b.size)), b), {}
