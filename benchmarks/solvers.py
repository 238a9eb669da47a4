"""Solvers on real bands: iterations, true error and seconds.

Errors are relative to SuperLU's solution. "second pass" is the second pass of Ruge-Stueben
coarsening, which ensures that two strongly connected fine points share a coarse point.
"""

from time import perf_counter
from typing import Any

import numpy as np
import pyamg
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

from benchmarks.machine import data_folder, describe
from hdseg_gpu import backends, structuring_elements
from hdseg_gpu.core.label_map import label_classes
from hdseg_gpu.core.windows import all_of
from hdseg_gpu.io import read_image, read_labels
from hdseg_gpu.ops import by_run
from hdseg_gpu.solvers.pcg import pcg

BETAS = (10, 130, 1000, 5000)
TOLERANCE = 1e-6
MOST = 60


def system(
    image: NDArray[Any], labels: NDArray[Any], passes: int, beta: float
) -> tuple[sparse.csr_matrix, NDArray[np.float64]]:
    """Return A and b of the plain walker (gamma = 0), background against the rest."""
    ops = backends.load("cpu")
    coarse = label_classes("labels", labels > 0)
    assert coarse.classes is not None
    seeds = ops.seeds(coarse.classes, 2, structuring_elements("9x9"), passes)
    band = ops.band(seeds)
    scaled = image / np.float32(255)
    strength = beta / (10 * float(scaled.std()) * image.shape[2] ** 0.5)
    first = np.ones((band.pixel.size, 1), seeds.dtype)
    edges, b = ops.assemble(band, scaled, "intensity", strength, seeds, first, by_run(band), 0.0)
    matrix = ops.laplacian(band, edges)
    n = band.size
    A = sparse.csr_matrix((matrix.data, matrix.indices, matrix.indptr), shape=(n, n))
    return A, ops.body(b)[0].astype(np.float64)


def lu(A: Any, b: NDArray[np.float64], **options: Any) -> tuple[NDArray[np.float64], str]:
    """Return the direct solution, and its cost in words."""
    start = perf_counter()
    factors = splu(A.tocsc(), **options)
    x: NDArray[np.float64] = factors.solve(b)
    fill = (factors.L.nnz + factors.U.nnz) / A.shape[0]
    return x, f"{perf_counter() - start:.2f} s, {fill:.0f} entries/unknown"


def amg(A: Any, b: NDArray[np.float64], exact: NDArray[np.float64], **options: Any) -> str:
    """Return iterations, error and seconds of conjugate gradients with one V-cycle, in words."""
    start = perf_counter()
    hierarchy = pyamg.ruge_stuben_solver(A, max_coarse=200, coarse_solver="splu", **options)
    x, iterations, _ = pcg(A.dot, hierarchy.aspreconditioner("V").matvec, b, TOLERANCE, MOST)
    seconds = perf_counter() - start
    wrong = np.count_nonzero((x > 0.5) != (exact > 0.5))
    return f"{iterations} it., error {np.abs(x - exact).max():.0e}, {wrong} wrong, {seconds:.2f} s"


def main() -> None:
    """Print the table."""
    data = data_folder()
    print(describe())
    print("| band | beta | RS-AMG | RS-AMG, second pass | LU, COLAMD | LU, MMD(A + A^T) |")
    print("|---|---|---|---|---|---|")
    symmetric = {
        "permc_spec": "MMD_AT_PLUS_A",
        "diag_pivot_thresh": 0.0,
        "options": {"SymmetricMode": True},
    }
    ops = backends.load("cpu")
    for name, passes in (
        ("silver_dev/dis_bike", 16),
        ("dev/hrf_01_h", 16),
        ("silver_dev/dis_bike", 62),
    ):
        image = read_image(next((data / name).glob("image.*"))).pixels
        small = read_labels(data / name / "coarse.png").astype(np.uint8)
        labels = ops.upsample_labels(small, all_of(image.shape[:2], small.shape))
        for beta in BETAS:
            A, b = system(image, labels, passes, beta)
            exact, minimum_degree = lu(A, b, **symmetric)
            cells = [
                f"{name}, n = {passes}, {len(b)} unknowns",
                str(beta),
                amg(A, b, exact),
                amg(A, b, exact, CF=("RS", {"second_pass": True})),
                lu(A, b)[1],
                minimum_degree,
            ]
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
