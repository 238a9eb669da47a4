"""Operations of the iteration on levels: every instruction set against dense matrices."""

import hashlib
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from bands import SEEDS, columns, padding
from galerkin import SUM, rescaled_galerkin
from gallery import blobs, photograph
from scipy import sparse
from systems import as_dense

from hdseg_gpu.backends.cuda.layout import CudaLevel
from hdseg_gpu.compat.grid_graph import grid_graph
from hdseg_gpu.ops import by_run

# Tolerance of products: each operation on float32 adds 2^-24 of its terms, of which a row has at
# most 9, and an aggregate's residual about 100. Absolute, for matrices and vectors of about 1.
PRODUCT = 4e-6

BANDS = [
    "1x1 all unknown", "1x9 few seeds", "9x1 all unknown", "2x2 all unknown", "31x33 half",
    "31x33 few seeds", "64x65 all unknown", "127x40 diagonal", "127x40 rows", "64x65 chessboard",
    "3x400 few seeds", "400x3 half", "127x40 frame", "31x33 all known",
]  # fmt: skip


def reduced(ops, seeds, strength=60.0, gamma=0.01, seed=89):
    image = np.random.default_rng(seed).random((*seeds.shape, 1))
    band = ops.band(seeds)
    labels = np.ones((band.pixel.size, 1), seeds.dtype)
    edges, _ = ops.assemble(band, image, "intensity", strength, seeds, labels, by_run(band), gamma)
    return ops.eliminate_red(band, edges)


def whole(ops, level):
    return as_dense(ops.submatrix(level, np.arange(level.size)))


def of_grid(ops, seeds, strength=60.0, seed=67):
    """Return the level of the unlabelled pixels of a grid of any dimension."""
    image = ops.xp.asarray(np.random.default_rng(seed).random((*seeds.shape, 1)))
    graph = grid_graph(ops.xp, image, ops.xp.asarray(seeds), 255, [strength] * seeds.ndim)
    return ops.grid_level(graph.link, graph.weight, graph.row_sum + np.float32(0.01))


LEVELS = [(kind, name) for kind in ("stencil", "sparse") for name in BANDS] + [
    (kind, name) for kind in ("plane", "volume") for name in ("1x9 few seeds", "127x40 diagonal")
]


@pytest.fixture(params=LEVELS, ids=" ".join)
def case(request):
    return request.param


@pytest.fixture
def kind(case):
    return case[0]


@pytest.fixture
def level(case, ops):
    """The reduced matrix of a band, what it coarsens to, or the level of a grid."""
    kind, seeds = case[0], SEEDS[case[1]]
    if kind == "plane":
        return of_grid(ops, seeds)
    if kind == "volume":
        return of_grid(ops, np.stack([seeds, seeds[::-1], np.roll(seeds, 2, axis=1)]))
    found = reduced(ops, seeds)
    return found if kind == "stencil" else ops.coarsen(found)[1]


@pytest.fixture(params=[1, 2, 3])
def width(request):
    """How many columns."""
    return request.param


def vectors(level, width, count, seed=97):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, width, level.size)).astype(np.float32).astype(np.float64)


def close(actual, expected, times=1.0):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=PRODUCT * times)


# ---- products and smoothers ------------------------------------------------------------------


def test_a_step(ops, level, width):
    p, r, x = vectors(level, width, 3)
    p[-1] = 0.0  # a column that is solved already
    q, rest = ops.zeros(level.size, width), columns(ops, r)
    x64, energy = columns64(ops, x), ops.xp.zeros(width)
    ops.step(level, columns(ops, p), q, energy, x64, rest)
    close(ops.body(q), p @ whole(ops, level).T, 4)
    product = ops.body(q).astype(np.float64)
    assert energy.dtype == np.float64
    np.testing.assert_allclose(energy, (p * product).sum(axis=1), rtol=1e-12, atol=1e-12)
    ahead = ratio((p * r).sum(axis=1), energy)
    assert ahead[-1] == 0
    np.testing.assert_allclose(ops.body(x64), x + ahead * p, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(ops.body(rest), r - ahead * product, rtol=1e-5, atol=1e-5)
    for array in (q, rest, x64):
        assert not padding(ops, array).any()


def columns64(ops, values):
    found = ops.zeros(values.shape[1], len(values), np.float64)
    assert found.dtype == np.float64
    ops.body(found)[:] = values
    return found


def ratio(a, b):
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0)[:, np.newaxis]


def test_directions_are_conjugate(ops, level, width):
    (p,) = vectors(level, width, 1)
    z, x, r = vectors(level, width, 3, seed=83)
    q, energy, along = ops.zeros(level.size, width), ops.xp.zeros(width), columns(ops, p)
    ops.step(level, along, q, energy, columns64(ops, x), columns(ops, r))
    energy[-1] = 0.0  # then there is nothing to be conjugate to, whatever p is
    ops.body(along)[-1, :1] = np.nan
    back = ratio((z * ops.body(q)).sum(axis=1), energy)
    ops.conjugate(level, columns(ops, z), q, energy, along)
    expected = np.where(back != 0, z - back * p, z)
    np.testing.assert_allclose(ops.body(along), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(ops.body(along)[-1], z[-1])
    # p' . A p = 0, but for rounding in the columns.
    overlap = (ops.body(along) * ops.body(q)).sum(axis=1)[:-1]
    np.testing.assert_allclose(overlap, 0, atol=1e-4 * max(1.0, np.abs(z).sum()))
    assert not padding(ops, along).any()


def test_refresh_is_the_residual_with_its_squares(ops, level, width):
    b, x, r = vectors(level, width, 3)
    expected, found = ops.zeros(level.size, width), columns(ops, r)
    ops.residual(level, columns(ops, b), columns64(ops, x), expected)
    squares = ops.refresh(level, columns(ops, b), columns64(ops, x), found)
    worst = np.abs(ops.body(found) / np.diag(whole(ops, level))).max(axis=1, initial=0.0)
    np.testing.assert_allclose(squares[2], worst, rtol=1e-5)
    np.testing.assert_array_equal(found, expected)
    after = (ops.body(found).astype(np.float64) ** 2).sum(axis=1)
    np.testing.assert_allclose(squares[:2], [(r**2).sum(axis=1), after], rtol=1e-11)
    assert squares.dtype == np.float64


# ---- the proof of error bounds ---------------------------------------------------------------


def test_lagging(ops, level):
    (r,) = vectors(level, 1, 1)
    mask = np.ones(level.size, bool)  # overwritten
    found = ops.lagging(level, columns(ops, r), 0.25, mask)
    share = r[0] / np.diag(whole(ops, level))
    sure = np.abs(share - 0.25) > SUM
    np.testing.assert_array_equal(mask[sure], (share > 0.25)[sure])
    assert found == mask.sum()


def test_doubtful(ops, level):
    """Not above 0, too long, or with too small a product: one fault at a time."""
    matrix, n = whole(ops, level), level.size
    if n < 4:
        pytest.skip("has too few rows")
    good = np.linalg.solve(matrix, np.diag(matrix))  # A v = D 1
    longest = 2 * good.max()
    for row, value in ((n // 2, 0.0), (1, -1.0), (n - 1, 2 * longest), (None, None)):
        v, mask = good.copy(), np.zeros(n, bool)
        mask[3] = True  # it stays
        if row is not None:
            v[row] = value
        time = columns64(ops, v[np.newaxis])
        found, most = ops.doubtful(level, time, longest, 0.5, mask)
        short = matrix @ v < 0.5 * np.diag(matrix)
        near = np.abs(matrix @ v - 0.5 * np.diag(matrix)) < 1e-3 * np.abs(matrix).sum(axis=1)
        expected = short | ~((v > 0) & (v <= longest))
        expected[3] = True
        np.testing.assert_array_equal(mask[~near], expected[~near])
        assert found == mask.sum() >= 1 + (row is not None and row != 3)
        assert most == v.max()
    v, mask = good.copy(), np.zeros(n, bool)
    v[0] = np.nan
    assert np.isnan(ops.doubtful(level, columns64(ops, v[np.newaxis]), longest, 0.5, mask)[1])
    assert mask[0]
    assert ops.doubtful(level, columns64(ops, np.full((1, n), -1.0)), 1.0, 0.5, mask) == (n, 0.0)


def test_factors_and_bounds(ops, level, width):
    matrix, n = whole(ops, level), level.size
    if n < 4:
        pytest.skip("has too few rows")
    (r,) = vectors(level, width, 1)
    v = np.linalg.solve(matrix, np.diag(matrix))[np.newaxis]
    w = np.random.default_rng(91).uniform(0, 1e-3, (1, n))
    mask = np.zeros(n, bool)
    mask[2] = True
    time, more, rest = columns64(ops, v), columns64(ops, w), columns(ops, r)
    ahead, sent, most = matrix @ v[0], matrix @ w[0], np.abs(r).max(axis=0)
    ratios = (most - sent) / ahead
    (factor,) = ops.factor(level, time, more, rest, mask)
    assert factor == pytest.approx(ratios[~mask].max(), rel=1e-5)
    # Multiplied, they bound the error of S^-1 r, unless a masked row says no.
    factor *= 1.001
    bound, most = ops.bound(level, time, more, rest, factor) or (None, 0)
    if (ratios[mask] > 1.0001 * factor).any():
        assert bound is None
    elif (ratios[mask] < factor / 1.0001).all():
        expected = np.minimum(factor * v[0] + w[0], 1.0)
        np.testing.assert_allclose(bound, expected, rtol=1e-12)
        assert most == bound.max()
        exact = np.abs(np.linalg.solve(matrix, r.T)).max(axis=1)
        assert np.all((bound >= 1) | (exact <= bound * (1 + 1e-9)))
    assert ops.bound(level, time, more, rest, 0.5 * ratios.max()) is None
    # Where v proves nothing.
    assert ops.factor(level, columns64(ops, -v), more, rest, mask) == np.inf
    ops.body(rest)[-1, n - 1] = np.nan
    assert np.isnan(ops.factor(level, time, more, rest, mask))
    assert ops.bound(level, time, more, rest, factor) is None


def test_dominance(ops, level):
    matrix = whole(ops, level)
    shares = ops.row_sums(level) / np.diag(matrix)
    assert ops.dominance(level) == pytest.approx(shares.min(initial=1.0), rel=SUM)


def test_inverse_of_a_small_level(ops, level):
    if level.size > 100:
        level = ops.coarsen(level)[1]
    if level.size > 200:
        pytest.skip("is not small")
    matrix, found = whole(ops, level), ops.inverse(level)
    assert found.shape == (level.size, level.size)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found @ matrix, np.eye(level.size), atol=1e-9)


def test_residual_is_computed_in_float64(ops, level, width):
    b, x = vectors(level, width, 2)
    x += np.random.default_rng(101).normal(size=x.shape) * 1e-9  # more digits than float32 has
    x64, out = columns64(ops, x), ops.zeros(level.size, width)
    ops.residual(level, columns(ops, b), x64, out)
    close(ops.body(out), b - x @ whole(ops, level).T)
    # Where b is A x but for rounding, the residual is that rounding, and not a larger one's.
    near = columns(ops, x @ whole(ops, level).T)
    ops.residual(level, near, x64, out)
    expected = ops.body(near).astype(np.float64) - x @ whole(ops, level).T
    np.testing.assert_allclose(ops.body(out), expected, rtol=1e-6, atol=1e-13)
    assert not padding(ops, out).any()


def test_apply_inverse_diagonal_divides_by_the_diagonal(ops, level, width):
    (r,) = vectors(level, width, 1)
    out = ops.zeros(level.size, width)
    ops.apply_inverse_diagonal(level, columns(ops, r), out)
    np.testing.assert_allclose(ops.body(out), r / np.diag(whole(ops, level)), rtol=SUM)
    assert not padding(ops, out).any()


def test_restrict_and_prolong(ops, level, width):
    aggregate, below = ops.coarsen(level)
    matrix = whole(ops, level)
    p = prolongation(aggregate, below.size)
    r, x0 = vectors(level, width, 2)
    scale = 0.8 / np.diag(matrix)
    x, coarse = ops.zeros(level.size, width), ops.zeros(below.size, width)
    ops.body(coarse)[:] = 7.0  # overwritten
    ops.restrict(level, aggregate, columns(ops, r), x, coarse)
    np.testing.assert_allclose(ops.body(x), scale * r, rtol=SUM)
    size = np.abs(r).max(initial=1.0)
    close(ops.body(coarse), (r - (scale * r) @ matrix.T) @ p, 8 * size)
    assert not padding(ops, x).any()
    assert not padding(ops, coarse).any()

    (correction,) = vectors(below, width, 1, seed=103)
    x, out = columns(ops, x0), ops.zeros(level.size, width)
    ops.prolong(level, aggregate, columns(ops, r), columns(ops, correction), x, out)
    expected = x0 + correction @ p.T
    close(ops.body(out), expected + scale * (r - expected @ matrix.T), 16 * size / np.sqrt(0.01))
    assert not padding(ops, out).any()


# ---- columns ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 5, 1000, 40_001])
def test_the_largest_of_all_columns(ops, size, width):
    level = CudaLevel("stencil", (), None, size)  # others do not look at it
    x = np.random.default_rng(107).normal(size=(width, size)).astype(np.float32)
    assert ops.largest(level, columns(ops, x)) == np.abs(x).max(initial=0.0)
    if size:
        x[-1, -1] = np.nan
        assert np.isnan(ops.largest(level, columns(ops, x)))
        x[-1, -1] = -np.inf
        assert ops.largest(level, columns(ops, x)) == np.inf


@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_dense_product(ops, size, width):
    rng = np.random.default_rng(109)
    matrix = rng.normal(size=(size, size))
    x = rng.normal(size=(width, size)).astype(np.float32).astype(np.float64)
    out = ops.zeros(size, width)
    ops.multiply(matrix, columns(ops, x), out)
    close(ops.body(out), x @ matrix.T, 4)
    assert not padding(ops, out).any()


# ---- coarsening ------------------------------------------------------------------------------


def prolongation(aggregate, count):
    return (aggregate[:, np.newaxis] == np.arange(count)).astype(np.float64)


@pytest.mark.parametrize(
    "shape",
    [(30,), (1, 9), (9, 1), (6, 7), (3, 5, 6), (1, 5, 4), (4, 1, 5), (3, 4, 1), (2, 3, 2, 3)],
)
@pytest.mark.parametrize("unlabelled", [0.0, 0.5, 0.97, 1.0])
def test_the_matrix_of_a_grid_by_definition(ops, shape, unlabelled):
    """A_ii is the sum of the weights of pixel i to all neighbours but walls, A_ij = -w_ij."""
    rng = np.random.default_rng(127)
    image, scales = rng.random(shape), rng.uniform(1, 9, len(shape))
    seeds = np.where(rng.random(shape) < unlabelled, 0, rng.choice([1, 2, 255], shape))
    seeds = seeds.astype(np.uint8)
    pixels = [tuple(p) for p in np.argwhere(seeds == 0)]
    matrix, sums = 0.01 * np.eye(len(pixels)), np.full(len(pixels), 0.01)
    for i, p in enumerate(pixels):
        for axis, step in product(range(len(shape)), (-1, 1)):
            q = (*p[:axis], p[axis] + step, *p[axis + 1 :])
            if not 0 <= q[axis] < shape[axis] or seeds[q] == 255:
                continue
            weight = np.exp(-scales[axis] * (image[p] - image[q]) ** 2) + 1e-10
            matrix[i, i] += weight
            if seeds[q] == 0:
                matrix[i, pixels.index(q)] -= weight
            else:
                sums[i] += weight
    xp = ops.xp
    graph = grid_graph(xp, xp.asarray(image[..., None]), xp.asarray(seeds), 255, scales)
    level = ops.grid_level(graph.link, graph.weight, graph.row_sum + np.float32(0.01))
    np.testing.assert_allclose(ops.host(ops.row_sums(level)), sums, rtol=1e-6)
    np.testing.assert_allclose(ops.host(ops.diagonal(level)), np.diag(matrix), rtol=1e-6)
    found = ops.submatrix(level, np.arange(level.size))
    np.testing.assert_allclose(as_dense(found), matrix, rtol=1e-6)
    x = rng.random((1, len(pixels)))
    out = ops.zeros(len(pixels), 1)
    ops.residual(level, columns(ops, np.zeros_like(x)), columns64(ops, x), out)
    close(ops.body(out), -(x @ matrix), 8)


def test_submatrix(ops, level, kind):
    rng = np.random.default_rng(109)
    matrix = whole(ops, level)
    # Sums for aggregates are taken in the order of either row.
    np.testing.assert_allclose(matrix, matrix.T, rtol=0 if kind == "stencil" else SUM)
    np.testing.assert_allclose(np.diag(matrix), ops.diagonal(level), rtol=SUM)
    np.testing.assert_allclose(matrix.sum(axis=1), ops.row_sums(level), atol=1e-14)
    for chosen in (np.flatnonzero(rng.random(level.size) < 0.4), np.zeros(0, np.int64)):
        found = ops.submatrix(level, chosen)
        np.testing.assert_array_equal(as_dense(found), matrix[np.ix_(chosen, chosen)])
        for row in range(len(chosen)):
            assert np.all(np.diff(found.indices[found.indptr[row] : found.indptr[row + 1]]) > 0)


def test_coarsening_is_galerkins(ops, level):
    aggregate, coarse = ops.coarsen(level)
    assert aggregate.dtype == np.int32
    used = np.unique(aggregate[aggregate >= 0])
    np.testing.assert_array_equal(used, np.arange(coarse.size))
    weights, sums = rescaled_galerkin(ops, level, aggregate)
    found = whole(ops, coarse)
    expected = np.diag(weights.sum(axis=1) + sums) - weights.toarray()
    np.testing.assert_allclose(found, expected, rtol=2 * SUM, atol=1e-13)
    # Clusters with edges of 1e-10 matter: row sums are accurate to their last digits.
    np.testing.assert_allclose(ops.row_sums(coarse)[:], sums, rtol=2 * SUM)
    # Left out are those whose row sum dominates.
    share = ops.row_sums(level) / np.maximum(ops.diagonal(level) - ops.row_sums(level), 1e-30)
    clear = np.abs(share - 0.5) > 1e-4
    np.testing.assert_array_equal((aggregate < 0)[clear], (share > 0.5)[clear])
    assert np.bincount(aggregate[aggregate >= 0], minlength=1).mean() <= 8


@pytest.mark.parametrize("name", BANDS)
def test_aggregates_are_the_references(ops, reference, name):
    """On random weights, without ties, in one chunk: also the choice of pairs is the same."""
    if ops.name == "cuda":
        pytest.skip(
            "pairs all entries at once, by other choices: tests/backends/test_cuda_levels.py"
        )
    levels = [reduced(o, SEEDS[name], strength=3.0, gamma=1e-4) for o in (ops, reference)]
    for _ in range(3):
        (aggregate, coarse), (expected, below) = (
            o.coarsen(level) for o, level in zip((ops, reference), levels, strict=True)
        )
        np.testing.assert_array_equal(aggregate, expected)
        np.testing.assert_allclose(whole(ops, coarse), whole(reference, below), rtol=3 * SUM)
        levels = [coarse, below]


@pytest.mark.parametrize("gamma", [0.0, 0.05])
def test_aggregates_of_many_chunks(ops, gamma):
    """Entries are 8192 to a chunk, in whole pieces; an aggregate lies in one of them."""
    if ops.name == "cuda":
        pytest.skip("has no chunks: tests/backends/test_cuda_levels.py has a large level")
    seeds = np.zeros((300, 290), np.uint8)
    seeds[::70] = 1
    level = reduced(ops, seeds, strength=3.0, gamma=gamma)
    assert level.size > 5 * 8192
    first = np.append(level.pieces[level.chunk[:-1], 0], level.size)
    assert np.all(np.diff(first) <= 8192)
    # Those of the coarse level have 4096 rows.
    for chunks in (lambda n: first, lambda n: np.append(np.arange(0, n, 4096), n)):
        boundaries = chunks(level.size)
        aggregate, coarse = ops.coarsen(level)
        of_entry = np.repeat(np.arange(len(boundaries) - 1), np.diff(boundaries))
        kept = aggregate >= 0
        least, most = np.full(coarse.size, 10**9), np.full(coarse.size, -1)
        np.minimum.at(least, aggregate[kept], of_entry[kept])
        np.maximum.at(most, aggregate[kept], of_entry[kept])
        np.testing.assert_array_equal(least, most)
        weights, sums = rescaled_galerkin(ops, level, aggregate)
        shape = (coarse.size, coarse.size)
        found = sparse.csr_array(ops.submatrix(coarse, np.arange(coarse.size)), shape=shape)
        expected = sparse.diags_array(weights.sum(axis=1) + sums) - weights
        assert abs(found - expected).max() <= 4 * SUM * abs(expected).max()
        level = coarse
    assert level.size > 300


def test_weak_clusters_stay_apart(ops):
    """Two halves of a band, tied by edges of 1e-10: no aggregate has entries of both."""
    seeds = np.zeros((20, 30), np.uint8)
    seeds[0], seeds[-1] = 1, 2
    image = np.zeros((20, 30, 1))
    image[:, 15:] = 1
    band = ops.band(seeds)
    labels = np.ones((band.pixel.size, 1), np.uint8)
    edges, _ = ops.assemble(band, image, "intensity", 1e6, seeds, labels, by_run(band), 0.0)
    level = ops.eliminate_red(band, edges)
    y, x = np.divmod(band.pixels(), 30)
    side = (x >= 15)[(x + y) % 2 == 0]
    for _ in range(3):
        aggregate, level = ops.coarsen(level)
        sides = [np.unique(side[aggregate == a]) for a in range(level.size)]
        assert all(len(s) == 1 for s in sides)
        side = np.array([s[0] for s in sides])


# ---- the same bits ---------------------------------------------------------------------------


def digest(instruction_set):
    """Return a hash of what every op makes of a band of several chunks."""
    from hdseg_gpu.backends.cpu import CpuOps

    ops, found = CpuOps(instruction_set), hashlib.sha256()
    truth = blobs((640, 613), 3)  # coarse levels, too, are large enough for several threads
    seeds = ((truth + 1) * (np.random.default_rng(113).random(truth.shape) < 0.05)).astype(np.uint8)
    band = ops.band(seeds)
    labels = np.tile(np.array([1, 2], np.uint8), (band.pixel.size, 1))
    arguments = photograph(truth), "intensity", 1e-3, seeds, labels, by_run(band), 0.0
    edges, b = ops.assemble(band, *arguments)
    level = ops.eliminate_red(band, edges)
    r = ops.eliminate_red_rhs(band, edges, level, b)
    for array in (band.pixel, band.start, ops.components(band), *ops.laplacian(band, edges), b, r):
        found.update(array.tobytes())
    for _ in range(2):
        aggregate, coarse = ops.coarsen(level)
        x, out, y = (ops.zeros(level.size, 2) for _ in range(3))
        below, x64 = ops.zeros(coarse.size, 2), ops.zeros(level.size, 2, np.float64)
        ops.restrict(level, aggregate, r, x, below)
        ops.prolong(level, aggregate, r, below, x, out)
        energy, rest = np.zeros(2), r.copy()
        ops.step(level, out, y, energy, x64, rest)
        ops.conjugate(level, x, y, energy, out)
        squares = ops.refresh(level, r, x64, y)
        parts = vars(coarse).values()
        for array in (below, x, out, y, x64, energy, rest, squares, aggregate, *parts):
            found.update(np.ascontiguousarray(array).tobytes())
        found.update(repr((ops.largest(level, y), ops.dominance(level))).encode())
        level, r = coarse, below
    return found.hexdigest()


def without_blas_threads():
    """Return the environment of a user, in which BLAS has as many threads as OpenMP."""
    return {k: v for k, v in os.environ.items() if k != "OPENBLAS_NUM_THREADS"}


def test_any_number_of_threads_gives_the_same_bits(ops):
    if ops.name == "cuda":
        pytest.skip("has no threads of the processor: tests/backends/test_cuda_levels.py")
    code = "import sys; sys.path[:0] = sys.argv[1], sys.argv[1] + '/ops'; import test_levels as t\n"
    code += "print(t.digest(sys.argv[2]), t.digest(sys.argv[2]))"
    digests = set()
    for threads in (1, 2, 4):
        run = subprocess.run(
            [sys.executable, "-P", "-c", code, str(Path(__file__).parents[1]), ops.instruction_set],
            env=without_blas_threads() | {"OMP_NUM_THREADS": str(threads)},
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        digests |= set(run.stdout.split())
    assert len(digests) == 1


def test_nan_is_the_largest(ops, reference):
    """So that an iteration that breaks down is not taken for one that has converged."""
    for backend in (ops, reference):
        level = CudaLevel("stencil", (), None, 40)  # others do not look at it
        x = backend.zeros(40, 2)
        backend.body(x)[:] = np.linspace(-3, 2, 40)
        assert backend.largest(level, x) == 3
        backend.body(x)[1, 7] = np.nan
        assert np.isnan(backend.largest(level, x))
