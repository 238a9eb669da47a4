"""The majority filter against the reference, and that against medians and counts."""

import numpy as np
import pytest
from bands import patterns
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import median_filter

from hdseg_gpu.ops import Band

SHAPES = [(1, 1), (1, 9), (9, 1), (2, 2), (31, 33), (3, 150)]


def everywhere(reference, shape):
    return reference.band(np.zeros(shape, np.uint8))


def label_maps(shape):
    rng = np.random.default_rng(59)
    y, x = np.mgrid[: shape[0], : shape[1]]
    return {
        "noise of two": rng.integers(0, 2, shape),
        "noise of many": rng.integers(0, 40, shape),
        "one": np.full(shape, 7),
        "blocks": (y // 9 + x // 11) % 3,
        "specks": 3 + (rng.random(shape) < 0.05),
        "with walls": rng.choice([0, 5, 254, 255], shape),
    }


@pytest.mark.parametrize("size", [1, 3, 7, 15])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_agrees_with_the_reference(ops, reference, shape, dtype, size):
    for labels in label_maps(shape).values():
        values = np.where(labels == 255, np.iinfo(dtype).max, labels).astype(dtype)
        walls = labels == 255
        for name in ("half", "few unknown", "rows"):
            band = reference.band(np.maximum(patterns(shape)[name], walls))
            before = values.copy()
            found = ops.majority(values, band, size)
            np.testing.assert_array_equal(
                found, reference.majority(values, band, size), strict=True
            )
            np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("size", [1, 3, 5, 7, 15])
def test_is_the_median_of_two_labels(ops, reference, size):
    labels = (4 * (np.random.default_rng(61).random((83, 131)) < 0.5)).astype(np.uint8)
    found = ops.majority(labels, everywhere(reference, labels.shape), size)
    expected = median_filter(labels, size, mode="nearest")
    np.testing.assert_array_equal(found.reshape(labels.shape), expected)


def test_ties(reference):
    def centre(window):
        band = Band((3, 3), np.array([4]), np.array([0, 1], np.int32), 1)
        return reference.majority(np.array(window, np.uint8), band, 3)[0]

    assert centre([[5, 5, 5], [7, 7, 7], [6, 6, 6]]) == 7  # its own
    assert centre([[5, 5, 5], [6, 9, 6], [6, 5, 9]]) == 5  # four of them
    assert centre([[6, 6, 6], [6, 9, 5], [5, 5, 5]]) == 5  # the smallest
    assert centre([[255] * 3, [9, 9, 8], [255, 8, 8]]) == 8  # walls have no vote
    assert centre([[255] * 3, [255, 9, 255], [255] * 3]) == 9


def test_the_border_repeats_its_pixels(reference):
    labels = np.array([[1, 2, 2], [2, 2, 2], [2, 2, 2]], np.uint8)
    found = reference.majority(labels, everywhere(reference, (3, 3)), 3)
    assert found[0] == 2  # four of nine are copies of the corner
    labels[0, 1] = 1
    assert reference.majority(labels, everywhere(reference, (3, 3)), 3)[0] == 1


@given(seed=st.integers(0, 2**32 - 1), labels=st.integers(1, 6), size=st.sampled_from([3, 5, 9]))
def test_no_label_of_the_window_is_more_frequent(seed, labels, size):
    from hdseg_gpu.backends import load

    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(1, 40, 2))
    values = rng.integers(0, labels, shape).astype(np.uint8)
    band = load("cpu").band(np.zeros(shape, np.uint8))
    found = load("cpu").majority(values, band, size).reshape(shape)
    padded = np.pad(values, size // 2, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size))
    counts = np.stack([(windows == k).sum(axis=(2, 3)) for k in range(labels)])
    votes = np.take_along_axis(counts, found[np.newaxis].astype(np.intp), axis=0)[0]
    np.testing.assert_array_equal(votes, counts.max(axis=0))
