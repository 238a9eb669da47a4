"""The ops that check input values, against definitions written out in float64."""

import math

import numpy as np
import pytest

from hdseg_gpu.core import values

TYPES = [np.float32, np.float64, np.int32, np.int64, np.uint32, np.uint64]
STACKS = [np.uint8, np.uint16, np.float16, np.float32, np.float64]
LABELS = [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.uint64, np.int64]
# (outer, K, inner): classes first, in between and last; more pixels than one thread or block has.
SHAPES = [(1, 2, 1), (1, 3, 4001), (37, 5, 70), (45, 4, 31), (901, 21, 1), (3, 300, 90)]


@pytest.fixture(params=["module", "ops"])
def value_ops(request, ops):
    """NumPy's ops of values beside each backend's."""
    return values if request.param == "module" else ops


def check_extremes(found, exact):
    """Compare with values (pixels, K): those exactly, sums as float32 has them."""
    total, most = exact.sum(axis=1), np.abs(exact).sum(axis=1).max()
    assert found[:2] == (exact.min(), exact.max())
    np.testing.assert_allclose(found[2:], (total.min(), total.max()), rtol=0, atol=1.2e-7 * most)


def random_of(dtype, size, rng):
    if np.dtype(dtype).kind == "f":
        return (rng.random(size) - 0.4).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min // 2, limits.max // 2, size, dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("size", [1, 513, 16384, 140_003])
def test_extremes_anywhere(value_ops, dtype, size):
    rng = np.random.default_rng(size)
    array = random_of(dtype, size, rng)
    assert value_ops.extremes(array) == (array.min(), array.max())
    ends = (-1e30, 1e30) if array.dtype.kind == "f" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    for at in {0, size // 2, size - 1}:
        for end in ends:
            changed = array.copy()
            changed[at] = end
            found = value_ops.extremes(changed)
            assert found == (changed.min(), changed.max())
            assert all(isinstance(v, int if array.dtype.kind in "iu" else float) for v in found)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_extremes_of_what_is_not_finite(value_ops, dtype, odd):
    for size in (1, 600, 140_003):
        for at in {0, size // 2, size - 1}:
            array = np.ones(size, dtype)
            array[at] = odd
            assert all(map(math.isnan, value_ops.extremes(array)))
    largest = np.array([np.finfo(dtype).max, -np.finfo(dtype).max, 1], dtype)
    assert value_ops.extremes(largest) == (largest[1], largest[0])


def test_extremes_of_any_layout(value_ops):
    array = np.random.default_rng(5).random((23, 41, 3))
    for view in (array.T, array[::-1], array[:, 5:-3], array.transpose(1, 2, 0), array[:, :, ::2]):
        assert value_ops.extremes(view) == (view.min(), view.max())


def stack_of(dtype, shape, rng):
    """Return values whose sums need care: small ones beside large ones."""
    found = rng.random(shape) ** 4
    if np.dtype(dtype).kind == "u":
        return (found * np.iinfo(dtype).max).astype(dtype)
    return (found - 0.1).astype(dtype)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", STACKS)
def test_extremes_of_stacks(value_ops, dtype, shape):
    rng = np.random.default_rng(shape[1])
    stack = stack_of(dtype, shape, rng)
    for at in ((0, 0, 0), tuple(n - 1 for n in shape), tuple(n // 2 for n in shape)):
        for value in (np.finfo(dtype).max if stack.dtype.kind == "f" else 255, 0):
            stack[at] = min(value, 300)
            exact = stack.astype(np.float64).transpose(0, 2, 1).reshape(-1, shape[1])
            check_extremes(value_ops.stack_extremes(stack), exact)
    if stack.dtype.kind == "f":
        for odd in (np.nan, np.inf, -np.inf):
            changed = stack.copy()
            changed[tuple(n - 1 for n in shape)] = odd
            assert all(map(math.isnan, value_ops.stack_extremes(changed)[:2]))


def shares_of(value_ops, stack, softmax):
    outer, count, inner = stack.shape
    out = np.full((count, outer * inner + 7), -3, np.float32)
    value_ops.normalise(stack, softmax, out, 4)
    assert (out[:, :4] == -3).all()
    assert (out[:, -3:] == -3).all()
    return out[:, 4:-3]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", STACKS)
def test_shares(value_ops, dtype, shape):
    stack = np.abs(stack_of(dtype, shape, np.random.default_rng(shape[1]))) + np.ones((), dtype)
    exact = stack.astype(np.float64).transpose(1, 0, 2).reshape(shape[1], -1)
    expected = exact / exact.sum(axis=0)
    np.testing.assert_allclose(shares_of(value_ops, stack, softmax=False), expected, rtol=2.5e-7)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(("spread", "offset"), [(8, 0), (300, -40), (2, 900)])
def test_softmax(value_ops, dtype, shape, spread, offset):
    rng = np.random.default_rng(shape[1])
    stack = (rng.normal(size=shape) * spread + offset).astype(dtype)
    exact = stack.astype(np.float64).transpose(1, 0, 2).reshape(shape[1], -1)
    exact = np.exp(exact - exact.max(axis=0))
    expected = exact / exact.sum(axis=0)
    found = shares_of(value_ops, stack, softmax=True)
    np.testing.assert_allclose(found, expected, rtol=6e-6, atol=1e-37)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-7)
    np.testing.assert_allclose(found.sum(axis=0, dtype=np.float64), 1, atol=1e-6)


def test_every_float16_is_what_it_is(value_ops):
    halves = np.arange(0x7C00, dtype=np.uint16).view(np.float16)  # all that are finite, from 0 on
    stack = np.stack([halves, np.ones_like(halves)])[np.newaxis]
    exact = halves.astype(np.float64)
    expected = (exact / (exact + 1)).astype(np.float32)
    found = shares_of(value_ops, stack, softmax=False)[0]
    np.testing.assert_allclose(found, expected, rtol=1.2e-7)
    assert (np.diff(found) >= 0).all()
    lowest, highest, *_ = value_ops.stack_extremes(-stack)
    assert (lowest, highest) == (-65504, 0)


def test_sums_of_very_many_classes(value_ops):
    """One addition after the other in float32 is off by 1e-5."""
    stack = np.random.default_rng(9).random((1, 65536, 3), np.float32)
    stack[0, 0] = 4e6
    exact = stack[0].astype(np.float64)
    check_extremes(value_ops.stack_extremes(stack), exact.T)
    shares = shares_of(value_ops, stack, softmax=False)
    np.testing.assert_allclose(shares, exact / exact.sum(axis=0), rtol=2.5e-7)


def test_counts_are_added_exactly(value_ops):
    stack = np.full((1, 65536, 2), 65535, np.uint16)
    stack[0, -1, 1] = 0
    assert value_ops.stack_extremes(stack) == (0, 65535, 65535**2, 65535 * 65536)


@pytest.mark.parametrize("softmax", [False, True])
def test_shares_in_place(value_ops, softmax):
    stack = np.random.default_rng(11).random((1, 7, 5000), np.float32) + 1
    expected = shares_of(value_ops, stack, softmax)
    value_ops.normalise(stack, softmax, stack[0], 0)
    np.testing.assert_array_equal(stack[0], expected)


@pytest.mark.parametrize("dtype", LABELS)
def test_labels_are_found_and_replaced(value_ops, dtype):
    limits, rng = np.iinfo(dtype), np.random.default_rng(13)
    for low in {limits.min, limits.max - 99, (limits.min + limits.max) // 2 - 20}:
        for size, step in ((1, 1), (977, 3), (150_001, 7)):
            offsets = rng.integers(0, 99 // step + 1, size) * step
            labels = np.array([int(low) + int(o) for o in offsets.tolist()], dtype)
            labels = labels.reshape(-1, 7) if size % 7 == 0 else labels[np.newaxis]
            expected = np.zeros(100, np.bool_)
            expected[offsets] = True
            found = value_ops.occurring(labels, int(low), 100)
            np.testing.assert_array_equal(found, expected, strict=True)
            for code in (np.uint8, np.uint16, np.uint32):
                table = rng.integers(0, np.iinfo(code).max, 100).astype(code)
                np.testing.assert_array_equal(
                    value_ops.recoded(labels, int(low), table).ravel(), table[offsets], strict=True
                )
