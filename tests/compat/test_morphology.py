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


def outcome(function, *args, **options):
    """Return the result, or the error."""
    try:
        return function(*args, **options)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


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
    shapes = [(1, 70), (70, 1), (9, 63), (9, 64), (9, 65), (40, 130)]
    for seed, shape in enumerate(shapes):
        mask = masks(seed, *shape, DTYPES[seed])
        for most in (None, 1, 2):
            np.testing.assert_array_equal(hdseg_gpu.thin(mask, most), theirs(mask, most))


@pytest.mark.parametrize("shape", [(4,), (3, 4, 5), (), (0,), (0, 5), (5, 0), (3, 0, 2)])
def test_thin_is_for_planes(shape):
    theirs = pytest.importorskip("skimage.morphology").thin
    results = [outcome(function, np.ones(shape)) for function in (theirs, hdseg_gpu.thin)]
    assert results[0].startswith("ValueError")
    assert results[1] == results[0]


@pytest.mark.parametrize("dtype", ["e", "g", "F", "O", "S1", "U1", "M8[s]", "m8[s]", ">i4", ">f8"])
def test_other_dtypes(dtype):
    """Of which SciPy takes only the last two."""
    theirs = pytest.importorskip("skimage.morphology").thin
    mask = masks(7, 20, 70, "uint8").astype(dtype)
    pairs = (theirs, hdseg_gpu.thin), (ndimage.binary_hit_or_miss, hdseg_gpu.hit_or_miss)
    for original, ours in pairs:
        np.testing.assert_array_equal(outcome(ours, mask), outcome(original, mask))


@pytest.mark.parametrize("most", [-1, 1.5, np.inf, np.nan, True, np.int64(2)])
def test_other_limits(most):
    theirs = pytest.importorskip("skimage.morphology").thin
    mask = masks(8, 30, 40)
    np.testing.assert_array_equal(hdseg_gpu.thin(mask, most), theirs(mask, most))


def test_masked_arrays_are_not_thinned():
    """Their mask would be lost."""
    with pytest.raises(TypeError, match=r"image is a masked array; pass image\.filled"):
        hdseg_gpu.thin(np.ma.masked_equal(np.eye(3), 0))


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


OUTSIDE = [
    ((9, 9), {"origin1": 2}), ((9, 9), {"origin1": -2}), ((9, 9), {"origin2": (0, 3)}),
    ((9, 9), {"origin1": range(-3, -1)}), ((9,), {"origin1": -2}), ((9, 9, 9), {"origin2": -2}),
    ((9, 9), {"origin1": -2, "axes": (1, 0)}), ((9, 9), {"origin1": -2, "axes": 0}),
    ((9, 9), {"origin1": 1, "structure1": np.ones((2, 2))}),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "options"), OUTSIDE)
def test_an_origin_outside_its_structure(shape, options, monkeypatch):
    """SciPy reads memory that is not its own: it must not be asked, whatever the dimensions."""
    monkeypatch.setattr(morphology, "passed_on", lambda **_: pytest.fail)
    name = "origin2" if "origin2" in options else "origin1"
    with pytest.raises(ValueError, match=f"^{name} .* is outside of a structure of shape"):
        hdseg_gpu.hit_or_miss(np.ones(shape), **options)


@pytest.mark.parametrize("side", range(1, 10))
def test_all_origins_of_a_structure(side):
    mask = masks(side, 12, 70)
    structure = np.random.default_rng(side).random((side, side)) < 0.3
    for origin in range(-(side // 2), (side - 1) // 2 + 1):
        options = {"structure1": structure, "origin1": (origin, -((side - 1) // 2))}
        expected = ndimage.binary_hit_or_miss(mask, **options)
        np.testing.assert_array_equal(hdseg_gpu.hit_or_miss(mask, **options), expected)


def test_wide_structures_and_backends(backend):
    rng = np.random.default_rng(5)
    for shape in ((1, 150), (150, 1), (9, 9), (2, 131)):
        mask = rng.random((160, 200)) < 0.9
        hit = rng.random(shape) < 0.05
        miss = ~hit & (rng.random(shape) < 0.05)
        origin = [(n - 1) // 2 for n in shape]
        expected = ndimage.binary_hit_or_miss(mask, hit, miss, origin2=origin)
        found = hdseg_gpu.hit_or_miss(mask, hit, miss, origin2=origin)
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
    (ONES, {"origin1": True}), (ONES, {"origin2": (0, 1.0)}), (ONES, {"axes": (0.0, 1.0)}),
    (ONES, {"axes": (-2, -1)}), (ONES, {"axes": (0, 0)}), (ONES, {"origin1": [0, 1]}),
    (np.ones(()), {}), (ONES, {"structure1": "a"}), (ONES, {"structure1": np.ones((3, 3, 3))}),
    (ONES, {"output": np.zeros((4, 5), "float16")}), (ONES, {"output": np.zeros((4, 5), "O")}),
    (ONES, {"output": np.broadcast_to(False, (4, 5))}), (ONES, {"output": [[0]]}),
]  # fmt: skip


@pytest.mark.parametrize(("array", "options"), PASSED_ON)
def test_what_is_passed_on(array, options):
    results = []
    for function in (ndimage.binary_hit_or_miss, hdseg_gpu.hit_or_miss):
        results.append(outcome(function, array, **options))
    np.testing.assert_array_equal(results[1], results[0])


def test_tensors():
    torch = pytest.importorskip("torch")
    mask = masks(6, 30, 70)
    for function in (hdseg_gpu.thin, hdseg_gpu.hit_or_miss):
        found = function(torch.from_numpy(mask))
        assert isinstance(found, torch.Tensor)
        assert found.dtype == torch.bool
        np.testing.assert_array_equal(found.numpy(), function(mask))


@pytest.mark.parametrize("shape", [(30, 70), (5, 6, 7), (9,)])
def test_tensors_in_all_dimensions(shape):
    torch = pytest.importorskip("torch")
    mask = np.random.default_rng(9).random(shape) < 0.5
    structure = np.ones((1, 2, 1)[-len(shape) :], bool)
    expected = ndimage.binary_hit_or_miss(mask, structure)
    for dtype in (torch.bool, torch.float32, torch.bfloat16):
        tensor = torch.from_numpy(mask).to(dtype)
        if dtype.is_floating_point:
            tensor.requires_grad_()
        found = hdseg_gpu.hit_or_miss(tensor, torch.from_numpy(structure))
        assert isinstance(found, torch.Tensor)
        np.testing.assert_array_equal(found.numpy(), expected)
    outputs = torch.zeros(shape, dtype=torch.uint8), np.zeros(shape)
    for array in (mask, torch.from_numpy(mask)):
        for output in outputs:
            output[...] = 7
            assert hdseg_gpu.hit_or_miss(array, structure, output=output) is None
            np.testing.assert_array_equal(np.asarray(output), expected)


def test_tensors_that_are_refused():
    torch = pytest.importorskip("torch")
    mask = torch.ones((4, 5))
    with pytest.raises(RuntimeError, match="output shape not correct"):
        hdseg_gpu.hit_or_miss(mask, output=torch.zeros((1, 5)))
    with pytest.raises(TypeError, match="Complex type not supported"):
        hdseg_gpu.hit_or_miss(mask.to(torch.complex64))


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
