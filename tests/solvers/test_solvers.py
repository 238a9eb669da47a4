"""Solvers: exact potentials, valid bounds, and the fallback rule."""

import sys

import numpy as np
import pytest
from gallery import blobs, photograph
from hypothesis import given
from hypothesis import strategies as st
from systems import HOSTS, UNPROVEN, case, eliminate, last, seed_everything

from hdseg_gpu import HdsegError, NotConverged, backends, structuring_elements
from hdseg_gpu.core.options import LEAST_TOLERANCE, TOLERANCE
from hdseg_gpu.core.params import ROUNDING
from hdseg_gpu.ops import by_run
from hdseg_gpu.solvers import System, solve
from hdseg_gpu.solvers.pcg import pcg

SOLVERS = ["multigrid", "auto", "cg", "direct", "amg"]
# Error of potentials with weights rounded to float32 (see test_band_ops.WEIGHT), compared with the
# definition in float64.
DEFINITION = 2e-5


def quiet(fraction):
    assert 0 <= fraction <= 1


def textured(name, beta, gamma=0.0, classes=3, shape=(41, 53), passes=3, texture=True):
    """Return the whole band of a picture as one system.

    With texture its pixels differ so much that at a large beta many clusters hang on the rest by
    edges of 1e-10.
    """
    ops, labels = backends.load(name), blobs(shape, classes)
    seeds = backends.load("cpu").seeds(labels, classes, structuring_elements("9x9"), passes)
    image = photograph(labels, 3, "float64")
    if texture:
        image = image + 0.4 * np.random.default_rng(127).random((*shape, 1))
    strength = beta / (10 * image.std() * 3**0.5)
    return ops, case(ops, seeds, image, strength, gamma, range(1, classes))


def check(ops, system, solution, tolerance):
    """Assert all that is promised of a solution."""
    x = ops.body(solution.x).astype(np.float64)
    errors = np.abs(x - system.exact)
    of_last = np.abs((x - system.exact).sum(axis=0))
    worst = max(errors.max(initial=0.0), of_last.max(initial=0.0))
    # Many classes at a small tolerance have more rounding than that.
    possible = max(tolerance, 0.5 * tolerance + ROUNDING * len(x)) * (1 + 1e-9)
    assert worst <= solution.error <= possible
    if solution.bound is not None:
        assert np.shape(solution.bound) in {(), (system.band.size,)}
        assert np.all(errors <= solution.bound)
        assert np.all(of_last <= len(x) * np.asarray(solution.bound))
    assert solution.converged
    assert x.min(initial=0) > -tolerance
    assert last(x).max(initial=0) < 1 + tolerance


# ---- the true potentials ---------------------------------------------------------------------


@pytest.mark.parametrize("gamma", [0.0, 1e-6, 0.01, 1.0, 10.0])
@pytest.mark.parametrize("beta", [0, 10, 130, 1000, 5000])
@pytest.mark.parametrize("backend", HOSTS)
def test_potentials_are_the_dense_solution(backend, beta, gamma):
    ops, system = textured(backend, beta, gamma)
    for solver in SOLVERS:
        for tolerance in (TOLERANCE, 1e-5):
            solution = solve(ops, system.system(), solver, tolerance, quiet)
            assert solution.solver == ("multigrid" if solver == "auto" else solver)
            assert solution.fallback is None
            check(ops, system, solution, tolerance)
            assert (solution.bound is None) == (solver in UNPROVEN)


@pytest.mark.parametrize("beta", [0, 130, 5000])
@pytest.mark.parametrize("gamma", [0.0, 0.01])
def test_weights_in_float32_do_no_harm(beta, gamma):
    """The kernels' system has the potentials of the definition in float64."""
    _, system = textured("cpu", beta, gamma)
    _, oracle = textured("reference", beta, gamma)
    np.testing.assert_allclose(system.exact, oracle.exact, rtol=0, atol=DEFINITION)


@pytest.mark.parametrize("classes", [2, 7, 40])
@pytest.mark.parametrize("solver", SOLVERS)
def test_errors_of_every_class_are_bounded(classes, solver):
    """Also of the last one, which is 1 minus all others."""
    for beta in (30, 3000):
        ops, system = textured("cpu", beta, 0.0, classes, (61, 73), 2, texture=False)
        for tolerance in (1e-2, 1e-4):
            check(ops, system, solve(ops, system.system(), solver, tolerance, quiet), tolerance)


def checked(ops, seeds, image, strength, gamma=0.0, solver="auto", tolerance=TOLERANCE):
    classes = max(2, int(seeds.max()))
    system = case(ops, seeds, image, strength, gamma, range(1, classes))
    solution = solve(ops, system.system(), solver, tolerance, quiet)
    check(ops, system, solution, tolerance)
    return solution


@pytest.mark.parametrize("backend", HOSTS)
@pytest.mark.parametrize("strength", [0.0, 3.0, 300.0, 1e5])
def test_awkward_bands(backend, strength):
    ops, rng = backends.load(backend), np.random.default_rng(131)
    y, x = np.mgrid[:30, :31]
    image = rng.random((30, 31, 2))
    thin = np.where(x % 2 == 0, 0, 1 + y % 2).astype(np.uint8)  # one pixel wide
    lonely = np.where((x + y) % 2 == 0, 0, 1 + x % 2).astype(np.uint8)  # 465 components
    patches = np.where((x % 5 < 4) & (y % 5 < 4), 0, 1 + (x // 5) % 2).astype(np.uint8)
    frame = np.zeros((30, 31), np.uint8)  # touches the frame all around
    frame[10:20, 10:15], frame[10:20, 15:20] = 1, 2
    unknown = np.zeros((30, 31), np.uint8)
    unknown[3, 4], unknown[20, 28], unknown[29, 0] = 1, 2, 3
    for seeds in (thin, lonely, patches, frame, unknown):
        checked(ops, seeds, image, strength)
        checked(ops, seeds, image, strength, gamma=0.02)
    for shape in ((1, 300), (300, 1)):
        line = np.zeros(shape, np.uint8)
        line.reshape(-1)[[0, 100, 299]] = 1, 2, 1
        checked(ops, line, rng.random((*shape, 1)), strength)


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("backend", HOSTS)
def test_tiny_bands(solver, n, backend):
    seeds = np.zeros((1, n + 2), np.uint8)
    seeds[0, 0], seeds[0, -1] = 1, 2
    ops = backends.load(backend)
    system = case(ops, seeds, np.zeros((1, n + 2, 1)), 1.0, 0.0, [1])
    solution = solve(ops, system.system(), solver, TOLERANCE, quiet)
    np.testing.assert_allclose(ops.body(solution.x), [1 - np.arange(1, n + 1) / (n + 1)], atol=1e-4)
    assert solution.solver == solver.replace("auto", "multigrid")


def test_elimination_is_right():
    rng = np.random.default_rng(137)
    weights = np.triu(rng.random((30, 30)) * (rng.random((30, 30)) < 0.3), 1)
    weights += weights.T
    row_sum, b = rng.random(30) * (rng.random(30) < 0.3), rng.random((2, 30))
    matrix = np.diag(row_sum + weights.sum(axis=1)) - weights
    np.testing.assert_allclose(
        eliminate(weights, row_sum, b), np.linalg.solve(matrix, b.T).T, rtol=1e-10
    )


# ---- adversaries -----------------------------------------------------------------------------

PICTURES = ("noise", "chessboard", "stripes", "constant", "specks", "patches", "black and white")
SEEDS = ("sprinkled", "top and bottom", "one each", "columns")


def adversary(seed, picture, pattern):
    """Return ops, seeds, image, strength, gamma; or None where no pixel is unknown."""
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(1, 24, 2))
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = {
        "noise": rng.random(shape),
        "chessboard": (x + y) % 2.0,
        "stripes": (x // rng.integers(1, 4)) % 2.0,
        "constant": np.full(shape, 0.5),
        "specks": rng.random(shape) < 0.05,
        "patches": rng.random((6, 6))[y // 4, x // 4],
        "black and white": rng.integers(0, 2, shape),
    }[picture].astype(np.float64)
    classes = int(rng.integers(2, 5))
    labels = rng.integers(1, classes + 1, shape)
    sprinkled = rng.random(shape) < rng.choice([0.02, 0.1, 0.3, 0.6])
    seeds = {
        "sprinkled": labels * sprinkled,
        "top and bottom": np.where(y == 0, 1, np.where(y == shape[0] - 1, 2, 0)),
        "one each": np.zeros(shape, int),
        "columns": np.where(x % 2 == 0, 0, labels),
    }[pattern].astype(np.uint8)
    if pattern == "one each":
        for k in range(classes):
            seeds[rng.integers(shape[0]), rng.integers(shape[1])] = k + 1
    if not seed_everything(seeds, classes, rng):
        return None
    strength = float(10 ** rng.uniform(-1, 5))
    return seeds, image[..., np.newaxis], strength, float(rng.choice([0, 0, 0, 1e-6, 0.01, 10]))


@pytest.mark.parametrize("solver", ["auto", "direct"])
@pytest.mark.parametrize("backend", HOSTS)
@given(
    seed=st.integers(0, 2**32 - 1),
    picture=st.sampled_from(PICTURES),
    pattern=st.sampled_from(SEEDS),
    tolerance=st.sampled_from([LEAST_TOLERANCE, 1e-5, TOLERANCE, 1e-2]),
)
def test_no_adversary_breaks_a_promise(backend, solver, seed, picture, pattern, tolerance):
    made = adversary(seed, picture, pattern)
    if made is not None:
        seeds, image, strength, gamma = made
        checked(backends.load(backend), seeds, image, strength, gamma, solver, tolerance)


def test_stripes_behind_edges_of_the_floor():
    """The row sum of such a cluster is lost in its diagonal's digits: direct was off by 7e-6."""
    seeds = np.zeros((3, 10), np.uint8)
    seeds[1, 0] = 1
    seeds[2, 9] = 2
    image = (np.arange(10) // 3 % 2.0)[np.newaxis, :, np.newaxis].repeat(3, axis=0)
    for backend in HOSTS:
        for solver in ("direct", "multigrid"):
            checked(backends.load(backend), seeds, image, 5e3, 0.0, solver, LEAST_TOLERANCE)


def test_clusters_may_be_most_of_the_band():
    """They are found although what is usual is theirs; no fallback is needed."""
    rng = np.random.default_rng(139)
    seeds = np.zeros((21, 1), np.uint8)
    seeds[0], seeds[-1] = 1, 2
    for _ in range(20):
        image = rng.integers(0, 2, (21, 1, 1)).astype(float)
        assert checked(backends.load("cpu"), seeds, image, 1e4).solver == "multigrid"


@pytest.mark.parametrize("beta", [130, 5000])
def test_large_bands_are_proven(beta):
    """Several chunks and levels, against the direct solver."""
    ops = backends.load("cpu")
    labels = blobs((500, 470), 3)
    image = photograph(labels, 3, "float64")
    image += 0.2 * np.random.default_rng(149).random((500, 470, 1))
    seeds = ops.seeds(labels, 3, structuring_elements("9x9"), 25)
    band = ops.band(seeds)
    table = np.tile(np.array([1, 2], np.uint8), (band.pixel.size, 1))
    strength = beta / (10 * image.std() * 3**0.5)
    edges, b = ops.assemble(band, image, "intensity", strength, seeds, table, by_run(band), 0.0)
    assert band.size > 60_000
    exact = solve(ops, System(band, edges, b.copy()), "direct", TOLERANCE, quiet)
    found = solve(ops, System(band, edges, b), "multigrid", TOLERANCE, quiet)
    errors = np.abs(ops.body(found.x) - ops.body(exact.x)).max(axis=0)
    assert np.all(errors <= found.bound + exact.bound)
    assert errors.max() <= TOLERANCE
    assert found.refined < band.size / 4


@pytest.mark.parametrize("seed", [698, 1482, 1978, 2002])
def test_amg_takes_what_rounding_allows(seed):
    """Clusters hang on edges of 1e-10 so that rounding ends the iteration early."""
    rng = np.random.default_rng(seed)
    ops = backends.load("cpu")
    shape = tuple(int(n) for n in rng.integers(6, 30, 2))
    seeds = np.zeros(shape, np.uint8)
    seeds[0], seeds[-1] = 1, 2
    strength = float(10 ** rng.uniform(0.5, 3))
    system = case(ops, seeds, rng.random((*shape, 1)), strength, 0.0, [1])
    solution = solve(ops, system.system(), "amg", TOLERANCE, quiet)
    np.testing.assert_allclose(ops.body(solution.x), system.exact, rtol=0, atol=1e-5)


# ---- without a proof -------------------------------------------------------------------------


def test_an_estimate_instead_of_a_proof():
    ops, system = textured("cpu", 1000)
    solution = solve(ops, system.system(), "auto", TOLERANCE, quiet, certify=False)
    assert solution.bound is None
    error = np.abs(ops.body(solution.x) - system.exact).max()
    assert error <= solution.error <= TOLERANCE + ROUNDING


def test_evidence_proves_the_bound_for_nothing():
    ops, system = textured("cpu", 1000, gamma=1.0)
    solution = solve(ops, system.system(), "multigrid", TOLERANCE, quiet, certify=False)
    assert isinstance(solution.bound, float)
    assert solution.refined == 0
    check(ops, system, solution, TOLERANCE)


# ---- the rule for falling back ---------------------------------------------------------------


def test_auto_falls_back_to_direct_and_says_so(monkeypatch):
    from hdseg_gpu.solvers import multigrid

    monkeypatch.setattr(multigrid, "MAX_ITERATIONS", 1)
    ops, system = textured("cpu", 1000)
    solution = solve(ops, system.system(), "auto", TOLERANCE, quiet)
    assert solution.solver in {"direct", "multigrid+direct"}  # one component is tiny
    assert "direct instead of multigrid" in solution.fallback
    assert "after 1 iterations" in solution.fallback
    assert str(system.band.size) in solution.fallback
    check(ops, system, solution, TOLERANCE)
    with pytest.raises(NotConverged, match="use solver='auto' or 'direct'"):
        solve(ops, system.system(), "multigrid", TOLERANCE, quiet)


def test_auto_hands_over_single_components(monkeypatch):
    """The proof fails on one entry: its component goes to the direct solver, the others do not."""
    from hdseg_gpu.solvers.certificate import Certificate

    rng = np.random.default_rng(131)
    seeds = np.ones((40, 61), np.uint8)
    seeds[:, 30:] = 2
    seeds[5:20, 25:36] = seeds[25:38, 22:40] = 0
    ops = backends.load("cpu")
    system = case(ops, seeds, rng.random((40, 61, 1)), 30.0, 0.0, [1])
    proven = Certificate.bound

    def one_fails(self, run):
        bound, _ = proven(self, run)
        bound[0] = 1.0
        return bound, 1.0

    monkeypatch.setattr(Certificate, "bound", one_fails)
    solution = solve(ops, system.system(), "auto", TOLERANCE, quiet)
    assert solution.solver == "multigrid+direct"
    assert solution.refined == 15 * 11
    assert f"on {15 * 11} of {system.band.size} unknowns" in solution.fallback
    check(ops, system, solution, TOLERANCE)
    with pytest.raises(NotConverged, match="did not converge"):
        solve(ops, system.system(), "multigrid", TOLERANCE, quiet)


def test_a_bound_that_cannot_be_proven_is_no_convergence(monkeypatch):
    from hdseg_gpu.solvers.certificate import Certificate

    monkeypatch.setattr(Certificate, "bound", lambda self, run: (np.ones(self.level.size), 1.0))
    ops, system = textured("cpu", 130)
    solution = solve(ops, system.system(), "auto", TOLERANCE, quiet)
    assert solution.solver == "direct"
    with pytest.raises(NotConverged, match="may be up to"):
        solve(ops, system.system(), "multigrid", TOLERANCE, quiet)


def test_amg_that_does_not_converge_is_final(monkeypatch):
    from hdseg_gpu.solvers import amg

    monkeypatch.setattr(amg, "MAX_ITERATIONS", 0)
    ops, system = textured("cpu", 1000)
    with pytest.raises(NotConverged, match="use solver='auto' or 'direct'"):
        solve(ops, system.system(), "amg", 1e-6, quiet)


def test_without_pyamg(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyamg", None)
    monkeypatch.delitem(sys.modules, "hdseg_gpu.solvers.amg", raising=False)
    ops, system = textured("cpu", 10)
    assert solve(ops, system.system(), "auto", TOLERANCE, quiet).solver == "multigrid"
    with pytest.raises(HdsegError, match="pip install pyamg"):
        solve(ops, system.system(), "amg", TOLERANCE, quiet)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("backend", HOSTS)
def test_nothing_to_solve(solver, backend):
    ops = backends.load(backend)
    seeds = np.zeros((5, 6), np.uint8)
    seeds[0] = 1
    band = ops.band(seeds)
    labels = np.empty((band.pixel.size, 0), np.uint8)
    edges, b = ops.assemble(
        band, np.zeros((5, 6, 1)), "intensity", 1.0, seeds, labels, by_run(band), 0.0
    )
    solution = solve(ops, System(band, edges, b), solver, TOLERANCE, quiet)
    assert (solution.solver, solution.bound, solution.error) == ("none", 0.0, 0.0)
    assert ops.body(solution.x).shape == (0, band.size)


def test_progress_reaches_the_end():
    seen = []
    ops, system = textured("cpu", 130)
    solve(ops, system.system(), "multigrid", TOLERANCE, seen.append)
    assert seen
    assert max(seen) == 1


# ---- conjugate gradients of amg --------------------------------------------------------------


def dense_system(beta):
    ops, system = textured("cpu", beta)
    from systems import as_dense

    return as_dense(ops.laplacian(system.band, system.edges)), ops.body(system.b)[0].astype(float)


def test_pcg_with_the_identity_solves_and_reports():
    A, b = dense_system(10)
    x, iterations, estimate = pcg(A.dot, np.copy, b, 1e-10, 5000)
    np.testing.assert_allclose(x, np.linalg.solve(A, b), atol=1e-7)
    assert 5 < iterations < 5000
    assert estimate <= 1e-10
    _, iterations, estimate = pcg(A.dot, np.copy, b, 1e-10, 3)
    assert iterations == 3
    assert estimate > 1e-10


def test_pcg_ends_when_it_breaks_down():
    _, iterations, estimate = pcg(np.copy, np.copy, np.array([1.0, np.nan]), 1e-6, 100)
    assert iterations == 0
    assert np.isnan(estimate)


def test_pcg_ends_at_the_limit_of_rounding():
    """Asked for more digits than float64 has, it stops early and says how far it came."""
    A, b = dense_system(300)
    inverse = np.linalg.inv(A)
    _, iterations, estimate = pcg(A.dot, inverse.dot, b, 1e-25, 10_000)
    assert iterations < 100
    assert 1e-25 < estimate < 1e-6


def test_a_library_that_gives_up_is_named(monkeypatch):
    from hdseg_gpu.solvers import cg

    ops, system = textured("cpu", 1000, 0.0)
    monkeypatch.setattr(cg, "MAX_ITERATIONS", 2)
    solution = solve(ops, system.system(), "cg", TOLERANCE, quiet)
    assert solution.solver == "cg+multigrid"
    assert "cg did not converge" in solution.fallback
    check(ops, system, solution, TOLERANCE)
