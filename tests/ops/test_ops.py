"""Every primitive of every backend against the reference, on odd shapes; the reference by hand."""

import inspect
import math

import numpy as np
import pytest
from gallery import blobs, photograph
from systems import HOSTS

from hdseg_gpu import backends
from hdseg_gpu.backends.cpu import CpuOps
from hdseg_gpu.backends.cuda import CudaOps
from hdseg_gpu.backends.reference import ReferenceOps
from hdseg_gpu.core.windows import all_of
from hdseg_gpu.ops import Ops

SHAPES = [(1, 1), (1, 9), (9, 1), (2, 2), (31, 33), (64, 65), (127, 40)]


@pytest.fixture(params=SHAPES, ids=str)
def shape(request):
    return request.param


def test_signatures_are_the_contracts():
    hosts = [type(backends.load(name)) for name in HOSTS]
    for backend in (*hosts, CudaOps):
        assert not backend.__abstractmethods__
        for op in Ops.__abstractmethods__:
            assert inspect.signature(getattr(backend, op)) == inspect.signature(getattr(Ops, op)), (
                backend,
                op,
            )


def test_ops_are_in_the_file_of_their_family():
    for op in Ops.__abstractmethods__:
        family = inspect.getmodule(getattr(Ops, op)).__name__.rpartition(".")[2]
        for backend in (ReferenceOps, CpuOps, CudaOps):
            room, _, file = inspect.getmodule(getattr(backend, op)).__name__.rpartition(".")
            assert file == family, (backend, op)
            shared = ["hdseg_gpu.backends.host"] if backend is not CudaOps else []
            assert room in [f"hdseg_gpu.backends.{backend.name}", *shared], (backend, op)


def test_labels_are_enlarged_alike(ops, reference, shape):
    rng = np.random.default_rng(29)
    for small in {(1, 1), (max(1, shape[0] // 3), max(1, shape[1] // 2)), shape}:
        coarse = rng.integers(0, 9, small).astype(np.uint8)
        np.testing.assert_array_equal(
            ops.upsample_labels(coarse, all_of(shape, coarse.shape)),
            reference.upsample_labels(coarse, all_of(shape, coarse.shape)),
        )


def test_labels_are_enlarged_by_half_pixel_centres(reference):
    coarse = np.array([[1, 2, 3]], np.uint8)
    # floor((i + 1/2) 3 / 7) for i = 0..6
    expected = [[1, 1, 2, 2, 2, 3, 3]]
    np.testing.assert_array_equal(
        reference.upsample_labels(coarse, all_of((1, 7), (1, 3))), expected
    )


@pytest.mark.parametrize("how", ["linear", "cubic"])
def test_planes_are_interpolated_alike(ops, reference, shape, how):
    rng = np.random.default_rng(31)
    small = (max(1, shape[0] // 2), max(1, shape[1] // 3))
    planes = rng.dirichlet(np.ones(4), small).transpose(2, 0, 1).astype(np.float32).copy()
    pixels = np.flatnonzero(rng.random(shape) < 0.6).astype(np.int64)
    place = all_of(shape, small)
    expected = reference.sample_planes(planes, place, pixels, how)
    np.testing.assert_allclose(
        ops.sample_planes(planes, place, pixels, how), expected, rtol=0, atol=1e-12
    )
    np.testing.assert_allclose(expected.sum(axis=1), 1, atol=1e-6)  # float32 planes
    np.testing.assert_array_equal(
        ops.upsample_argmax(planes, place, how), reference.upsample_argmax(planes, place, how)
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_histograms_agree(ops, reference, shape, dtype):
    values = np.random.default_rng(43).integers(0, 200, shape).astype(dtype)
    for count in (200, 255):
        expected = reference.histogram(values, count)
        np.testing.assert_array_equal(ops.histogram(values, count), expected, strict=True)
        found = np.zeros(count, np.uint8)
        ops.mark_present(values, found)
        np.testing.assert_array_equal(found, expected > 0)
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
    place = all_of((97, 1100), (41, 37))
    for how in ("linear", "cubic"):
        np.testing.assert_array_equal(
            ops.upsample_argmax(planes, place, how),
            reference.upsample_argmax(planes, place, how),
            strict=True,
        )


def test_many_planes_need_larger_indices(ops, reference):
    planes = np.random.default_rng(97).random((300, 3, 4), np.float32)
    place = all_of((9, 11), (3, 4))
    found = ops.upsample_argmax(planes, place, "linear")
    np.testing.assert_array_equal(
        found, reference.upsample_argmax(planes, place, "linear"), strict=True
    )
    assert found.dtype == np.uint16
    labels = np.arange(300, dtype=np.uint16).reshape(20, 15)
    place = all_of((201, 33), (20, 15))
    np.testing.assert_array_equal(
        ops.upsample_labels(labels, place),
        reference.upsample_labels(labels, place),
        strict=True,
    )


@pytest.mark.parametrize("how", ["linear", "cubic"])
def test_interpolation_at_the_same_size_is_the_identity(reference, how):
    planes = np.random.default_rng(37).random((2, 5, 6), np.float32)
    samples = reference.sample_planes(planes, all_of((5, 6), (5, 6)), np.arange(30), how)
    np.testing.assert_array_equal(samples, planes.reshape(2, 30).T)


def test_linear_interpolation_by_hand(reference):
    planes = np.array([[[0.0, 1.0]]], np.float32)
    samples = reference.sample_planes(planes, all_of((1, 4), (1, 2)), np.arange(4), "linear")
    np.testing.assert_allclose(samples[:, 0], [0, 0.25, 0.75, 1])


def test_cubic_interpolation_is_exact_on_a_ramp(reference):
    ramp = np.arange(12, dtype=np.float32).reshape(1, 1, 12)
    samples = reference.sample_planes(ramp, all_of((1, 36), (1, 12)), np.arange(9, 27), "cubic")
    np.testing.assert_allclose(samples[:, 0], (np.arange(9, 27) + 0.5) / 3 - 0.5, atol=1e-12)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
@pytest.mark.parametrize("channels", [1, 3, 16])
def test_standard_deviations_agree(ops, reference, shape, dtype, channels):
    labels = np.random.default_rng(23).integers(0, 2, shape).astype(np.uint8)
    image = photograph(labels, channels, dtype)
    sigma = reference.standard_deviation(image)
    assert math.isclose(ops.standard_deviation(image), sigma, rel_tol=1e-12, abs_tol=1e-15)


def test_results_do_not_depend_on_a_run(ops):
    # OpenMP code: the same bits every time.
    image = photograph(blobs((301, 203)), 3, "float32")
    first = ops.standard_deviation(image)
    assert all(ops.standard_deviation(image) == first for _ in range(5))
