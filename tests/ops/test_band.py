"""Bands and their matrices: every instruction set against the reference, that by hand."""

import math

import numpy as np
import pytest
from bands import SEEDS, columns, padding
from gallery import photograph
from hypothesis import assume, given
from hypothesis import strategies as st
from systems import HOSTS, as_dense

from hdseg_gpu import backends
from hdseg_gpu.backends.cpu.layout import CpuEdges
from hdseg_gpu.core.windows import whole
from hdseg_gpu.ops import EVERYWHERE, Band, Places, by_run

# Relative error of a weight in float32. The exponent is rounded to 2^-22 of itself, a weight's
# relative error is that times the exponent, and beyond exp(-23) the floor of 1e-10 dominates:
# 23 * 2^-22.
WEIGHT = 6e-6
# The same for weights in [1e-2, 1], with exponents up to 5, as of most edges.
COMMON_WEIGHT = 2e-6
# Each operation on positive float32 numbers adds 2^-24; no sum here has more than 32.
SUM = 2e-6
DTYPES = ["uint8", "uint16", "float32", "float64"]


@pytest.fixture(params=SEEDS)
def seeds(request):
    return SEEDS[request.param]


def labels_of(band, columns_, dtype=np.uint8):
    """Return some labels for each run, not the same for all."""
    run = np.arange(band.pixel.size)[:, np.newaxis]
    return ((run + np.arange(columns_)) % 3 + 1).astype(dtype)


def assembled(ops, seeds, image=None, strength=4.0, gamma=0.25, columns_=2, rule="intensity"):
    if image is None:
        image = np.random.default_rng(61).random((*seeds.shape, 2))
    band = ops.band(seeds)
    labels = labels_of(band, columns_, seeds.dtype)
    return band, *ops.assemble(band, image, rule, strength, seeds, labels, by_run(band), gamma)


def schur(dense, black):
    """Return S of a dense A: black pixels are kept, red ones eliminated."""
    a = dense[np.ix_(black, black)]
    b = dense[np.ix_(black, ~black)]
    return a - b @ np.diag(1 / np.diag(dense)[~black]) @ b.T


def is_black(band):
    y, x = np.divmod(band.pixels(), band.shape[1])
    return (x + y) % 2 == 0


# ---- runs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32"])
def test_runs_components_and_who_has_a_say_agree(ops, reference, seeds, dtype):
    seeds = seeds.astype(dtype)
    if dtype != "uint8":
        seeds *= 300  # also beyond a byte, and with a low byte that is not 0
    band, expected = ops.band(seeds), reference.band(seeds)
    assert band.shape == expected.shape == seeds.shape
    assert (band.pixel.dtype, band.start.dtype) == (np.int64, np.int32)
    np.testing.assert_array_equal(band.pixel, expected.pixel)
    np.testing.assert_array_equal(band.start, expected.start)
    component = ops.components(band)
    assert component.dtype == np.int32
    np.testing.assert_array_equal(component, reference.components(band))
    tiles = (band.pixel // band.shape[1] // 3 * 100 - (component == 1) * 10**6).astype(np.int32)
    for places in (Places(component, EVERYWHERE), Places(tiles, 5)):
        for found, wanted in zip(
            ops.labels_at(band, seeds, places, None),
            reference.labels_at(band, seeds, places, None),
            strict=True,
        ):
            np.testing.assert_array_equal(found, wanted, strict=True)


@pytest.mark.parametrize("backend", HOSTS)
@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0, 1))
def test_runs_partition_the_unknown_pixels(backend, seed, share):
    rng = np.random.default_rng(seed)
    seeds = (rng.random(rng.integers(1, 30, 2)) < share).astype(np.uint8)
    band = backends.load(backend).band(seeds)
    np.testing.assert_array_equal(band.pixels(), np.flatnonzero(seeds == 0))
    assert band.size == (seeds == 0).sum()
    assert np.all(np.diff(band.start) > 0)
    last = band.pixel + np.diff(band.start) - 1
    np.testing.assert_array_equal(band.pixel // seeds.shape[1], last // seeds.shape[1])
    # No two runs touch in a row.
    same_row = band.pixel[1:] // seeds.shape[1] == last[:-1] // seeds.shape[1]
    assert np.all(band.pixel[1:][same_row] > last[:-1][same_row] + 1)


def test_runs_and_components_by_hand(reference):
    """Components are numbered by their first pixel."""
    known = np.array([[0, 1, 0, 1, 0], [0, 0, 0, 1, 0], [1, 1, 1, 1, 0], [0, 0, 1, 0, 0]], np.uint8)
    band = reference.band(known)
    np.testing.assert_array_equal(band.pixel, [0, 2, 4, 5, 9, 14, 15, 18])
    np.testing.assert_array_equal(band.start, [0, 1, 2, 3, 6, 7, 8, 10, 12])
    component = reference.components(band)
    np.testing.assert_array_equal(component, [0, 0, 1, 0, 1, 1, 2, 1])
    seeds = known.copy()
    seeds[0, 3] = 2  # beside components 0 and 1
    found = reference.labels_at(band, seeds, Places(component, EVERYWHERE), None)
    np.testing.assert_array_equal(found, [[0, 0, 1, 1, 2], [1, 2, 1, 2, 1]])


def test_select_keeps_the_runs_chosen(ops, reference):
    band = reference.band(SEEDS["31x33 half"])
    component = reference.components(band)
    even = component % 2 == 0
    part = ops.select(band, even)
    pixels = band.pixels()[np.repeat(even, np.diff(band.start))]
    np.testing.assert_array_equal(part.pixels(), pixels)
    assert part.size == pixels.size


@pytest.mark.parametrize("name", ["31x33 half", "9x1 rows", "127x40 diagonal"])
def test_part_of_a_band(ops, reference, name):
    """The runs of some components, their rows, and where their pixels are in the whole band."""
    seeds = SEEDS[name]
    band = reference.band(seeds)
    component, counts, label = ops.reached(band, seeds, None)
    place, said = reference.labels_at(band, seeds, Places(component, EVERYWHERE), None)
    np.testing.assert_array_equal(component, reference.components(band))
    np.testing.assert_array_equal(counts, np.bincount(place, minlength=component.max() + 1))
    np.testing.assert_array_equal(label, said)
    row = np.where(np.arange(counts.size) % 3 == 1, -1, np.arange(counts.size)[::-1])
    part, rows, position = ops.part(band, component, row.astype(np.int32))
    stays = row[component] >= 0
    np.testing.assert_array_equal(part.pixel, band.pixel[stays])
    np.testing.assert_array_equal(rows, row[component][stays])
    np.testing.assert_array_equal(part.pixels(), band.pixels()[position])
    assert part.size == position.size == np.diff(band.start)[stays].sum()


# ---- weights ---------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["intensity", "boundary"])
@pytest.mark.parametrize("channels", [1, 3, 16])
@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_and_flux_agree(ops, reference, dtype, channels, rule):
    unit = 1 if dtype.startswith("f") else 1 / np.iinfo(dtype).max
    for name in ("31x33 half", "64x65 few seeds", "9x1 rows", "2x2 half", "127x40 diagonal"):
        for seed_dtype in (np.uint8, np.uint16):
            seeds = SEEDS[name].astype(seed_dtype)
            image = photograph(np.maximum(seeds, 1).astype(np.uint8) - 1, channels, dtype)
            for strength, limit in ((0.5, COMMON_WEIGHT), (900.0, WEIGHT)):
                for columns_, gamma in ((0, 0.0), (1, 0.3), (2, 0.0), (3, 10.0)):
                    options = (image, strength * unit**2 / channels, gamma, columns_, rule)
                    band, edges, flux = assembled(ops, seeds, *options)
                    _, expected, b = assembled(reference, seeds, *options)
                    case = f"{name}, {strength=}, {columns_=}, {gamma=}"
                    assert ops.body(flux).shape == (columns_, band.size)
                    np.testing.assert_allclose(ops.body(flux), b, rtol=limit, err_msg=case)
                    np.testing.assert_allclose(
                        ops.matrix_row_sums(edges),
                        reference.matrix_row_sums(expected),
                        rtol=limit,
                        err_msg=case,
                    )
                    actual, exact = ops.laplacian(band, edges), reference.laplacian(band, expected)
                    np.testing.assert_array_equal(actual.indptr, exact.indptr)
                    np.testing.assert_array_equal(actual.indices, exact.indices)
                    np.testing.assert_allclose(actual.data, exact.data, rtol=limit, err_msg=case)


@pytest.mark.parametrize("value", [1e-30, 1e19, 1e150])
def test_weights_of_floats_of_any_size(ops, reference, value):
    seeds = SEEDS["31x33 half"]
    image = np.random.default_rng(67).random((*seeds.shape, 3)) * value
    band, edges, _ = assembled(ops, seeds, image, 3 / value**2)
    _, expected, _ = assembled(reference, seeds, image, 3 / value**2)
    actual, exact = ops.laplacian(band, edges), reference.laplacian(band, expected)
    np.testing.assert_allclose(actual.data, exact.data, rtol=COMMON_WEIGHT)


def test_weights_by_hand(ops, reference):
    for backend, limit in ((ops, COMMON_WEIGHT), (reference, 1e-14)):
        image = np.array([[[0.0, 1.0], [0.5, 1.0]]])
        unknown = np.zeros((1, 2), np.uint8)
        band, edges, _ = assembled(backend, unknown, image, 2.0, 0.25)
        w = math.exp(-0.5) + 1e-10
        expected = [[w + 0.25, -w], [-w, w + 0.25]]
        np.testing.assert_allclose(as_dense(backend.laplacian(band, edges)), expected, rtol=limit)
        seeds = np.array([[0, 2]], np.uint8)
        g = np.array([[[0.25], [0.75]]])
        labels = np.array([[1, 2]], np.uint8)
        band = backend.band(seeds)
        edges, flux = backend.assemble(band, g, "boundary", 2.0, seeds, labels, by_run(band), 0.0)
        w = math.exp(-2.0) + 1e-10
        np.testing.assert_allclose(backend.body(flux), [[0], [w]], rtol=limit)
        np.testing.assert_allclose(backend.matrix_row_sums(edges), [w], rtol=limit)


def test_edges_sharper_than_any_number_keep_the_floor(ops, reference):
    for backend in (ops, reference):
        image = np.array([[[0.0], [1.0]]])
        band, edges, _ = assembled(backend, np.zeros((1, 2), np.uint8), image, 1e9, 0.0)
        matrix = as_dense(backend.laplacian(band, edges))
        np.testing.assert_allclose(matrix[0, 1], -1e-10, rtol=1e-7)  # 1e-10 in float32


# ---- matrices --------------------------------------------------------------------------------


def test_matrices_agree(ops, reference, seeds):
    # Without any seed or evidence the matrix is singular.
    for columns_, gamma in ((2, 0.25), (1, 0.0 if seeds.any() else 1e-3)):
        band, edges, b = assembled(ops, seeds, None, 4.0, gamma, columns_)
        _, expected, b64 = assembled(reference, seeds, None, 4.0, gamma, columns_)
        level, exact = ops.eliminate_red(band, edges), reference.eliminate_red(band, expected)
        black = is_black(band)
        assert level.size == exact.size == black.sum()
        limit = COMMON_WEIGHT + 4 * SUM  # a product of weights over a sum of them
        everything = np.arange(level.size)
        actual, s = ops.submatrix(level, everything), reference.submatrix(exact, everything)
        np.testing.assert_array_equal(actual.indptr, s.indptr)
        np.testing.assert_array_equal(actual.indices, s.indices)
        np.testing.assert_allclose(actual.data, s.data, rtol=limit)
        np.testing.assert_allclose(ops.row_sums(level), reference.row_sums(exact), rtol=limit)
        np.testing.assert_allclose(ops.diagonal(level), reference.diagonal(exact), rtol=limit)
        rhs = ops.eliminate_red_rhs(band, edges, level, b)
        rhs64 = reference.eliminate_red_rhs(band, expected, exact, b64)
        np.testing.assert_allclose(ops.body(rhs), rhs64, rtol=limit)
        x = np.random.default_rng(71).random((columns_, level.size))
        whole = ops.back_substitute(band, edges, level, columns(ops, x), b.copy())
        whole64 = reference.back_substitute(band, expected, exact, x, b64)
        np.testing.assert_allclose(ops.body(whole), whole64, rtol=limit)
        np.testing.assert_array_equal(ops.body(whole)[:, black], x.astype(np.float32))
        for array in (b, rhs, whole):
            assert not padding(ops, array).any()


@pytest.mark.parametrize("backend", HOSTS)
@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.05, 1), gamma=st.sampled_from([0, 0.25]))
def test_matrices_are_what_they_should_be(backend, seed, share, gamma):
    """A is symmetric, its rows end at seeds; S is the Schur complement; reduced systems solve A."""
    ops, rng = backends.load(backend), np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 20, 2))
    assume(shape != (1, 1) or gamma > 0)  # else no edges: S is 0 / 0
    seeds = (rng.integers(1, 4, shape) * (rng.random(shape) > share)).astype(np.uint8)
    band = ops.band(seeds)
    labels = np.tile(np.array([1, 2, 3], np.uint8), (band.pixel.size, 1))
    strength = 10 ** rng.uniform(0, 2)
    image = rng.random((*shape, 2))
    edges, b = ops.assemble(band, image, "intensity", strength, seeds, labels, by_run(band), gamma)
    dense = as_dense(ops.laplacian(band, edges))
    np.testing.assert_array_equal(dense, dense.T)
    assert np.all(dense - np.diag(np.diag(dense)) <= 0)
    flux = ops.body(b).sum(axis=0)
    np.testing.assert_allclose(ops.matrix_row_sums(edges), gamma + flux, rtol=SUM)
    np.testing.assert_allclose(dense.sum(axis=1), ops.matrix_row_sums(edges), atol=1e-14)
    black = is_black(band)
    level = ops.eliminate_red(band, edges)
    s = as_dense(ops.submatrix(level, np.arange(level.size)))
    np.testing.assert_allclose(s, schur(dense, black), rtol=0, atol=4 * SUM)
    # Conjugate gradients need it; the kernels are symmetric to the last bit, by their brackets.
    np.testing.assert_allclose(s, s.T, rtol=0, atol=0 if backend == "cpu" else 1e-15)
    np.testing.assert_allclose(np.diag(s), ops.diagonal(level), rtol=SUM)
    np.testing.assert_allclose(s.sum(axis=1), ops.row_sums(level), atol=1e-14)
    x = rng.random((3, band.size))
    b = columns(ops, x @ dense)
    rhs = ops.body(ops.eliminate_red_rhs(band, edges, level, b))
    np.testing.assert_allclose(rhs, x[:, black] @ s, rtol=0, atol=16 * SUM)
    found = ops.body(ops.back_substitute(band, edges, level, columns(ops, x[:, black]), b))
    np.testing.assert_allclose(found, x, rtol=0, atol=16 * SUM)


def test_reduction_by_hand(ops, reference):
    """Seed, red, black, red, seed in a row with equal weights: S is 2 - 1/2 - 1/2."""
    seeds = np.array([[1, 0, 0, 0, 2]], np.uint8)
    for backend in (ops, reference):
        band, edges, b = assembled(backend, seeds, np.zeros((1, 5, 1)), 1.0, 0.0, 1)
        level = backend.eliminate_red(band, edges)
        np.testing.assert_allclose(
            as_dense(backend.submatrix(level, np.arange(1))), [[1.0]], rtol=1e-6
        )
        np.testing.assert_allclose(backend.row_sums(level), [1.0], rtol=1e-6)
        np.testing.assert_allclose(backend.body(b), [[1, 0, 0]], rtol=1e-6)
        rhs = backend.eliminate_red_rhs(band, edges, level, b)
        np.testing.assert_allclose(backend.body(rhs), [[0.5]], rtol=1e-6)
        x = backend.back_substitute(band, edges, level, columns(backend, np.array([[0.5]])), b)
        np.testing.assert_allclose(backend.body(x), [[0.75, 0.5, 0.25]], rtol=1e-6)


# ---- decisions -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("columns_", [0, 1, 2, 3, 7])
@pytest.mark.parametrize("bound", ["nothing", "one", "each"])
def test_decisions_agree(ops, reference, columns_, dtype, bound):
    """Potentials are eighths, some beyond [0, 1], so there are ties, exact in every precision."""
    rng = np.random.default_rng(73)
    for name in ("1x1 all unknown", "1x9 half", "31x33 half", "127x40 rows", "31x33 all known"):
        seeds = SEEDS[name].astype(dtype)
        band = ops.band(seeds)
        n = band.size
        core = whole(seeds.shape).padded(-1, seeds.shape) if columns_ == 2 else whole(seeds.shape)
        x = rng.integers(-1, 10, (columns_, n)) / 8
        classes = np.array([1, 2, 5, 9, 100, 254, 255, 4], dtype)[: columns_ + 1]
        classes = rng.permuted(np.tile(classes, (band.pixel.size, 1)), axis=1)
        limit = {"nothing": 0.0, "one": 1 / 32, "each": rng.choice([0, 1 / 64, 1 / 16], n)}[bound]
        actual, expected = seeds.copy(), seeds.copy()
        found = ops.decide(band, columns(ops, x), classes, by_run(band), limit, core, actual)
        assert found == reference.decide(band, x, classes, by_run(band), limit, core, expected)
        np.testing.assert_array_equal(actual, expected)
        assert np.all(actual[seeds > 0] == seeds[seeds > 0])


def test_decisions_by_hand(ops, reference):
    seeds = np.array([[0, 0, 0, 0, 0, 3]], np.uint8)
    x = np.array([[0.5, 0.25, 0.25, 1.5, 0.25], [0.5, 0.25, 0.375, -0.5, 0.125]])
    # and the last class:  0,    0.5,   0.375, 0,  0.625
    classes, band = np.array([[4, 6, 9]], np.uint8), reference.band(seeds)
    for backend in (ops, reference):
        labels = seeds.copy()
        # A gap of 0, 0.25, 0, 1 and 0.375 must be larger than three bounds.
        uncertain = backend.decide(
            band,
            columns(backend, x),
            classes,
            by_run(band),
            0.1,
            whole((1, 6)),
            labels,
        )
        np.testing.assert_array_equal(labels, [[4, 9, 6, 4, 9, 3]])
        assert uncertain == 3
        labels = seeds.copy()
        each = np.array([0.0, 0.0, 0.0, 0.34, 0.125])
        assert (
            backend.decide(
                band,
                columns(backend, x),
                classes,
                by_run(band),
                each,
                whole((1, 6)),
                labels,
            )
            == 4
        )


# ---- large pictures --------------------------------------------------------------------------


def moved(band, shape, rows, left):
    """Return the band in another picture, so many rows further down and columns to the right."""
    y, x = np.divmod(band.pixel, band.shape[1])
    return band._replace(shape=shape, pixel=(y + rows) * shape[1] + x + left)


@pytest.mark.parametrize(
    ("shape", "rows", "left"),
    [((70_000, 70_000), 69_000, 64_000), ((2**31 + 400, 40), 2**31, 0), ((400, 2**33), 0, 2**32)],
)
def test_pixel_indices_beyond_32_bits(ops, shape, rows, left):
    """Bands need no memory for the rest of the picture: the same band elsewhere is the same."""
    seeds = SEEDS["127x40 half"]
    band, edges, b = assembled(ops, seeds)
    far = moved(band, shape, rows, left)
    assert far.pixel.max() > 2**31
    # Seeds at the old frame are part of the weights; the far frame is none.
    np.testing.assert_array_equal(ops.components(far), ops.components(band))
    for actual, expected in zip(ops.laplacian(far, edges), ops.laplacian(band, edges), strict=True):
        np.testing.assert_array_equal(actual, expected)
    level, same = ops.eliminate_red(far, edges), ops.eliminate_red(band, edges)
    everything = np.arange(same.size)
    for actual, expected in zip(
        ops.submatrix(level, everything), ops.submatrix(same, everything), strict=True
    ):
        np.testing.assert_array_equal(actual, expected)
    rhs = ops.eliminate_red_rhs(far, edges, level, b)
    np.testing.assert_array_equal(rhs, ops.eliminate_red_rhs(band, edges, same, b))
    np.testing.assert_array_equal(
        ops.back_substitute(far, edges, level, rhs, b.copy()),
        ops.back_substitute(band, edges, same, rhs, b.copy()),
    )


@pytest.mark.parametrize("shape", [(2**31 + 400, 1), (1, 2**31 + 400)])
def test_pictures_of_more_pixels_than_32_bits_count(shape):
    """Seeds, image and labels of 2^31 pixels, of which memory holds the few that are touched."""
    ops = backends.load("cpu")
    first = 2**31 + 100
    small_shape = tuple(min(n, 400) for n in shape)
    small = np.zeros(small_shape, np.uint8)
    try:
        large, image = np.zeros(shape, np.uint8), np.zeros((*shape, 1), np.uint8)
    except MemoryError:
        pytest.skip("4 GiB of address space are not to be had")
    little = np.zeros((*small_shape, 1), np.uint8)
    part = np.random.default_rng(79).integers(0, 9, 300).astype(np.uint8)
    for seeds, features, at in ((large, image, first), (small, little, 100)):
        seeds.reshape(-1)[at - 1], seeds.reshape(-1)[at + 300 - 1] = 1, 2
        features.reshape(-1)[at : at + 300] = part
    pixel = 100 + np.arange(299 if shape[1] == 1 else 1)
    start = np.append(np.arange(pixel.size), 299).astype(np.int32)
    near = Band(small_shape, pixel, start, 299)
    far = Band(shape, pixel + first - 100, start, 299)
    component = ops.components(near)
    np.testing.assert_array_equal(ops.components(far), component)
    places = Places(component, EVERYWHERE)
    np.testing.assert_array_equal(
        ops.labels_at(far, large, places, None), ops.labels_at(near, small, places, None)
    )
    classes = np.tile(np.array([1, 2], np.uint8), (pixel.size, 1))
    results = [
        ops.assemble(
            band, features, "intensity", 0.1, seeds, classes[:, :1].copy(), by_run(band), 0.0
        )
        for band, features, seeds in ((far, image, large), (near, little, small))
    ]
    assert isinstance(results[0][0], CpuEdges)
    np.testing.assert_array_equal(results[0][0].rows, results[1][0].rows)
    np.testing.assert_array_equal(results[0][1], results[1][1])
    x = columns(ops, np.random.default_rng(83).random((1, 299)))
    found = ops.decide(far, x, classes, by_run(far), 0.1, whole(large.shape), large)
    assert found == ops.decide(near, x, classes, by_run(near), 0.1, whole(small.shape), small)
    window = large.reshape(-1)[first - 1 : first + 300]
    np.testing.assert_array_equal(window, small.reshape(-1)[99:400])
    assert window.min() == 1
