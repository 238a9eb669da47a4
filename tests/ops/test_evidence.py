"""Primitives of class evidence: by hand, and every backend against the reference, on odd shapes."""

import numpy as np
import pytest
from evidence_scene import FAR, Scene, band_of, everywhere

from hdseg_gpu.core.windows import all_of
from hdseg_gpu.ops import EVERYWHERE, CoarseProbabilities, Estimation, Places, by_run

SHAPES = [(1, 1), (1, 29), (23, 1), (31, 37), (13, 149), (97, 61)]
DTYPES = ["uint8", "uint16", "float32", "float64"]


@pytest.fixture(params=SHAPES, ids=str)
def shape(request):
    return request.param


@pytest.mark.parametrize(("channels", "dtype"), [(1, "uint8"), (3, "uint16"), (5, "float64")])
def test_models_agree(ops, reference, shape, channels, dtype):
    scene = Scene(reference, shape, channels=channels, dtype=dtype)
    found, expected = scene.models(ops), scene.models(reference)
    for a, b in zip(found.nearby, expected.nearby, strict=True):
        np.testing.assert_array_equal(a, b, strict=True)
    np.testing.assert_allclose(found.coefficients, expected.coefficients, rtol=2e-3, atol=2e-3)


def test_a_model_is_the_gaussian_of_its_class(ops):
    """Of one class with wide windows: the picture's own mean and covariance."""
    rng = np.random.default_rng(7)
    mixing = np.array([[1.0, 0.5], [0.0, 0.3]])
    image = rng.normal(size=(40, 40, 2)) @ mixing + [3.0, -1.0]
    moments = ops.cell_moments(image, 2, np.zeros(2), 1.0)
    own, ones = np.zeros((20, 20), np.uint8), np.ones((20, 20), np.float32)
    nearby = everywhere((5, 5))
    how = Estimation(4, 64.0, (50,), 0.0, 0.0, 0.0)
    model = ops.colour_models(moments, own, ones, 1, nearby, how)[12]
    mean, covariance = image.mean((0, 1)), np.cov(image.reshape(-1, 2).T, bias=True)
    precision = np.linalg.inv(covariance)
    linear = precision @ mean
    constant = -0.5 * (mean @ linear + np.linalg.slogdet(covariance)[1])
    expected = [constant, *linear, -precision[0, 0] / 2, -precision[0, 1], -precision[1, 1] / 2]
    np.testing.assert_allclose(model, expected, rtol=1e-3)


def test_where_a_class_is_far_its_wider_windows_speak(ops):
    """Left half dark, right half bright, and the class is everywhere: each side has its own."""
    image = np.full((32, 64, 1), 1.0)
    image[:, 32:] = 2.0
    moments = ops.cell_moments(image, 2, np.zeros(1), 1.0)
    own, weight = np.zeros((16, 32), np.uint8), np.ones((16, 32), np.float32)
    rest = 1, everywhere((4, 8)), Estimation(4, 64.0, (1, 6), 1e-3, 1e-7, 0.01)
    local = ops.colour_models(moments, own, weight, *rest).reshape(4, 8, 3)
    weight[:, 16:] = 0  # now nothing is known of the right half
    alone = ops.colour_models(moments, own, weight, *rest).reshape(4, 8, 3)
    means = [-m[..., 1] / (2 * m[..., 2]) for m in (local, alone)]
    assert abs(means[0][2, 0] - 1) < 0.05
    assert abs(means[0][2, 7] - 2) < 0.05
    np.testing.assert_allclose(means[1], 1, atol=0.01)  # what wider windows know of the class


def test_where_nothing_is_known_a_class_has_the_colours_of_the_picture(ops):
    """Standardised they have mean 0 and covariance I."""
    moments = ops.cell_moments(np.full((32, 64, 2), 5.0), 2, np.zeros(2), 1.0)
    own, weight = np.zeros((16, 32), np.uint8), np.zeros((16, 32), np.float32)
    weight[:, :4] = 1  # 7 windows from the last, and the filters reach 6
    nearby = everywhere((4, 8))
    how = Estimation(4, 64.0, (1, 2), 0.1, 1e-5, 0.25)
    model = ops.colour_models(moments, own, weight, 1, nearby, how)
    model = model.reshape(4, 8, 6)
    variance = 1.25
    expected = [-np.log(variance), 0, 0, -0.5 / variance, 0, -0.5 / variance]
    np.testing.assert_allclose(model[:, 7], [expected] * 4, atol=1e-6)
    assert (abs(model[:, 6, 1:3]) > 1e-4).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("maps", [1, 2])
def test_evidence_agrees(ops, reference, shape, dtype, maps):
    scene = Scene(reference, shape, dtype=dtype)
    band, models = band_of(ops, shape), scene.models(reference)
    found = scene.evidence(ops, band, maps, models=models)
    expected = scene.evidence(reference, band, maps, models=models)
    assert_alike(found, expected, scene.count)


@pytest.mark.parametrize("how", ["linear", "cubic"])
@pytest.mark.parametrize(("count", "channels"), [(2, 1), (7, 3), (300, 2)])
def test_evidence_with_a_network_agrees(ops, reference, how, count, channels):
    scene = Scene(reference, (41, 53), count, channels)
    planes = np.random.default_rng(5).random((count, 11, 14)).astype(np.float32)
    network = CoarseProbabilities(
        planes / planes.sum(0), all_of(scene.shape, (11, 14)), how, 0.5, 4.0
    )
    band, models = band_of(ops, scene.shape), scene.models(reference, missing=(1,))
    found, expected = (
        scene.evidence(o, band, network=network, kept=4, models=models) for o in (ops, reference)
    )
    assert_alike(found, expected, count)


def assert_alike(found, expected, count):
    """Compare the shares of each class: those below the threshold may be there or not."""
    tables = []
    for one in (found, expected):
        table = np.zeros((len(one.label), count + 1))
        np.put_along_axis(table, one.label.astype(int), one.probability, axis=1)
        assert (np.diff(one.probability, axis=1) <= 1e-6).all()
        np.testing.assert_allclose(one.probability.sum(1), 1, atol=1e-5)
        assert ((one.label > 0) == (one.probability > 0)).all()
        tables.append(table[:, 1:])
    np.testing.assert_allclose(*tables, atol=4e-3)


def test_distances_decide_where_colours_are_alike(ops):
    """A constant picture of two halves: the boundary's side, the surer the farther."""
    classes = np.zeros((12, 24), np.uint8)
    classes[:, 12:] = 1
    scene = Scene(ops, (12, 24), 2)
    scene.image = np.full((12, 24, 3), 7, np.uint8)
    scene.own = ops.cell_labels(classes, 2)
    scene.distance, scene.nearest_other = ops.nearest_others(scene.own, FAR)
    scene.weight = np.tanh(scene.distance)
    scene.center, scene.scale = np.full(3, 7.0), 1.0
    scene.moments = ops.cell_moments(scene.image, 2, scene.center, scene.scale)
    models = scene.models(ops)
    band = ops.band(np.zeros((12, 24), np.uint8))
    found = scene.evidence(ops, band, maps=1, kept=2, models=models)
    second = np.where(found.label == 2, found.probability, 0).sum(1).reshape(12, 24)
    assert (np.diff(second, axis=1) >= -1e-6).all()
    np.testing.assert_allclose(second, 1 - second[:, ::-1], atol=1e-5)
    assert second[0, 11] < 0.5 < second[0, 12]


def test_who_has_evidence_and_its_weight(ops, reference, shape):
    scene = Scene(reference, shape)
    band = band_of(ops, shape)
    evidence = scene.evidence(reference, band, kept=3)
    component = reference.components(band)
    seeds, places = np.ones(shape, evidence.label.dtype), Places(component, EVERYWHERE)
    np.testing.assert_array_equal(
        *(o.labels_at(band, seeds, places, evidence) for o in (ops, reference))
    )
    every = np.tile(np.arange(1, 4, dtype=np.uint8), (band.pixel.size, 1))
    labels = np.random.default_rng(9).permuted(every, axis=1)[:, :2].copy()
    for position in (None, np.random.default_rng(9).permutation(band.size).astype(np.int32)):
        added = []
        for o in (ops, reference):
            b = o.zeros(band.size, 2)
            o.body(b)[:] = 0.25
            o.add_evidence(band, position, evidence, labels, by_run(band), 0.5, b)
            added.append(o.body(b).copy())
        np.testing.assert_allclose(*added, atol=1e-6)
