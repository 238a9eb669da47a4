"""Solvers: the true solution, the stop, and the one rule for falling back."""

import sys

import numpy as np
import pytest
from gallery import blobs, photograph
from scipy import sparse

from hdseg_gpu import HdsegError, NotConverged, backends, structuring_elements
from hdseg_gpu.core.ops import CsrMatrix
from hdseg_gpu.core.params import TOLERANCE
from hdseg_gpu.pipeline.labels import complete
from hdseg_gpu.solvers import solve
from hdseg_gpu.solvers.pcg import pcg


def quiet(fraction):
    assert 0 <= fraction <= 1


def band_system(beta, shape=(81, 93), passes=5, gamma=0.0, classes=2):
    """Return the whole band of a textured picture as one system, right-hand sides included."""
    ops = backends.load("cpu")
    labels = blobs(shape, classes)
    image = photograph(labels.astype(np.uint8), 3, "float64")
    seeds = ops.seeds(labels, classes, structuring_elements("9x9"), passes).astype(np.int32)
    pixels = ops.band(seeds)
    strength = beta / (10 * image.std() * 3**0.5)
    weights = ops.edge_weights(image, pixels, "intensity", strength)
    matrix = ops.laplacian(weights, ops.neighbours(pixels, shape), gamma)
    b = np.column_stack(
        [
            ops.flux_from_seeds(weights, pixels, seeds, np.full(pixels.size, k + 1, np.int32))
            for k in range(classes - 1)
        ]
    )
    return matrix, b + gamma / classes


def exact(matrix, b):
    return np.linalg.solve(sparse.csr_array(matrix).toarray(), b)


@pytest.mark.parametrize("solver", ["amg", "direct"])
@pytest.mark.parametrize("beta", [0, 10, 130, 1000, 5000])
@pytest.mark.parametrize("gamma", [0.0, 0.01, 1.0])
def test_potentials_are_the_dense_solution(solver, beta, gamma):
    matrix, b = band_system(beta, gamma=gamma, classes=3)
    solution = solve(matrix, b, solver, TOLERANCE, quiet)
    # 1e-6 for the direct solver is what rounding leaves of edges of 1e-10.
    limit = TOLERANCE if solver == "amg" else 1e-6
    np.testing.assert_allclose(solution.x, exact(matrix, b), rtol=0, atol=limit)
    assert solution.converged
    assert solution.solver == solver
    assert solution.x.min() > -limit
    assert solution.x.max() < 1 + limit


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("solver", ["amg", "direct"])
def test_tiny_systems(solver, n):
    dense = 2.5 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    matrix = CsrMatrix(
        *(getattr(sparse.csr_array(dense), a) for a in ("data", "indices", "indptr"))
    )
    b = np.arange(1.0, n + 1)[:, np.newaxis]
    solution = solve(matrix, b, solver, TOLERANCE, quiet)
    np.testing.assert_allclose(dense @ solution.x, b, atol=1e-8)


@pytest.mark.parametrize("classes", [2, 40])
def test_estimate_bounds_the_error_of_every_class(classes):
    """Also of the last one, which is 1 minus all others."""
    for beta in (30, 300, 3000):
        matrix, b = band_system(beta, classes=classes, shape=(61, 73), passes=2)
        truth = complete(exact(matrix, b))
        for tolerance in (1e-2, 1e-4):
            solution = solve(matrix, b, "amg", tolerance, quiet)
            error = np.abs(complete(solution.x) - truth).max()
            assert error <= solution.error_estimate <= tolerance


def test_pcg_with_the_identity_solves_and_reports():
    matrix, b = band_system(10, shape=(40, 50))
    A = sparse.csr_array(matrix)
    x, iterations, estimate = pcg(A.dot, np.copy, b[:, 0], 1e-10, 5000)
    np.testing.assert_allclose(x, exact(matrix, b)[:, 0], atol=1e-7)
    assert 5 < iterations < 5000
    assert estimate <= 1e-10
    _, iterations, estimate = pcg(A.dot, np.copy, b[:, 0], 1e-10, 3)
    assert iterations == 3
    assert estimate > 1e-10


def test_pcg_ends_when_it_breaks_down():
    _, iterations, estimate = pcg(np.copy, np.copy, np.array([1.0, np.nan]), 1e-6, 100)
    assert iterations == 0
    assert np.isnan(estimate)


def test_pcg_ends_at_the_limit_of_rounding():
    """Asked for more digits than float64 has, it stops early and says how far it came."""
    matrix, b = band_system(300)
    A = sparse.csr_array(matrix)
    inverse = np.linalg.inv(A.toarray())
    _, iterations, estimate = pcg(A.dot, inverse.dot, b[:, 0], 1e-25, 10_000)
    assert iterations < 100
    assert 1e-25 < estimate < 1e-6


# Systems whose clusters hang on edges of 1e-10 so that rounding ends the iteration early.
@pytest.mark.parametrize("seed", [698, 1482, 1978, 2002])
def test_amg_takes_what_rounding_allows(seed):
    rng = np.random.default_rng(seed)
    ops = backends.load("cpu")
    shape = tuple(int(n) for n in rng.integers(6, 30, 2))
    seeds = np.zeros(shape, np.int32)
    seeds[0], seeds[-1] = 1, 2
    pixels = ops.band(seeds)
    strength = float(10 ** rng.uniform(0.5, 3))
    weights = ops.edge_weights(rng.random((*shape, 1)), pixels, "intensity", strength)
    matrix = ops.laplacian(weights, ops.neighbours(pixels, shape), 0.0)
    ones = np.ones(pixels.size, np.int32)
    b = ops.flux_from_seeds(weights, pixels, seeds, ones)[:, np.newaxis]
    solution = solve(matrix, b, "amg", TOLERANCE, quiet)
    np.testing.assert_allclose(solution.x, exact(matrix, b), atol=1e-5)


def test_auto_is_amg_where_that_converges():
    matrix, b = band_system(130)
    solution = solve(matrix, b, "auto", TOLERANCE, quiet)
    assert solution.solver == "amg"
    assert solution.fallback is None
    assert 0 < solution.iterations < 20


def test_auto_falls_back_to_direct_and_says_so(monkeypatch):
    from hdseg_gpu.solvers import amg

    monkeypatch.setattr(amg, "MAX_ITERATIONS", 1)
    matrix, b = band_system(1000)
    solution = solve(matrix, b, "auto", TOLERANCE, quiet)
    assert solution.solver == "direct"
    assert "direct instead of amg" in solution.fallback
    assert "after 1 iterations" in solution.fallback
    np.testing.assert_allclose(solution.x, exact(matrix, b), atol=1e-6)
    with pytest.raises(NotConverged, match="use solver='auto' or 'direct'"):
        solve(matrix, b, "amg", TOLERANCE, quiet)


def test_without_pyamg(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyamg", None)
    monkeypatch.delitem(sys.modules, "hdseg_gpu.solvers.amg", raising=False)
    matrix, b = band_system(10, shape=(40, 50))
    assert "pyamg did not load" in solve(matrix, b, "auto", TOLERANCE, quiet).fallback
    with pytest.raises(HdsegError, match="pip install pyamg"):
        solve(matrix, b, "amg", TOLERANCE, quiet)


def test_nothing_to_solve():
    matrix, b = band_system(10, shape=(40, 50))
    solution = solve(matrix, b[:, :0], "auto", TOLERANCE, quiet)
    assert solution.solver == "none"
    assert solution.x.shape == (len(b), 0)
