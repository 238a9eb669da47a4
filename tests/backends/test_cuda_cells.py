"""The CUDA kernels of cells and evidence, with their threads in every order."""

import numpy as np
import pytest
from evidence_scene import FAR, Scene, band_of
from executor import ORDERS, ExecutorDevice
from executor.through import ThroughDevice
from gallery import blobs, photograph

from hdseg_gpu.backends.cpu import CpuOps
from hdseg_gpu.backends.cuda import CudaOps, kernels
from hdseg_gpu.backends.cuda import source as cuda_source
from hdseg_gpu.core.classes import class_dtype
from hdseg_gpu.core.windows import all_of
from hdseg_gpu.ops import EVERYWHERE, CoarseProbabilities, Evidence, Places, by_run

SHAPES = [(1, 1), (33, 47), (70, 9)]


@pytest.fixture(params=ORDERS)
def ordered(request):
    """The backend on a device whose threads take turns in one order."""
    return ThroughDevice(CudaOps(ExecutorDevice(request.param)))


@pytest.fixture(params=SHAPES, ids=str)
def shape(request):
    return request.param


def labels_of(shape, count):
    """Return blobs with specks of all classes."""
    rng = np.random.default_rng(137)
    specks = rng.integers(0, count, shape)
    ground = blobs(shape, min(count, 5)) if min(shape) > 8 else specks
    return np.where(rng.random(shape) < 0.05, specks, ground).astype(class_dtype(count))


def photograph_of(labels, channels, dtype):
    return photograph(labels, channels, dtype).reshape(*labels.shape, channels)


@pytest.mark.parametrize("count", [3, 300])
def test_classes_are_counted_alike(ordered, reference, shape, count):
    labels = labels_of(shape, count)
    for op, *args in (
        ("histogram", count),
        ("histogram", 65000),
        ("cell_labels", 3),
        ("cell_labels", 9),
        ("boundary_detail",),
    ):
        found, expected = (getattr(o, op)(labels, *args) for o in (ordered, reference))
        np.testing.assert_array_equal(found, expected, strict=True)
    for reach in (1, 5, FAR):
        found, expected = (o.nearest_others(labels, reach) for o in (ordered, reference))
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a, b, strict=True)


@pytest.mark.parametrize("seed", range(8))
def test_far_classes_are_found_by_segments(ordered, seed):
    """A few boxes on wide ground, and a cliff: rows longer than several warps."""
    rng = np.random.default_rng(seed)
    cells = np.zeros(rng.integers(1, [20, 400]), np.uint8 if seed % 2 else np.uint16)
    if seed % 4 == 3:
        cells[:, cells.shape[1] // 2 :] = 7
    for _ in range(seed):
        y, x = rng.integers(0, cells.shape)
        cells[y : y + 3, x : x + rng.integers(1, 40)] = rng.integers(0, 5)
    for reach in (30, 100, FAR):
        found, expected = (o.nearest_others(cells, reach) for o in (ordered, CpuOps("baseline")))
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a, b, strict=True)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sums_are_alike(ordered, reference, shape, dtype, channels):
    image = photograph_of(labels_of(shape, 3), channels, dtype)
    center = reference.channel_means(image)
    np.testing.assert_allclose(ordered.channel_means(image), center, rtol=1e-13)
    assert ordered.standard_deviation(image) == pytest.approx(
        reference.standard_deviation(image), rel=1e-12, abs=1e-15
    )
    for cell in (2, 5, 40):
        np.testing.assert_array_equal(
            *(o.cell_moments(image, cell, center, 0.3) for o in (ordered, reference)), strict=True
        )


def test_sums_of_several_chunks_do_not_depend_on_the_order():
    image = np.random.default_rng(139).random((300, 301, 3), np.float32)
    found = set()
    for order in ORDERS:
        ops = ThroughDevice(CudaOps(ExecutorDevice(order)))
        found.add((*ops.channel_means(image).tolist(), ops.standard_deviation(image)))
    assert len(found) == 1


def test_certainty_agrees(ordered, reference):
    distance = np.array([0, 0.5, 1, 1.5, 2, 40, 1e5, 1e7, np.inf], np.float32)
    for log, linear, cell in ((0.5, 3.0, 0.5), (1.0, 0.0, 2.0), (0.0, 0.0, 1.0)):
        found = ordered.confidence(distance, log, linear, cell)
        expected = reference.confidence(distance, log, linear, cell)
        np.testing.assert_allclose(found, expected, atol=1e-6)
        assert found.dtype == np.float32


def scene_of(reference, shape, count, channels=3, dtype="uint8", cell=3):
    """Return what class_evidence is made of, from the reference."""
    scene = Scene(reference, shape, count, channels, dtype, cell)
    return scene, band_of(reference, shape)


@pytest.mark.parametrize("count", [3, 300])
def test_contradictions_agree(ordered, reference, shape, count):
    scene, band = scene_of(reference, shape, count)
    rng = np.random.default_rng(149)
    label = rng.integers(0, 4, (band.size, 2)).astype(scene.own.dtype)
    by_colour = Evidence(label, np.zeros(label.shape, np.float32))
    args = (band, by_colour, scene.classes, scene.distance, scene.cell, (0, 0), (0.5, 5.0), count)
    np.testing.assert_array_equal(
        *(o.contradictions(*args) for o in (ordered, reference)), strict=True
    )


@pytest.mark.parametrize("count", [3, 300])
@pytest.mark.parametrize(("channels", "dtype"), [(1, "uint16"), (3, "uint8"), (5, "float64")])
def test_models_and_evidence_are_the_processors(ordered, reference, shape, count, channels, dtype):
    """The evidence has the same bits: float32 steps in the same order."""
    processor = CpuOps("baseline")
    scene, band = scene_of(reference, shape, count, channels, dtype)
    models = scene.models(processor, missing=(2,))
    found = scene.models(ordered, missing=(2,))
    for a, b in zip(found.nearby, models.nearby, strict=True):
        np.testing.assert_array_equal(a, b, strict=True)
    np.testing.assert_allclose(found.coefficients, models.coefficients, rtol=1e-4, atol=1e-4)
    planes = np.random.default_rng(151).random((count, 7, 5)).astype(np.float32)
    place = all_of(shape, (7, 5))
    for network in (
        None,
        CoarseProbabilities(planes, place, "linear", 0.5, 4.0),
        CoarseProbabilities(planes, place, "cubic", 0.5, 4.0),
    ):
        for maps in (1, 2):
            found, expected = (
                scene.evidence(o, band, maps, network, 4, models=models)
                for o in (ordered, processor)
            )
            np.testing.assert_array_equal(found.label, expected.label, strict=True)
            np.testing.assert_array_equal(found.probability, expected.probability, strict=True)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
def test_evidence_is_added(ordered, reference, shape, dtype):
    band = reference.band((np.random.default_rng(3).random(shape) < 0.4).astype(np.uint8))
    rng = np.random.default_rng(157)
    order = np.argsort(rng.random((band.size, 5)), axis=1)[:, :3]
    evidence = Evidence(order.astype(dtype), rng.random((band.size, 3)).astype(np.float32))
    component = reference.components(band)
    seeds, places = np.ones(shape, dtype), Places(component, EVERYWHERE)
    for found, expected in zip(
        *(o.labels_at(band, seeds, places, evidence) for o in (ordered, reference)), strict=True
    ):
        np.testing.assert_array_equal(found, expected, strict=True)
    every = np.tile(np.arange(1, 5, dtype=dtype), (band.pixel.size, 1))
    labels = rng.permuted(every, axis=1)[:, :2].copy()
    for position in (None, rng.permutation(band.size).astype(np.int32)):
        padded, b = np.zeros((2, 2, band.size + 64), np.float32)
        inside = padded[:, 32:-32]
        inside[:] = b[:, 32:-32] = 0.25
        ordered.add_evidence(band, position, evidence, labels, by_run(band), 0.5, padded)
        reference.add_evidence(band, position, evidence, labels, by_run(band), 0.5, b[:, 32:-32])
        np.testing.assert_allclose(padded, b, atol=1e-6)


def test_pieces_are_as_long_as_the_kernels_have_them():
    assert f"kPiece = {kernels.PIECE};" in cuda_source.source("evidence.cu")
