"""thin against scikit-image's, hit_or_miss against SciPy's, on all backends."""

import numpy as np
import pytest
from executor.device import ExecutorDevice
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

import hdseg_gpu
from hdseg_gpu.backends.cuda import CudaOps
from hdseg_gpu.backends.reference import ReferenceOps
from hdseg_gpu.compat import morphology

DTYPES = ["bool", "uint8", "int16", "int64", "float32", "float64"]
SIDES = st.one_of(st.integers(1, 12), st.sampled_from([63, 64, 65, 127, 129, 200]))


@pytest.fixture(params=["cpu", "reference", "cuda"])
def backend(request, monkeypatch):
    """Let the functions compute on a backend; arrays of the last one are made by `on`."""
    ops = {"cpu": lambda: hdseg_gpu.backends.load("cpu"), "reference": ReferenceOps,
           "cuda": lambda: CudaOps(ExecutorDevice())}[request.param]()  # fmt: skip
    monkeypatch.setattr(morphology.backends, "select", lambda *_: ops)
    return ops


def masks(seed, height, width, dtype="bool"):
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.standard_normal((height, width)), rng.uniform(0, 3))
    return (smooth > np.quantile(smooth, rng.uniform(0, 0.8))).astype(dtype)


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), height=SIDES, width=SIDES, dtype=st.sampled_from(DTYPES),
       most=st.sampled_from([None, 0, 1, 2, 5]))  # fmt: skip
def test_thin_is_theirs(seed, height, width, dtype, most):
    theirs = pytest.importorskip("skimage.morphology").thin
    mask = masks(seed, height, width, dtype)
    before = mask.copy()
    found = hdseg_gpu.thin(mask, most)
    assert found.dtype == np.bool_
    np.testing.assert_array_equal(found, theirs(mask, most))
    np.testing.assert_array_equal(mask, before)


def test_each_neighbourhood():
    """All 512 of them, a pixel apart."""
    theirs = pytest.importorskip("skimage.morphology").thin
    bits = (np.arange(512)[:, None] >> np.arange(9) & 1).astype(np.uint8).reshape(512, 3, 3)
    mask = np.zeros((16 * 5, 32 * 5), np.uint8)
    for i, part in enumerate(bits):
        y, x = divmod(i, 32)
        mask[5 * y + 1 : 5 * y + 4, 5 * x + 1 : 5 * x + 4] = part
    for most in (1, None):
        np.testing.assert_array_equal(hdseg_gpu.thin(mask, most), theirs(mask, most))


def test_backends_thin_alike(backend):
    theirs = pytest.importorskip("skimage.morphology").thin
    for seed in range(5):
        mask = masks(seed, 40 + seed, 130 - seed)
        np.testing.assert_array_equal(hdseg_gpu.thin(mask), theirs(mask))


@pytest.mark.parametrize("shape", [(4,), (3, 4, 5), ()])
def test_thin_is_for_planes(shape):
    theirs = pytest.importorskip("skimage.morphology").thin
    for function in (theirs, hdseg_gpu.thin):
        with pytest.raises(ValueError, match="`image` must be a 2-dimensional array"):
            function(np.ones(shape))


def structures(rng):
    height, width = rng.integers(1, 10, 2)
    return rng.random((height, width)) < rng.uniform(0.1, 0.9)


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), height=SIDES, width=SIDES, dtype=st.sampled_from(DTYPES),
       which=st.sampled_from(["none", "one", "both"]), origin=st.booleans())  # fmt: skip
def test_hit_or_miss_is_theirs(seed, height, width, dtype, which, origin):
    rng = np.random.default_rng(seed)
    mask = masks(seed, height, width, dtype)
    options = {}
    if which != "none":
        options["structure1"] = structures(rng)
    if which == "both":
        options["structure2"] = structures(rng) & ~(rng.random((1, 1)) < 0.2)
    if origin:
        hit = np.shape(options.get("structure1", np.ones((3, 3))))
        miss = np.shape(options.get("structure2", np.ones(hit)))
        options["origin1"], options["origin2"] = (
            tuple(int(rng.integers(n)) - n // 2 for n in shape) for shape in (hit, miss)
        )
    expected = ndimage.binary_hit_or_miss(mask, **options)
    found = hdseg_gpu.hit_or_miss(mask, **options)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("origin", [2, -2, (0, 3), (-3, 0)])
def test_an_origin_outside_its_structure(origin):
    """SciPy reads memory that is not its own."""
    with pytest.raises(ValueError, match="is outside of a structure of shape"):
        hdseg_gpu.hit_or_miss(np.ones((9, 9)), origin1=origin)


def test_wide_structures_and_backends(backend):
    rng = np.random.default_rng(5)
    for shape in ((1, 150), (150, 1), (9, 9), (2, 131)):
        mask = rng.random((160, 200)) < 0.9
        hit = rng.random(shape) < 0.05
        miss = ~hit & (rng.random(shape) < 0.05)
        expected = ndimage.binary_hit_or_miss(mask, hit, miss)
        found = hdseg_gpu.hit_or_miss(mask, hit, miss)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "float64"])
def test_output_arrays(dtype):
    mask = masks(3, 20, 30)
    results = [np.full(mask.shape, 7, dtype) for _ in range(2)]
    for function, output in zip((ndimage.binary_hit_or_miss, hdseg_gpu.hit_or_miss), results,
                                strict=True):  # fmt: skip
        assert function(mask, output=output) is None
    np.testing.assert_array_equal(*results)


def test_the_input_as_output():
    mask = masks(4, 20, 30)
    expected = ndimage.binary_hit_or_miss(mask)
    hdseg_gpu.hit_or_miss(mask, output=mask)
    np.testing.assert_array_equal(mask, expected)


ONES = np.ones((4, 5))
PASSED_ON = [
    (np.ones((4, 5, 6)), {}), (np.ones(7), {}), (ONES, {"axes": 0}), (ONES, {"axes": (1, 0)}),
    (np.ones((4, 5, 6)), {"axes": (0, 2)}), (np.ones((0, 5)), {}), ([[1, 0], [1, 1]], {}),
    (ONES, {"output": np.int32}), (ONES, {"output": np.zeros((3, 5))}), (ONES, {"output": "uint8"}),
    (ONES, {"origin1": (0, 0, 0)}), (ONES, {"origin1": 0.5}), (ONES, {"structure1": [1, 1]}),
    (ONES, {"structure1": np.ones((0, 3))}), (np.ones((4, 5), complex), {}),
]  # fmt: skip


@pytest.mark.parametrize(("array", "options"), PASSED_ON)
def test_what_is_passed_on(array, options):
    results = []
    for function in (ndimage.binary_hit_or_miss, hdseg_gpu.hit_or_miss):
        try:
            results.append(function(array, **options))
        except Exception as error:
            results.append(repr(error))
    np.testing.assert_array_equal(results[1], results[0])


def test_tensors():
    torch = pytest.importorskip("torch")
    mask = masks(6, 30, 70)
    for function in (hdseg_gpu.thin, hdseg_gpu.hit_or_miss):
        found = function(torch.from_numpy(mask))
        assert isinstance(found, torch.Tensor)
        assert found.dtype == torch.bool
        np.testing.assert_array_equal(found.numpy(), function(mask))


class Foreign:
    def __array_namespace__(self):
        raise AssertionError


@pytest.mark.parametrize("function", [hdseg_gpu.thin, hdseg_gpu.hit_or_miss])
def test_other_arrays(function):
    with pytest.raises(TypeError, match=r"Foreign; pass an array of NumPy, CuPy or torch"):
        function(Foreign())


@pytest.mark.parametrize("width", [1, 63, 64, 65, 200])
def test_planes_of_bits(backend, width):
    rng = np.random.default_rng(width)
    mask = rng.random((7, width)) < 0.4
    with backend.here():
        plane = backend.pack(backend.xp.asarray(mask))
        words = backend.host(plane)
        np.testing.assert_array_equal(backend.host(backend.unpack(plane, width)), mask)
    assert words.dtype == np.uint64
    expected = [
        sum(int(bit) << i for i, bit in enumerate(row[first : first + 64]))
        for row in mask for first in range(0, width, 64)
    ]  # fmt: skip
    assert words.ravel().tolist() == expected
