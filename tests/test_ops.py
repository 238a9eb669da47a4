"""Every primitive of every backend against the reference, on odd shapes; the reference by hand."""

import inspect
import math

import numpy as np
import pytest
from gallery import blobs, photograph
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from hdseg_gpu import backends
from hdseg_gpu.core.ops import Ops

SHAPES = [(1, 1), (1, 9), (9, 1), (2, 2), (31, 33), (64, 65), (127, 40)]


@pytest.fixture(params=SHAPES, ids=str)
def shape(request):
    return request.param


@pytest.fixture(params=["none", "all", "half", "boundary"])
def known(request, shape):
    """Seeds with 0, 1 and 2 in very different amounts."""
    rng = np.random.default_rng(23)
    labels = (blobs(shape) if min(shape) > 8 else rng.integers(0, 2, shape)).astype(np.int32) + 1
    if request.param == "none":
        return np.zeros(shape, np.int32)
    if request.param == "half":
        return labels * (rng.random(shape) < 0.5)
    if request.param == "boundary":
        return labels * (rng.random(shape) < 0.95)
    return labels


def test_signatures_are_the_contracts():
    for name in backends.NAMES:
        backend = type(backends.load(name))
        for verb in Ops.__abstractmethods__:
            assert inspect.signature(getattr(backend, verb)) == inspect.signature(
                getattr(Ops, verb)
            ), (name, verb)


def test_labels_are_enlarged_alike(ops, reference, shape):
    rng = np.random.default_rng(29)
    for small in {(1, 1), (max(1, shape[0] // 3), max(1, shape[1] // 2)), shape}:
        coarse = rng.integers(0, 9, small).astype(np.uint8)
        np.testing.assert_array_equal(
            ops.upsample_labels(coarse, shape), reference.upsample_labels(coarse, shape)
        )


def test_labels_are_enlarged_by_half_pixel_centres(reference):
    coarse = np.array([[1, 2, 3]], np.uint8)
    # floor((i + 1/2) 3 / 7) for i = 0..6
    expected = [[1, 1, 2, 2, 2, 3, 3]]
    np.testing.assert_array_equal(reference.upsample_labels(coarse, (1, 7)), expected)


@pytest.mark.parametrize("how", ["linear", "cubic"])
def test_planes_are_interpolated_alike(ops, reference, shape, how):
    rng = np.random.default_rng(31)
    small = (max(1, shape[0] // 2), max(1, shape[1] // 3))
    planes = rng.dirichlet(np.ones(4), small).transpose(2, 0, 1).astype(np.float32).copy()
    pixels = np.flatnonzero(rng.random(shape) < 0.6).astype(np.int64)
    expected = reference.sample_planes(planes, shape, pixels, how)
    np.testing.assert_allclose(
        ops.sample_planes(planes, shape, pixels, how), expected, rtol=0, atol=1e-12
    )
    np.testing.assert_allclose(expected.sum(axis=1), 1, atol=1e-6)  # float32 planes
    np.testing.assert_array_equal(
        ops.upsample_argmax(planes, shape, how), reference.upsample_argmax(planes, shape, how)
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_histograms_agree(ops, reference, shape, dtype):
    values = np.random.default_rng(43).integers(0, 200, shape).astype(dtype)
    for count in (200, 255):
        expected = reference.histogram(values, count)
        np.testing.assert_array_equal(ops.histogram(values, count), expected, strict=True)
        assert expected.sum() == values.size


def test_large_histograms_and_deviations_are_exact(ops):
    """More than one block and thread; values at both ends of their type."""
    rng = np.random.default_rng(83)
    for dtype in (np.uint8, np.uint16):
        top = np.iinfo(dtype).max
        values = rng.choice(np.array([0, top - 1, top], dtype), (701, 523))
        counts = ops.histogram(values, top + 1)
        np.testing.assert_array_equal(counts, np.bincount(values.ravel(), minlength=top + 1))
        total, squares = (sum(int(c) * int(v) ** p for v, c in enumerate(counts)) for p in (1, 2))
        exact = math.sqrt((values.size * squares - total**2) / values.size**2)
        assert math.isclose(ops.standard_deviation(values), exact, rel_tol=1e-15)
        assert ops.standard_deviation(np.full((701, 523), top, dtype)) == 0
    assert ops.standard_deviation(np.full((701, 523), 0.1, np.float32)) == 0


def test_planes_are_enlarged_alike_beyond_one_block(ops, reference):
    planes = np.random.default_rng(89).random((3, 41, 37), np.float32)
    planes[2] = planes[1]  # ties
    for how in ("linear", "cubic"):
        np.testing.assert_array_equal(
            ops.upsample_argmax(planes, (97, 1100), how),
            reference.upsample_argmax(planes, (97, 1100), how),
            strict=True,
        )


def test_many_planes_need_larger_indices(ops, reference):
    planes = np.random.default_rng(97).random((300, 3, 4), np.float32)
    found = ops.upsample_argmax(planes, (9, 11), "linear")
    np.testing.assert_array_equal(
        found, reference.upsample_argmax(planes, (9, 11), "linear"), strict=True
    )
    assert found.dtype == np.uint16
    labels = np.arange(300, dtype=np.uint16).reshape(20, 15)
    np.testing.assert_array_equal(
        ops.upsample_labels(labels, (201, 33)),
        reference.upsample_labels(labels, (201, 33)),
        strict=True,
    )


@pytest.mark.parametrize("how", ["linear", "cubic"])
def test_interpolation_at_the_same_size_is_the_identity(reference, how):
    planes = np.random.default_rng(37).random((2, 5, 6), np.float32)
    samples = reference.sample_planes(planes, (5, 6), np.arange(30), how)
    np.testing.assert_array_equal(samples, planes.reshape(2, 30).T)


def test_linear_interpolation_by_hand(reference):
    planes = np.array([[[0.0, 1.0]]], np.float32)
    samples = reference.sample_planes(planes, (1, 4), np.arange(4), "linear")
    np.testing.assert_allclose(samples[:, 0], [0, 0.25, 0.75, 1])


def test_cubic_interpolation_is_exact_on_a_ramp(reference):
    ramp = np.arange(12, dtype=np.float32).reshape(1, 1, 12)
    samples = reference.sample_planes(ramp, (1, 36), np.arange(9, 27), "cubic")
    np.testing.assert_allclose(samples[:, 0], (np.arange(9, 27) + 0.5) / 3 - 0.5, atol=1e-12)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
@pytest.mark.parametrize("channels", [1, 3, 16])
def test_image_primitives_agree(ops, reference, shape, known, dtype, channels):
    image = photograph(np.maximum(known - 1, 0).astype(np.uint8), channels, dtype)
    sigma = reference.standard_deviation(image)
    assert math.isclose(ops.standard_deviation(image), sigma, rel_tol=1e-12, abs_tol=1e-15)
    pixels = reference.band(known)
    np.testing.assert_array_equal(ops.band(known), pixels)
    top = 1 if dtype.startswith("float") else np.iinfo(dtype).max
    for rule in ("intensity", "boundary"):
        np.testing.assert_allclose(
            ops.edge_weights(image, pixels, rule, 40 / top**2),
            reference.edge_weights(image, pixels, rule, 40 / top**2),
            rtol=1e-12,
        )


def test_graph_primitives_agree(ops, reference, shape, known):
    rng = np.random.default_rng(41)
    pixels = reference.band(known)
    around = reference.neighbours(pixels, shape)
    np.testing.assert_array_equal(ops.neighbours(pixels, shape), around)
    component = reference.components(around)
    np.testing.assert_array_equal(ops.components(around), component)
    np.testing.assert_array_equal(
        ops.contacts(pixels, known, component, 3), reference.contacts(pixels, known, component, 3)
    )
    weights = reference.edge_weights(rng.random((*shape, 1)), pixels, "intensity", 3.0)
    for labels in (np.full(pixels.size, 1, np.int32), rng.integers(1, 4, pixels.size, np.int32)):
        np.testing.assert_allclose(
            ops.flux_from_seeds(weights, pixels, known, labels),
            reference.flux_from_seeds(weights, pixels, known, labels),
            rtol=1e-14,
        )
    for gamma in (0.0, 0.7):
        actual, expected = (o.laplacian(weights, around, gamma) for o in (ops, reference))
        np.testing.assert_array_equal(actual.indptr, expected.indptr)
        np.testing.assert_array_equal(actual.indices, expected.indices)
        np.testing.assert_allclose(actual.data, expected.data, rtol=1e-14)


def test_components_are_numbered_by_their_first_pixel(reference):
    unknown = np.array([[0, 1, 0, 1, 0], [0, 0, 0, 1, 0], [1, 1, 1, 1, 0], [0, 0, 1, 0, 0]])
    pixels = np.flatnonzero(unknown == 0).astype(np.int64)
    component = reference.components(reference.neighbours(pixels, unknown.shape))
    np.testing.assert_array_equal(component, [0, 0, 1, 0, 0, 0, 1, 1, 2, 2, 1, 1])


@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.05, 0.95))
def test_laplacian_is_symmetric_and_its_rows_end_at_seeds(seed, share):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 20, 2))
    seeds = rng.integers(1, 3, shape).astype(np.int32) * (rng.random(shape) > share)
    ops = backends.load("cpu")
    pixels = ops.band(seeds)
    weights = ops.edge_weights(rng.random((*shape, 2)), pixels, "intensity", 5.0)
    matrix = ops.laplacian(weights, ops.neighbours(pixels, shape), 0.25)
    dense = sparse.csr_array(matrix, shape=(pixels.size, pixels.size)).toarray()
    np.testing.assert_array_equal(dense, dense.T)
    flux = sum(
        ops.flux_from_seeds(weights, pixels, seeds, np.full(pixels.size, k, np.int32))
        for k in (1, 2)
    )
    np.testing.assert_allclose(dense.sum(axis=1), 0.25 + flux, atol=1e-12)


def test_weights_by_hand(reference):
    image = np.array([[[0.0], [0.5]]])
    weights = reference.edge_weights(image, np.array([0, 1]), "intensity", 2.0)
    w = math.exp(-0.5) + 1e-10
    np.testing.assert_allclose(weights, [[0, 0, w, 0], [0, w, 0, 0]], rtol=1e-14)
    weights = reference.edge_weights(image + 0.25, np.array([0]), "boundary", 2.0)
    np.testing.assert_allclose(weights, [[0, 0, math.exp(-2.0) + 1e-10, 0]], rtol=1e-14)


def test_results_do_not_depend_on_a_run(ops):
    # OpenMP code: the same bits every time.
    image = photograph(blobs((301, 203)), 3, "float32")
    pixels = np.arange(301 * 203, dtype=np.int64)
    first = ops.standard_deviation(image), ops.edge_weights(image, pixels, "intensity", 9.0)
    for _ in range(5):
        assert ops.standard_deviation(image) == first[0]
        np.testing.assert_array_equal(ops.edge_weights(image, pixels, "intensity", 9.0), first[1])
