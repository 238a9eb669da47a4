"""Planes, filters and upsampling on the device, in every order of a block's threads."""

import numpy as np
import pytest
from executor import ORDERS, ExecutorDevice
from executor.through import ThroughDevice
from gallery import blobs

from hdseg_gpu import structuring_elements
from hdseg_gpu.backends.cuda import CudaOps, masks
from hdseg_gpu.core.windows import all_of

SETS = {name: structuring_elements(name) for name in ("3x3", "9x9")}
# A word, a line or a tile more or less than what a block takes.
SHAPES = [(1, 1), (63, 385), (192, 64), (193, 450)]


@pytest.fixture(scope="module", params=ORDERS)
def ordered(request):
    return ThroughDevice(CudaOps(ExecutorDevice(request.param)))


def launched(ordered):
    return {kernel for _, kernel in ordered.inner.device.launched}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", SETS)
def test_thinning(ordered, reference, shape, name):
    mask = blobs(shape) > 0
    for passes in (1, 6):
        expected = reference.thinning(mask, SETS[name], passes)
        np.testing.assert_array_equal(ordered.thinning(mask, SETS[name], passes), expected)
    packed = np.packbits(mask, axis=1, bitorder="little")
    found = ordered.thinning_packed(packed, shape[1], SETS[name], 6)
    np.testing.assert_array_equal(found, np.packbits(expected, axis=1, bitorder="little"))


def test_elements_that_no_kernel_was_built_for(ordered, reference):
    mask = blobs((199, 400)) > 0
    mixed = np.concatenate([SETS["9x9"][:3], np.pad(SETS["3x3"], [(0, 0), (3, 3), (3, 3)])])
    for elements in (mixed, SETS["9x9"][:, 1:-1, 1:-1], np.ones((1, 1, 1), np.int8)):
        expected = reference.thinning(mask, elements, 3)
        np.testing.assert_array_equal(ordered.thinning(mask, elements, 3), expected)
    assert "thin_cells" in launched(ordered)


def test_presets_have_their_kernels_in_any_order_and_frame(ordered, reference):
    ordered.inner.device.launched.clear()
    mask = blobs((90, 130)) > 0
    for name, elements in (
        ("thin_presets_4", SETS["9x9"][[5, 0, 5]]),
        ("thin_presets_1", np.pad(SETS["3x3"][::-1], [(0, 0), (2, 2), (2, 2)])),
    ):
        expected = reference.thinning(mask, elements, 5)
        np.testing.assert_array_equal(ordered.thinning(mask, elements, 5), expected)
        assert name in launched(ordered)
    assert "thin_cells" not in launched(ordered)


def test_a_quiet_picture_ends_the_passes(ordered):
    mask = blobs((70, 80)) > 0
    stable = ordered.thinning(mask, SETS["3x3"], 200)
    np.testing.assert_array_equal(ordered.thinning(mask, SETS["3x3"], 2**63 - 1), stable)
    # Nothing is left to match, in any number of passes.
    assert not ordered.thinning(mask, np.zeros((1, 3, 3), np.int8), 2**63 - 1).any()
    np.testing.assert_array_equal(ordered.thinning(mask, -np.ones((1, 3, 3), np.int8), 9), mask)


@pytest.mark.parametrize(("dtype", "count"), [(np.uint8, 3), (np.uint16, 11), (np.uint16, 400)])
def test_seeds_and_spurs(ordered, reference, dtype, count):
    labels = blobs((150, 203), min(count, 9)).astype(dtype)
    if count == 400:
        labels = (labels * 47 + 23).astype(dtype)
    expected = reference.seeds(labels, count, SETS["9x9"], 4)
    found = ordered.seeds(labels, count, SETS["9x9"], 4)
    np.testing.assert_array_equal(found, expected, strict=True)
    for length in (2, 64, 70):
        np.testing.assert_array_equal(
            ordered.prune(found, length), reference.prune(found, length), strict=True
        )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_majority(ordered, reference, dtype):
    rng = np.random.default_rng(79)
    top = np.iinfo(dtype).max
    labels = rng.choice(np.array([0, 1, 1, top - 1, top], dtype), (40, 77))
    band = reference.band(np.where(labels == top, 1, rng.integers(0, 2, labels.shape)))
    for size in (3, 9):
        np.testing.assert_array_equal(
            ordered.majority(labels, band, size),
            reference.majority(labels, band, size),
            strict=True,
        )


@pytest.mark.parametrize("how", ["linear", "cubic"])
@pytest.mark.parametrize("shape", [(1, 129), (33, 128), (70, 300), (5, 3)], ids=str)
def test_upsampling(ordered, reference, shape, how):
    rng = np.random.default_rng(83)
    labels = rng.integers(0, 70, (9, 13)).astype(np.uint16)
    place = all_of(shape, (9, 13))
    np.testing.assert_array_equal(
        ordered.upsample_labels(labels, place),
        reference.upsample_labels(labels, place),
        strict=True,
    )
    for count in (2, 256):
        planes = rng.random((count, 9, 13), np.float32)
        np.testing.assert_array_equal(
            ordered.upsample_argmax(planes, place, how),
            reference.upsample_argmax(planes, place, how), strict=True,
        )  # fmt: skip
    pixels = rng.integers(0, shape[0] * shape[1], 50)
    np.testing.assert_allclose(
        ordered.sample_planes(planes[:3], place, pixels, how),
        reference.sample_planes(planes[:3], place, pixels, how), rtol=0, atol=1e-12,
    )  # fmt: skip


def test_a_launch_has_no_more_planes_than_blocks_along_an_axis():
    batches = masks._batches(np.arange(1 << 16), (8, 8))
    assert max(map(len, batches)) < 1 << 16
    np.testing.assert_array_equal(np.concatenate(batches), np.arange(1 << 16))
