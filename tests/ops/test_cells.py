"""Primitives on cells: by hand, and every backend against the reference, on odd shapes."""

import numpy as np
import pytest
from gallery import blobs, photograph
from hypothesis import given
from hypothesis import strategies as st
from threads import printed

from hdseg_gpu import backends

SHAPES = [(1, 1), (1, 23), (19, 1), (2, 2), (31, 37), (13, 149), (101, 17)]
CELLS = [1, 2, 3, 4, 5, 7, 8, 9, 40, 1000]
DTYPES = ["uint8", "uint16", "float32", "float64"]
FAR = 1 << 30  # farther than any nearest_other


@pytest.fixture(params=SHAPES, ids=str)
def shape(request):
    return request.param


def random_image(shape, channels, dtype, seed=101):
    labels = np.random.default_rng(seed).integers(0, 3, shape).astype(np.uint8)
    return photograph(labels, channels, dtype)


def assert_same(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b, strict=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 16])
def test_moments_have_the_same_bits(ops, reference, shape, dtype, channels):
    image = random_image(shape, channels, dtype)
    center, scale = reference.channel_means(image), 1 / 3.7
    for cell in CELLS if channels in (1, 3) else (1, 4, 9):
        expected = reference.cell_moments(image, cell, center, scale)
        np.testing.assert_array_equal(
            ops.cell_moments(image, cell, center, scale), expected, strict=True
        )
        assert expected[..., 0].sum() == shape[0] * shape[1]


def test_moments_by_hand(ops, reference):
    image = np.array([[[1, 2], [3, 4], [5, 7]], [[1, 2], [3, 4], [9, 6]]], np.uint8)
    center = np.array([1.0, 2.0])
    # 1, x_0, x_1, x_0 x_0, x_0 x_1, x_1 x_1; the last cell has lost its right half.
    expected = [[[4, 8, 8, 32, 32, 32], [2, 24, 18, 64 + 256, 80 + 128, 100 + 64]]]
    for backend in (ops, reference):
        np.testing.assert_array_equal(backend.cell_moments(image, 2, center, 2.0), expected)


def test_a_large_offset_does_not_blur_moments(ops):
    rng = np.random.default_rng(103)
    small = rng.random((8, 8, 1))
    center = np.full(1, 2.0**30)
    found = ops.cell_moments(small + center, 8, center, 1.0)[0, 0]
    np.testing.assert_allclose(found, [64, small.sum(), (small**2).sum()], rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 3, 5, 16])
def test_means_agree(ops, reference, shape, dtype, channels):
    image = random_image(shape, channels, dtype)
    expected = reference.channel_means(image)
    found = ops.channel_means(image)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_means_of_many_blocks(ops):
    image = np.random.default_rng(107).integers(0, 2**16, (501, 407, 3), np.uint16)
    exact = image.sum(axis=(0, 1), dtype=np.int64) / (501 * 407)
    np.testing.assert_array_equal(ops.channel_means(image), exact)


@pytest.mark.parametrize("classes", [1, 2, 5, 300, 65536])
def test_labels_of_cells_agree(ops, reference, shape, classes):
    rng = np.random.default_rng(109)
    dtype = np.uint8 if classes < 256 else np.uint16
    noise = rng.integers(0, classes, shape).astype(dtype)
    smooth = blobs(shape, 3).astype(dtype) * dtype(classes // 3)
    for labels in (noise, smooth):
        for cell in CELLS:
            np.testing.assert_array_equal(
                ops.cell_labels(labels, cell), reference.cell_labels(labels, cell), strict=True
            )


def test_labels_of_cells_by_hand(ops, reference):
    labels = np.array([[2, 1, 3, 3, 0], [1, 2, 3, 0, 9], [7, 7, 8, 7, 4]], np.uint8)
    for backend in (ops, reference):
        np.testing.assert_array_equal(backend.cell_labels(labels, 2), [[1, 3, 0], [7, 7, 4]])


def brute_force(cells, reach=FAR):
    """Look at every pair of entries."""
    y, x = (axis.ravel() for axis in np.indices(cells.shape))
    own = cells.ravel()
    squared = ((y[:, None] - y) ** 2 + (x[:, None] - x) ** 2).astype(float)
    squared[(own[:, None] == own) | (squared > reach**2)] = np.inf
    least = squared.min(axis=1)
    near = (squared == least[:, None]) & np.isfinite(squared)
    nearest_other = np.where(near, own.astype(int), 2**16).min(axis=1)
    nearest_other = np.where(np.isinf(least), own, nearest_other).astype(cells.dtype)
    return np.sqrt(least).astype(np.float32).reshape(cells.shape), nearest_other.reshape(
        cells.shape
    )


@given(
    shape=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    classes=st.sampled_from([1, 2, 3, 9, 60000]),
    specks=st.floats(0, 1),
    smooth=st.booleans(),
    reach=st.sampled_from([1, 2, 3, 5, 9, 20, FAR]),
    seed=st.integers(0, 2**32 - 1),
)
def test_nearest_others_are_those_of_all_pairs(shape, classes, specks, smooth, reach, seed):
    rng = np.random.default_rng(seed)
    dtype = np.uint16 if classes > 255 else np.uint8
    cells = rng.integers(0, classes, shape).astype(dtype)
    ground = blobs(shape, min(classes, 5), seed=seed) if smooth else np.full(shape, classes // 2)
    cells = np.where(rng.random(shape) < specks**3, cells, ground).astype(dtype)
    expected = brute_force(cells, reach)
    assert_same(backends.load("cpu").nearest_others(cells, reach), expected)
    assert_same(backends.load("reference").nearest_others(cells, reach), expected)


@pytest.mark.parametrize("classes", [1, 2, 4, 300])
def test_nearest_others_agree(ops, reference, shape, classes):
    rng = np.random.default_rng(113)
    dtype = np.uint8 if classes < 256 else np.uint16
    noise = rng.integers(0, classes, shape).astype(dtype)
    sparse = np.where(rng.random(shape) < 0.01, noise, classes - 1).astype(dtype)
    for cells in (noise, sparse, blobs(shape, min(classes, 7)).astype(dtype)):
        for reach in (0, 1, 4, FAR):
            found, expected = (o.nearest_others(cells, reach) for o in (ops, reference))
            assert_same(found, expected)


def test_nearest_others_on_large_maps_agree(ops, reference):
    for cells in (blobs((301, 257), 6), np.zeros((150, 140), np.uint8)):
        for reach in (0, 1, 4, FAR):
            found, expected = (o.nearest_others(cells, reach) for o in (ops, reference))
            assert_same(found, expected)


def test_the_lowest_of_equally_near_classes_wins(ops, reference):
    cells = np.full((11, 11), 4, np.uint8)
    # All 5 away from the middle, as 3-4-5 triangles and straight.
    for k, y, x in [(9, 0, 5), (8, 5, 0), (7, 1, 2), (3, 9, 8), (5, 10, 5), (6, 8, 1)]:
        cells[y, x] = k
    for backend in (ops, reference):
        distance, nearest_other = backend.nearest_others(cells, FAR)
        assert (distance[5, 5], nearest_other[5, 5]) == (5, 3)
        assert_same((distance, nearest_other), brute_force(cells))


def test_one_class_has_no_other(ops, reference):
    for backend in (ops, reference):
        distance, nearest_other = backend.nearest_others(np.full((3, 4), 300, np.uint16), FAR)
        assert_same(
            (distance, nearest_other),
            (np.full((3, 4), np.inf, np.float32), nearest_other * 0 + 300),
        )


@pytest.mark.parametrize("classes", [1, 2, 5, 300])
def test_detail_agrees(ops, reference, shape, classes):
    rng = np.random.default_rng(127)
    dtype = np.uint8 if classes < 256 else np.uint16
    noise = rng.integers(0, classes, shape).astype(dtype)
    ragged = np.where(rng.random(shape) < 0.1, noise, blobs(shape, 4)).astype(dtype)
    for labels in (noise, ragged, blobs(shape, 4).astype(dtype)):
        assert ops.boundary_detail(labels) == reference.boundary_detail(labels)


def test_detail_of_several_tiles_agrees(ops, reference):
    labels = blobs((203, 331), 5)
    labels[::29, ::31] ^= 1
    for part in (labels, labels[:64, :128].copy(), labels[:65, :129].copy()):
        assert ops.boundary_detail(part) == reference.boundary_detail(part)


def test_detail_by_hand(ops, reference):
    half = np.zeros((40, 90), np.uint8)
    half[:, 45:] = 1
    speck = np.zeros((40, 90), np.uint8)
    speck[20, 64] = 2
    corner = np.zeros((40, 90), np.uint8)
    corner[:2, :2] = 3  # repeated beyond the border: only its inner pixel is outvoted
    for backend in (ops, reference):
        assert backend.boundary_detail(half) == (0, 40)
        assert backend.boundary_detail(speck) == (1, 4)
        assert backend.boundary_detail(corner) == (1, 4)
        assert all(isinstance(n, int) for n in backend.boundary_detail(speck))


THREADS = """
import hashlib
import numpy as np
from gallery import blobs
from hdseg_gpu import backends
ops = backends.load("cpu")
# Large enough for four threads everywhere.
labels = blobs((150, 110), 5).repeat(8, axis=0).repeat(8, axis=1)
labels[::37, ::41] += 1
rng = np.random.default_rng(131)
image = rng.random((*labels.shape, 3), np.float32)
means = ops.channel_means(image)
found = [means, *ops.nearest_others(labels, 1 << 30), ops.cell_labels(labels, 7)]
found += [ops.cell_moments(image, 5, means, 2.0), np.array(ops.boundary_detail(labels))]
found += [ops.cell_moments(image[..., :2].copy(), 3, means[:2], 2.0)]
print(hashlib.sha256(b"".join(a.tobytes() for a in found)).hexdigest())
"""


def test_the_number_of_threads_does_not_matter():
    found = printed(THREADS, "1", "4")
    assert len(found[0]) == 65
    assert found[0] == found[1]
