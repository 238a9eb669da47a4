"""Metrics against cases counted by hand, and mBA against its definition pixel by pixel."""

import doctest

import cv2
import numpy as np
import pytest
from gallery import blobs
from hypothesis import given, settings
from hypothesis import strategies as st

from hdseg_gpu import InvalidInput, metrics
from hdseg_gpu.metrics import scores


def test_iou_by_hand():
    prediction = np.array([[1, 1, 0], [0, 1, 0]], np.bool_)
    truth = np.array([[1, 0, 0], [0, 1, 1]], np.bool_)
    assert metrics.iou(prediction, truth) == 2 / 4
    assert metrics.iou(truth, truth) == 1
    assert metrics.iou(prediction, ~prediction) == 0
    assert np.isnan(metrics.iou(prediction & False, truth & False))


def test_iou_of_a_label_and_ignored_pixels():
    prediction = np.array([[3, 3, 5, 5]])
    truth = np.array([[3, 5, 5, 255]])
    assert metrics.iou(prediction, truth, label=3) == 1 / 2
    assert metrics.iou(prediction, truth, label=5) == 1 / 3
    assert metrics.iou(prediction, truth, label=5, ignore=255) == 1 / 2
    assert np.isnan(metrics.iou(prediction, truth, label=9))


def test_boundary_accuracy_by_hand():
    """A vertical edge in a small picture: all five radii are 1, the band is two columns wide."""
    truth = np.zeros((10, 10), np.bool_)
    truth[:, 5:] = True
    prediction = truth.copy()
    assert metrics.mean_boundary_accuracy(prediction, truth) == 1
    prediction[:4, 4] = True  # 4 of the 20 pixels of the band (columns 4 and 5) are wrong
    assert metrics.mean_boundary_accuracy(prediction, truth) == pytest.approx(16 / 20)
    prediction[:, 0] = True  # far from the boundary: no matter
    assert metrics.mean_boundary_accuracy(prediction, truth) == pytest.approx(16 / 20)


def test_boundary_accuracy_over_growing_radii_by_hand():
    """(w + h) / 300 = 11: radii 1, 3, 5, 7, 9; three columns each side are wrong."""
    truth = np.zeros((300, 3000), np.bool_)
    truth[:, 1500:] = True
    prediction = truth.copy()
    prediction[:, 1497:1500] = True
    prediction[:, 1500:1503] = False
    # The band of radius r has 2 r columns, 6 of them wrong where there are so many.
    expected = np.mean([0, 0, 4 / 10, 8 / 14, 12 / 18])
    assert metrics.mean_boundary_accuracy(prediction, truth) == pytest.approx(expected)


# Rows of OpenCV's MORPH_ELLIPSE, pixels set in each, as cv2.getStructuringElement draws them.
ELLIPSES = {
    1: [1, 3, 1],
    2: [1, 5, 5, 5, 1],
    3: [1, 5, 7, 7, 7, 5, 1],
    4: [1, 7, 7, 9, 9, 9, 7, 7, 1],
}


@pytest.mark.parametrize("radius", ELLIPSES)
def test_ellipse_is_opencvs(radius):
    np.testing.assert_array_equal(2 * scores.ellipse_reach(radius) + 1, ELLIPSES[radius])


@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    ignored=st.booleans(),
)
def test_boundary_accuracy_is_its_definition(seed, height, width, ignored):
    rng = np.random.default_rng(seed)
    truth = (
        blobs((height, width), 3, seed) if seed % 2 else rng.integers(0, 3, (height, width))
    ).astype(int)
    prediction = np.where(rng.random(truth.shape) < 0.2, 1, truth)
    ignore = 2 if ignored else None
    actual = metrics.mean_boundary_accuracy(prediction, truth, label=1, ignore=ignore)
    # All radii are 1 below 600 pixels of width + height: the cross of 5 pixels.
    t = truth == 1
    band = np.zeros(t.shape, np.bool_)
    for y in range(height):
        for x in range(width):
            cross = [(y, x), (y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
            seen = {t[p] for p in cross if 0 <= p[0] < height and 0 <= p[1] < width}
            band[y, x] = len(seen) == 2
    band &= truth != ignore if ignored else True
    right = (prediction == 1) == t
    if band.any():
        assert actual == pytest.approx(right[band].mean())
    else:
        assert np.isnan(actual)


@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(1, 90),
    width=st.integers(1, 2200),
    count=st.integers(1, 40),
    ignored=st.booleans(),
)
@settings(max_examples=25)
def test_all_classes_at_once_have_the_same_scores(seed, height, width, count, ignored):
    """With radii up to 6, and labels that only one of the maps has."""
    rng = np.random.default_rng(seed)
    side = int(rng.integers(1, 30))
    squares = rng.integers(0, count, (-(-height // side), -(-width // side)))
    truth = squares.repeat(side, axis=0).repeat(side, axis=1)[:height, :width]
    prediction = np.where(rng.random(truth.shape) < 0.1, count + 1, np.roll(truth, 2, axis=1))
    ignore = int(truth[0, 0]) if ignored else None
    scores = metrics.per_class(prediction, truth, ignore=ignore)
    labels = {*np.unique(truth).tolist(), *np.unique(prediction).tolist()} - {ignore}
    assert scores.label.tolist() == sorted(labels)
    for label, iou, mba, in_truth in zip(*scores, strict=True):
        given_one = {"label": int(label), "ignore": ignore}
        np.testing.assert_equal(iou, metrics.iou(prediction, truth, **given_one))
        expected = metrics.mean_boundary_accuracy(prediction, truth, **given_one)
        np.testing.assert_allclose(mba, expected, rtol=0, atol=1e-14)
        assert in_truth == (label in truth)


def test_the_examples_are_what_comes_out():
    failed, attempted = doctest.testmod(metrics)
    assert attempted > 0
    assert failed == 0


@pytest.mark.parametrize("name", ["label", "ignore"])
@pytest.mark.parametrize("value", ["a", 1.5, [1, 2], np.array([1]), float("nan")])
def test_labels_are_integers(name, value):
    labels = np.zeros((4, 5), np.uint8)
    for metric in (metrics.iou, metrics.mean_boundary_accuracy):
        with pytest.raises(InvalidInput, match=f"{name}=.*must be an integer"):
            metric(labels, labels, **{"label": 0, name: value})
    if name == "ignore":
        with pytest.raises(InvalidInput, match=r"ignore=.*must be an integer"):
            metrics.per_class(labels, labels, ignore=value)


def test_no_boundary_is_nan():
    everything = np.ones((20, 20), np.bool_)
    assert np.isnan(metrics.mean_boundary_accuracy(everything, everything))
    assert np.isnan(metrics.mean_boundary_accuracy(everything, ~everything))


@pytest.mark.parametrize("metric", [metrics.iou, metrics.mean_boundary_accuracy])
def test_bad_input(metric):
    a = np.zeros((4, 5), np.uint8)
    with pytest.raises(InvalidInput, match=r"prediction has shape \(4, 5\), truth has \(5, 4\)"):
        metric(a, a.T, label=0)
    with pytest.raises(InvalidInput, match="pass label="):
        metric(a, a)
    with pytest.raises(InvalidInput, match="truth has dtype float"):
        metric(a, a / 2, label=0)


def test_opencv_agrees():
    truth, prediction = blobs((700, 1300)) > 0, blobs((700, 1300), seed=12) > 0
    accuracies = []
    for i in range(5):
        r = 1 + int((2000 / 300 - 1) / 5 * i)
        ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * r + 1, 2 * r + 1))
        band = cv2.morphologyEx(truth.astype(np.uint8), cv2.MORPH_GRADIENT, ellipse) > 0
        accuracies.append((prediction == truth)[band].mean())
    assert metrics.mean_boundary_accuracy(prediction, truth) == pytest.approx(np.mean(accuracies))


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int64, np.uint64])
@pytest.mark.parametrize("label", [-1, 2, 255, 2**63, -(2**63), 2**70])
def test_a_label_that_the_type_cannot_hold_is_nowhere(dtype, label):
    mask = np.zeros((5, 13), dtype)
    mask[1:3, 2:9] = 1
    assert np.isnan(metrics.iou(mask, mask, label=label))
    assert metrics.iou(mask, mask, label=1, ignore=label) == 1.0
    assert metrics.per_class(mask, mask, ignore=label).label.tolist() == [0, 1]
