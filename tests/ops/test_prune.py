"""Spurs are removed, thin structures stay: against the reference and the definition."""

import numpy as np
import pytest
from bands import SEEDS
from gallery import blobs
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation, grey_opening

from hdseg_gpu import structuring_elements
from hdseg_gpu.backends import load


@pytest.mark.parametrize("name", SEEDS)
def test_agrees_with_the_reference(ops, reference, name):
    for dtype, length in ((np.uint8, 0), (np.uint16, 1), (np.uint8, 5), (np.uint16, 400)):
        seeds = SEEDS[name].astype(dtype)
        before = seeds.copy()
        expected = reference.prune(seeds, length)
        np.testing.assert_array_equal(ops.prune(seeds, length), expected, strict=True)
        np.testing.assert_array_equal(seeds, before)


@pytest.mark.parametrize("length", [3, 40, 2**62])
def test_agrees_with_the_reference_on_seeds_of_many_classes(ops, reference, length):
    labels = blobs((211, 303), 7).astype(np.uint16) * 50
    seeds = ops.seeds(labels, 351, structuring_elements("9x9"), 6)
    pruned = ops.prune(seeds, length)
    assert (pruned != seeds).any()
    np.testing.assert_array_equal(pruned, reference.prune(seeds, min(length, 303)), strict=True)


@given(
    seed=st.integers(0, 2**32 - 1),
    share=st.sampled_from([0.2, 0.7, 0.9]),
    classes=st.integers(1, 3),
    length=st.integers(0, 9),
)
def test_is_the_definition(seed, share, classes, length):
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(1, 50, 2))
    seeds = np.where(rng.random(shape) < share, rng.integers(1, classes + 1, shape), 0)
    if seed % 2:
        seeds = np.kron(seeds, np.ones((3, 4), int))  # with thick ones
    seeds = seeds.astype(np.uint8)
    expected = seeds.copy()
    for k in range(1, classes + 1):
        own = seeds == k
        thick = grey_opening(own.astype(np.uint8), size=(3, 3), mode="nearest") > 0
        beside = np.ones((2 * length + 1, 2 * length + 1), bool)
        expected[own & ~thick & binary_dilation(thick, beside)] = 0
    np.testing.assert_array_equal(load("cpu").prune(seeds, length), expected)


def test_hairs_go_and_threads_stay(ops):
    seeds = np.zeros((60, 200), np.uint8)
    seeds[10:50, 10:50] = 1
    seeds[30, 50:60] = 1  # a hair, which ends where nothing else is
    seeds[20, 50:150] = 1  # a long one
    seeds[5:55, 180] = 1  # a thread by itself
    seeds[40:43, 70:170] = 2  # thick enough
    pruned = ops.prune(seeds, 12)
    assert (pruned[30, 50:60] == 0).all()
    assert (pruned[20, 50:62] == 0).all()
    assert (pruned[20, 62:150] == 1).all()  # further from thick seeds of its class
    for kept in (np.s_[10:50, 10:50], np.s_[:, 180], np.s_[40:43]):
        expected = seeds[kept].copy()
        np.testing.assert_array_equal(pruned[kept][expected > 0], expected[expected > 0])


def test_other_classes_do_not_count(ops):
    seeds = np.zeros((20, 40), np.uint8)
    seeds[:, :20] = 1
    seeds[7, 20:40] = 2  # a thread of its own class beside thick seeds of another
    np.testing.assert_array_equal(ops.prune(seeds, 50), seeds)
