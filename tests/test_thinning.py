"""Thinning: hand-checked cases, properties, and agreement of every backend with the reference."""

import numpy as np
import pytest
from gallery import blobs, masks
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import binary_hit_or_miss, label

from hdseg_gpu import backends, seeds, structuring_elements, thinning

SETS = {name: structuring_elements(name) for name in ("3x3", "9x9")}
CUSTOM = {
    "corner": np.array([[[-1, -1, 0], [-1, 1, 1], [0, 1, 0]]], np.int8),
    "small in a large frame": np.pad(
        np.array([[[0, 1, 0], [1, 1, 1], [-1, 1, 0]]], np.int8), [(0, 0), (3, 3), (3, 3)]
    ),
    "no cells": np.zeros((1, 5, 5), np.int8),
    "centre is a miss": np.array([[[0, 0, 0], [1, -1, 1], [0, 0, 0]]], np.int8),
    "one cell": np.array([[[1]]], np.int8),
}
ALL_SETS = SETS | CUSTOM


def test_half_plane_loses_one_row_a_pass_by_hand():
    mask = np.zeros((9, 9), np.bool_)
    mask[4:] = True
    expected = mask.copy()
    expected[4:6] = False
    for backend in ("reference", "cpu"):
        np.testing.assert_array_equal(thinning(mask, "3x3", 2, backend=backend), expected)


def test_hit_or_miss_inside_the_picture_is_scipys(reference):
    mask = blobs((60, 80)) > 0
    for element in (*SETS["9x9"], *SETS["3x3"]):
        expected = binary_hit_or_miss(mask, element == 1, element == -1)
        thinned = reference.thinning(mask, element[np.newaxis], 1)
        inner = np.s_[4:-4, 4:-4]
        np.testing.assert_array_equal((mask & ~thinned)[inner], expected[inner])


@pytest.mark.parametrize("elements", ALL_SETS)
@pytest.mark.parametrize("mask", masks())
def test_gallery_agrees_with_reference(ops, reference, mask, elements):
    for passes in (0, 1, 4):
        expected = reference.thinning(masks()[mask], ALL_SETS[elements], passes)
        actual = ops.thinning(masks()[mask], ALL_SETS[elements], passes)
        np.testing.assert_array_equal(actual, expected)


shapes = st.one_of(
    st.tuples(st.integers(1, 40), st.integers(1, 140)),
    st.tuples(st.just(1), st.integers(1, 200)),
    st.tuples(st.integers(1, 200), st.just(1)),
    st.tuples(st.integers(1, 12), st.sampled_from([63, 64, 65, 127, 128, 129])),
)
custom_elements = st.integers(1, 3).flatmap(
    lambda m: st.integers(0, 4).flatmap(
        lambda r: arrays(np.int8, (m, 2 * r + 1, 2 * r + 1), elements=st.integers(-1, 1))
    )
)


@given(
    shape=shapes,
    seed=st.integers(0, 2**32 - 1),
    smooth=st.booleans(),
    elements=st.one_of(st.sampled_from(list(SETS.values())), custom_elements),
    passes=st.integers(0, 5),
)
def test_any_mask_agrees_with_reference(shape, seed, smooth, elements, passes):
    rng = np.random.default_rng(seed)
    mask = blobs(shape, seed=seed) > 0 if smooth else rng.random(shape) < rng.uniform(0.2, 0.95)
    expected = backends.load("reference").thinning(mask, elements, passes)
    actual = backends.load("cpu").thinning(mask, elements, passes)
    np.testing.assert_array_equal(actual, expected)
    assert not (actual & ~mask).any()  # thinning only removes


@pytest.mark.parametrize("name", SETS)
def test_topology_is_kept(name):
    eight, four = np.ones((3, 3)), None
    for seed in range(20, 35):
        mask = np.pad(blobs((70, 90), seed=seed) > 0, 6)
        thinned = thinning(mask, name, 30)
        assert label(thinned, eight)[1] == label(mask, eight)[1]
        assert label(~thinned, four)[1] == label(~mask, four)[1]


@pytest.mark.parametrize("name", ALL_SETS)
@pytest.mark.parametrize("width", [1, 30, 63, 64, 65, 86])
def test_passes_stop_when_nothing_changes(ops, name, width):
    """Also where an element would match for ever in the padding beside the picture."""
    for mask in (blobs((50, width)) > 0, ~(blobs((50, width)) > 0), np.ones((50, width), np.bool_)):
        expected = ops.thinning(mask, ALL_SETS[name], 400)
        np.testing.assert_array_equal(ops.thinning(mask, ALL_SETS[name], 10**15), expected)


def test_frame_is_not_eaten():
    mask = np.ones((40, 50), np.bool_)
    assert thinning(mask, "9x9", 20).all()


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("elements", SETS)
def test_class_by_class_agrees_with_reference(ops, reference, classes, elements):
    # One class is missing on purpose, and labels reach the frame.
    labels = blobs((53, 97), classes)
    labels[labels == 1] = 0
    for passes in (0, 1, 3, 50):
        expected = reference.seeds(labels, classes, SETS[elements], passes)
        np.testing.assert_array_equal(ops.seeds(labels, classes, SETS[elements], passes), expected)


def test_seeds_are_label_plus_one_or_unknown():
    labels = np.array([0, 9, 300], np.int32)[blobs((60, 80), 3)]
    found = seeds(labels, passes=2)
    assert found.dtype == np.int32
    known = found > 0
    np.testing.assert_array_equal(found[known], labels[known] + 1)
    assert 0 < (~known).sum() < labels.size / 2
    for value in (0, 9, 300):
        np.testing.assert_array_equal(found == value + 1, thinning(labels == value, "9x9", 2))


def test_seeds_of_bools_and_of_huge_labels():
    mask = blobs((40, 40)) > 0
    assert set(np.unique(seeds(mask, passes=2))) == {0, 1, 2}
    huge = np.where(mask, np.int64(2**40), np.int64(5))
    assert set(np.unique(seeds(huge, passes=2))) == {0, 6, 2**40 + 1}


def test_published_seed_figure(data):
    from PIL import Image

    def grey(name):
        return np.asarray(Image.open(data / "seed_figures" / name).convert("L")).astype(int)

    mask, figure = grey("f2.png") > 127, grey("f3.png")
    found = seeds(mask, elements="3x3", passes=27)
    assert found.size == 1_428_300
    # The figure was resampled by its authors, so a few pixels differ.
    assert ((found == 2) != (figure > 200)).sum() <= 500
    assert ((found == 1) != ((figure >= 60) & (figure <= 200))).sum() <= 1120
