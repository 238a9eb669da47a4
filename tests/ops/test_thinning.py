"""Thinning: hand-checked cases, properties, and agreement of every backend with the reference."""

import numpy as np
import pytest
from gallery import blobs, masks
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import binary_hit_or_miss, label
from threads import printed

from hdseg_gpu import backends, seeds, structuring_elements, thinning
from hdseg_gpu.core.classes import class_dtype

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


def large_sets():
    """Return sets whose elements reach, one after the other, across several tiles."""
    rng = np.random.default_rng(53)
    random = rng.choice([-1, 0, 0, 0, 0, 0, 1], (40, 9, 9)).astype(np.int8)
    # Only far cells: a match depends on pixels four rows and columns away, and on none nearer.
    comb = np.zeros((36, 9, 9), np.int8)
    comb[:, [0, 8], 4] = [1, -1]
    comb[18:] = comb[18:].transpose(0, 2, 1)
    alternating = np.concatenate([comb, comb[:, ::-1, ::-1]])
    return {
        "presets in turn": np.concatenate([SETS["9x9"]] * 6),
        "random": random,
        "far cells": comb,
        "far cells, both ways": alternating,
    }


@pytest.mark.parametrize("name", ["presets in turn", "random", "far cells", "far cells, both ways"])
def test_a_pass_may_reach_farther_than_a_tile(ops, reference, name):
    elements = large_sets()[name]
    rng = np.random.default_rng(59)
    sparse = np.ones((300, 330), np.bool_)
    sparse[rng.integers(0, 300, 6), rng.integers(0, 330, 6)] = False
    for mask in (sparse, blobs((290, 200)) > 0):
        for passes in (1, 3):
            np.testing.assert_array_equal(
                ops.thinning(mask, elements, passes), reference.thinning(mask, elements, passes)
            )


@pytest.mark.parametrize("height", [1, 127, 128, 129, 255, 257])
@pytest.mark.parametrize("width", [31, 32, 33, 63, 64, 65, 128, 129])
def test_sizes_around_those_of_tiles(ops, reference, height, width):
    if ops.name == "cuda" and height not in (1, 257):
        pytest.skip("its tiles are others: backends/test_cuda_planes.py")
    mask = np.random.default_rng(height + width).random((height, width)) < 0.97
    mask[height // 3 :, width // 2 :] = True
    for elements in (SETS["9x9"], CUSTOM["small in a large frame"]):
        np.testing.assert_array_equal(
            ops.thinning(mask, elements, 9), reference.thinning(mask, elements, 9)
        )


@pytest.mark.parametrize("shape", [(1, 3000), (3000, 1), (5, 1500), (1500, 3)])
def test_long_thin_pictures(ops, reference, shape):
    mask = np.random.default_rng(61).random(shape) < 0.98
    for elements in (SETS["3x3"], CUSTOM["corner"]):
        np.testing.assert_array_equal(
            ops.thinning(mask, elements, 40), reference.thinning(mask, elements, 40)
        )


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), passes=st.integers(5, 60), name=st.sampled_from(list(SETS)))
def test_many_passes_visit_every_tile_that_changes(seed, passes, name):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(100, 420, 2))
    mask = np.ones(shape, np.bool_)  # large empty and full areas, a few specks
    for _ in range(6):
        y, x, h, w = (int(v) for v in (rng.random(4) * [*shape, *shape]))
        mask[y : y + h // 2, x : x + w // 2] ^= True
    mask ^= rng.random(shape) < 0.0005
    np.testing.assert_array_equal(
        backends.load("cpu").thinning(mask, SETS[name], passes),
        backends.load("reference").thinning(mask, SETS[name], passes),
    )


@pytest.mark.parametrize("width", [1, 7, 8, 9, 63, 64, 65, 150])
def test_packed_masks_and_bytes_are_thinned_alike(ops, reference, width):
    values = np.random.default_rng(67).integers(1, 256, (80, width), np.uint8)
    values *= blobs((80, width)) > 0
    for name, passes in (("9x9", 3), ("3x3", 0), ("3x3", 20)):
        expected = reference.thinning(values > 0, SETS[name], passes)
        found = ops.thinning(values, SETS[name], passes)
        np.testing.assert_array_equal(found, values * expected)
        bits = np.packbits(values > 0, axis=1, bitorder="little")
        packed = np.packbits(expected, axis=1, bitorder="little")
        dirty = bits.copy()
        dirty[:, -1] |= 0xFF << (width - 1) % 8 + 1 & 0xFF  # bits that are no pixels
        for backend in (ops, reference):
            for mask in (bits, dirty):
                found = backend.thinning_packed(mask, width, SETS[name], passes)
                np.testing.assert_array_equal(found, packed)


def test_thinning_keeps_the_form_of_its_mask():
    mask = (blobs((50, 70)) > 0).astype(np.uint8) * 9
    thinned = thinning(mask > 0, "9x9", 4)
    assert thinned.dtype == np.bool_
    np.testing.assert_array_equal(thinning(mask, "9x9", 4), mask * thinned, strict=True)
    packed = np.packbits(mask > 0, axis=1, bitorder="little")
    found = thinning(packed, "9x9", 4, packed_width=70)
    np.testing.assert_array_equal(
        found, np.packbits(thinned, axis=1, bitorder="little"), strict=True
    )


THREADS = """
import hashlib, sys
import numpy as np
from gallery import blobs
from hdseg_gpu import backends, structuring_elements
from hdseg_gpu.core.windows import all_of
ops, elements = backends.load("cpu"), structuring_elements("9x9")
# Large enough for four threads everywhere.
labels = blobs((150, 110), 5).repeat(28, axis=0).repeat(28, axis=1)
found = [ops.thinning(labels > k, elements, 12) for k in range(2)]
found += [ops.seeds(labels, 5, elements, 12) for _ in range(3)]
found += [ops.histogram(labels, 5), np.float64(ops.standard_deviation(labels))]
found += [np.float64(ops.standard_deviation(np.sqrt(labels.astype(np.float32))))]
planes = np.random.default_rng(71).random((3, 100, 90), np.float32)
found += [ops.upsample_argmax(planes, all_of((700, 650), planes.shape[1:]), "cubic")]
found += [ops.upsample_labels(labels, all_of((4501, 3333), labels.shape))]
assert all((found[2] == again).all() for again in found[3:5])
print(hashlib.sha256(b"".join(a.tobytes() for a in found)).hexdigest())
"""


def test_the_number_of_threads_does_not_matter():
    found = printed(THREADS, "1", "2", "4")
    assert len(found[0]) == 65
    assert found == found[:1] * 3


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


def test_classes_whose_boxes_overlap_are_thinned_in_batches(ops, reference):
    # 40 classes, each in every corner: more than are thinned at once.
    rng = np.random.default_rng(73)
    labels = np.repeat(np.repeat(rng.integers(0, 40, (23, 21)), 9, axis=0), 10, axis=1)
    labels = labels.astype(np.uint8)
    for elements in SETS.values():
        np.testing.assert_array_equal(
            ops.seeds(labels, 40, elements, 3), reference.seeds(labels, 40, elements, 3)
        )


@pytest.mark.parametrize("count", [254, 255, 256, 300])
def test_up_to_254_classes_fit_into_bytes(ops, reference, count):
    if ops.name == "cuda" and count in (255, 256):
        pytest.skip("many planes take long on the executor; 254 and 300 try both types")
    labels = np.arange(count).repeat(180)[: count * 180].reshape(-1, 60)
    labels = labels.repeat(2, axis=1).astype(class_dtype(count))
    assert labels.dtype == (np.uint8 if count < 255 else np.uint16)  # 255 is a wall
    expected = reference.seeds(labels, count, SETS["3x3"], 1)
    np.testing.assert_array_equal(ops.seeds(labels, count, SETS["3x3"], 1), expected, strict=True)
    assert expected.max() == count


@pytest.mark.parametrize("elements", CUSTOM)
def test_custom_elements_thin_class_by_class(ops, reference, elements):
    labels = blobs((150, 143), 6)
    np.testing.assert_array_equal(
        ops.seeds(labels, 6, CUSTOM[elements], 2), reference.seeds(labels, 6, CUSTOM[elements], 2)
    )


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
