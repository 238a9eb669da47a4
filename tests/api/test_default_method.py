"""The default method as a whole: where it must improve labels, and where it must not harm them."""

import warnings

import numpy as np
import pytest
from gallery import blobs, textured
from hypothesis import given
from hypothesis import strategies as st
from plain import either_way, plain
from scipy.ndimage import gaussian_filter, shift

from hdseg_gpu import RefinementWarning, available_backends, metrics, refine
from hdseg_gpu.backends import load
from hdseg_gpu.io import read_image, read_labels
from hdseg_gpu.pipeline.doubt import MOST_DETAIL, detail_of, doubt_of

SHAPE = (256, 384)
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]]


def disc(y, x, radius):
    return np.hypot(Y - y, X - x) < radius


def objects():
    """Return masks of different make: round, with arms, winding, small."""
    arms = np.hypot(Y - 130, X - 190) < 80 + 22 * np.cos(5 * np.arctan2(Y - 130, X - 190))
    small, curves = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    for i, (y, x) in enumerate((y, x) for y in range(24, 250, 40) for x in range(26, 370, 44)):
        small |= disc(y, x, 4 + i % 6)
    for i, width in enumerate((2, 3, 4)):
        middle = 50 + 75 * i + 20 * np.sin(X[0] / 40)
        curves |= np.abs(Y - middle) < width / 2
    return {
        "disc": disc(128, 180, 75),
        "arms": arms,
        "blobs": blobs(SHAPE, 2, 3) > 0,
        "small": small,
        "curves": curves,
    }


OBJECTS = objects()
LARGE = ("disc", "arms", "blobs")


def shares(truth, scale):
    """Return the share of the mask in each block of scale x scale."""
    h, w = (n // scale for n in truth.shape)
    return truth.reshape(h, scale, w, scale).mean(axis=(1, 3), dtype=np.float32)


def reduced(truth, scale):
    """Return what an ideal network would say: the larger part of each block."""
    return (shares(truth, scale) > 0.5).astype(np.uint8)


def networks(truth, scale, sigma, offset=(0, 0)):
    """Return what a network may say: a boundary without detail and pixels off; (h, w) fractions."""
    moved = shift(shares(truth, scale), offset, order=1, mode="nearest")
    return gaussian_filter(moved, sigma, mode="nearest")


def nearest(image, coarse):
    return refine(image, coarse, passes=0, interpolation="nearest")


def scores(labels, truth):
    return np.array([
        metrics.iou(labels > 0, truth),
        metrics.mean_boundary_accuracy(labels > 0, truth),
    ])  # fmt: skip


# ---- (a) gains -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LARGE)
@pytest.mark.parametrize("scale", [4, 8])
@pytest.mark.parametrize(("sigma", "offset"), [(6, (0, 0)), (3, (3, -3)), (2, (4, 0))])
def test_network_masks_get_better(sigma, offset, scale, name):
    truth = OBJECTS[name]
    image = textured(truth)
    coarse = (networks(truth, scale, sigma, offset) > 0.5).astype(np.uint8)
    labels, report = refine(image, coarse, return_report=True)
    before, after = scores(nearest(image, coarse), truth), scores(labels, truth)
    assert (after - before > (0.02, 0.1)).all()
    assert after[1] > scores(plain(image, coarse), truth)[1]
    assert 0 < report.doubt <= 1
    assert report.passes == 2 * scale
    assert (report.method, report.gamma, report.majority) == ("evidence", 1.0, 3)


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize("scale", [4, 8])
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.filterwarnings("ignore:The coarse map has only one class:hdseg_gpu.RefinementWarning")
def test_reduced_truths_get_no_worse(seed, scale, name):
    truth = OBJECTS[name]
    image, coarse = textured(truth, seed=seed), reduced(truth, scale)
    before, after = scores(nearest(image, coarse), truth), scores(refine(image, coarse), truth)
    assert (after >= before - 0.001).all()
    if name != "curves":  # of which the map has but pieces
        assert (after > before).all()


@pytest.mark.parametrize("name", ["disc", "blobs", "arms", "small"])
@pytest.mark.parametrize("scale", [4, 8])
@pytest.mark.parametrize("seed", [1, 2])
def test_noise_alone_does_no_harm(seed, scale, name):
    """The picture does not show the object."""
    truth = OBJECTS[name]
    noise = np.random.default_rng(seed).integers(0, 256, (*SHAPE, 3)).astype(np.uint8)
    coarse = reduced(truth, scale)
    before, after = scores(nearest(noise, coarse), truth), scores(refine(noise, coarse), truth)
    assert (after > before).all()  # by interpolation alone


@pytest.mark.parametrize("name", ["disc", "blobs", "arms", "small"])
@pytest.mark.parametrize("scale", [4, 8])
def test_stains_without_the_object_do_bounded_harm(scale, name):
    """A map without much detail is doubted where colours differ for other reasons."""
    truth = OBJECTS[name]
    image, coarse = textured(np.zeros_like(truth)), reduced(truth, scale)
    before, after = scores(nearest(image, coarse), truth), scores(refine(image, coarse), truth)
    assert (after > before - 0.09).all()
    assert after[0] > scores(plain(image, coarse), truth)[0] - 0.01


def test_bundled_photograph_gets_better():
    from importlib.resources import as_file, files

    with as_file(files("hdseg_gpu") / "data" / "demo") as folder:
        image = read_image(folder / "image.jpg").pixels
        coarse, truth = read_labels(folder / "coarse.png"), read_labels(folder / "truth.png") > 0
    labels, report = refine(image, coarse, return_report=True)
    before, after = scores(nearest(image, coarse), truth), scores(labels, truth)
    assert (after - before > (0.05, 0.1)).all()
    assert report.doubt > 0


def test_real_networks_masks_get_better(data):
    """No picture much worse, boundaries better on average."""
    gains = {}
    for mask in [*sorted(data.glob("dev/*/mask.png")), *sorted(data.glob("silver_dev/*/mask.png"))]:
        folder = mask.parent
        known = folder / "mask_pascal_subset.png"  # the labels that the network could know
        truth = read_labels(known if known.exists() else mask)
        if not (folder / "coarse.png").exists():
            continue
        coarse = read_labels(folder / "coarse.png")
        if coarse.shape == truth.shape:
            continue
        image = read_image(next(folder.glob("image.*"))).pixels
        ignore = 255 if (truth == 255).any() else None
        judged = [k for k in np.unique(truth) if k not in (0, ignore) and (truth == k).sum() >= 500]
        results = [
            np.mean([
                (
                    metrics.iou(labels, truth, label=k, ignore=ignore),
                    metrics.mean_boundary_accuracy(labels, truth, label=k, ignore=ignore),
                )
                for k in judged
            ], axis=0)
            for labels in (nearest(image, coarse), refine(image, coarse))
        ]  # fmt: skip
        gains[folder.name] = results[1] - results[0]
    assert len(gains) > 5
    assert {name: gain for name, gain in gains.items() if gain[0] < -0.003} == {}
    assert np.mean([gain[1] for gain in gains.values()]) > 0.05


# ---- (b) thin and small ----------------------------------------------------------------------


def curve_in_noise():
    """Return a bright noisy field with a dark curve 3 pixels wide, and the curve."""
    curve = np.abs(Y - 128 - 60 * np.sin(X / 50)) < 3 * np.hypot(1, 1.2 * np.cos(X / 50)) / 2
    noise = np.random.default_rng(31).normal(0, 12, (*SHAPE, 3))
    return np.clip(np.where(curve, 60, 190)[..., None] + noise, 0, 255).astype(np.uint8), curve


def test_thin_curve_survives():
    image, curve = curve_in_noise()
    coarse = (shares(curve, 4) >= 0.5).astype(np.uint8)
    before, labels = nearest(image, coarse) > 0, refine(image, coarse) > 0
    known = before & curve  # what the map has of it
    assert labels[known].mean() > 0.95
    assert metrics.iou(labels, curve) > metrics.iou(before, curve) + 0.1


@pytest.mark.parametrize("kind", ["labels", "probabilities"])
@pytest.mark.parametrize("scale", [4, 8])
def test_small_objects_keep_half_of_their_pixels(scale, kind):
    """Squares of 2 x 2 coarse pixels that the picture shows, and one that it hides."""
    coarse = np.zeros((40, 60), np.uint8)
    for y in range(4, 36, 6):
        coarse[y : y + 2, 4:56:6] = coarse[y : y + 2, 5:56:6] = 1
    truth = coarse.repeat(scale, axis=0).repeat(scale, axis=1) > 0
    given = coarse if kind == "labels" else np.stack([1.0 - coarse, coarse]).astype(np.float32)
    kept = refine(textured(truth), given) > 0
    squares = kept.reshape(40, scale, 60, scale).sum(axis=(1, 3))
    for y in range(4, 36, 6):
        for x in range(4, 56, 6):
            assert squares[y : y + 2, x : x + 2].sum() >= 2 * scale**2
    assert (kept & ~truth).sum() < 0.1 * truth.sum()


@pytest.mark.parametrize("backend", available_backends())
def test_class_without_seeds_keeps_the_coarse_answer(backend):
    coarse = np.zeros((16, 20), np.uint8)
    coarse[5:9, 12:14] = 9
    eastern = np.array([[[0, 0, 0], [0, 1, -1], [0, 0, 0]]], np.int8)
    truth = coarse.repeat(5, axis=0).repeat(5, axis=1)
    with pytest.warns(RefinementWarning, match=r"left no seeds of class \[9\]"):
        labels = refine(textured(truth > 0), coarse, elements=eastern, passes=40, backend=backend)
    assert (labels == truth).mean() > 0.99
    assert (labels[truth == 9] == 9).mean() > 0.9


# ---- (c) doubt -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["arms", "blobs", "small", "curves"])
@pytest.mark.parametrize("kind", ["labels", "probabilities"])
def test_reduced_truths_are_not_doubted(kind, name):
    truth = OBJECTS[name]
    image, share = textured(truth), shares(truth, 4)
    coarse = reduced(truth, 4) if kind == "labels" else np.stack([1 - share, share])
    _, report = refine(image, coarse, return_report=True)
    assert report.doubt == 0
    assert report.passes == 8


@pytest.mark.parametrize("name", LARGE)
def test_a_map_that_the_picture_confirms_is_doubted_less(name):
    """The same boundary without detail, beside colours that agree with it or not."""
    truth = OBJECTS[name]
    drawn = networks(truth, 4, 6) > 0.5
    agreeing = drawn.repeat(4, axis=0).repeat(4, axis=1)
    doubts = [
        refine(textured(shown), drawn.astype(np.uint8), return_report=True)[1].doubt
        for shown in (agreeing, truth)
    ]
    assert doubts[0] <= doubts[1]
    assert doubts[1] > 0


@pytest.mark.parametrize("backend", available_backends())
def test_detail_grows_with_raggedness(backend):
    ops = load(backend)
    truth, rng = OBJECTS["blobs"], np.random.default_rng(3)
    smooth = (networks(truth, 4, 6) > 0.5).astype(np.uint8)
    ragged = [np.where(rng.random(smooth.shape) < p, 1 - smooth, smooth) for p in (0.005, 0.05)]
    found = [detail_of(ops, [m]) for m in (smooth, reduced(truth, 4), *ragged)]
    assert 0 < found[0] < found[1]
    assert found[0] < found[2] < found[3]
    assert found[3] > MOST_DETAIL
    for scale in (1, 2):  # a constant map has no boundary to be ragged
        assert detail_of(ops, [np.zeros((5 * scale, 7), np.uint8)]) == pytest.approx(1e-4)


@given(
    detail=st.floats(1e-4, 0.5), more=st.floats(0, 0.5),
    contradiction=st.floats(0, 1), worse=st.floats(0, 1),
)  # fmt: skip
def test_doubt_is_monotone(detail, more, contradiction, worse):
    doubt = doubt_of(detail, contradiction)
    assert 0 <= doubt <= 1
    assert doubt_of(detail + more, contradiction) <= doubt
    assert doubt_of(detail, contradiction + worse) >= doubt


# ---- (d) probabilities -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["disc", "arms", "blobs", "small"])
@pytest.mark.parametrize("scale", [4, 8])
def test_fractions_say_more_than_their_argmax(scale, name):
    truth = OBJECTS[name]
    image, share = textured(truth), shares(truth, scale)
    fractions = np.stack([1 - share, share])
    by_labels = refine(image, fractions.argmax(axis=0).astype(np.uint8))
    by_fractions = refine(image, fractions)
    by_both = [scores(labels, truth) for labels in (by_fractions, by_labels)]
    assert (by_both[0] >= by_both[1]).all()
    assert by_both[0].sum() > by_both[1].sum()


# ---- (e) invariance --------------------------------------------------------------------------


def scene(classes=3):
    """Return a float image, a coarse map with errors, and the truth, of several classes."""
    truth = blobs(SHAPE, classes, 3)
    rng = np.random.default_rng(5)
    colours = rng.uniform(0.25, 0.75, (classes, 3))
    image = colours[truth] + rng.normal(0, 0.04, (*SHAPE, 3))
    planes = [networks(truth == k, 4, 3, (1, 1)) for k in range(classes)]
    return image, np.argmax(planes, axis=0).astype(np.uint8), truth


def differing(a, b):
    return (a != b).mean()


@pytest.mark.parametrize(
    ("factor", "offset"), [(0.5, 0.0), (2.0, -7.0), (255.0, 1000.0), (1.0, 1e6)]
)
def test_units_of_the_image_do_not_matter(factor, offset):
    """Colours are seen in units of sigma; edge weights are when beta is given in those too."""
    image, coarse, _ = scene()
    expected = refine(image, coarse)
    seen = factor * image + offset
    assert differing(refine(seen, coarse, beta=1000.0 / factor), expected) < 0.001
    if factor < 10:
        assert differing(refine(seen, coarse), expected) < 0.02


def test_the_order_of_channels_does_not_matter():
    image, coarse, _ = scene()
    expected = refine(image, coarse)
    for order in ([2, 1, 0], [1, 2, 0]):
        assert differing(refine(image[..., order], coarse), expected) < 0.001


@pytest.mark.parametrize("kind", ["labels", "probabilities"])
def test_the_order_of_classes_does_not_matter(kind):
    image, coarse, _ = scene()
    names = np.array([20, 3, 11], np.uint8)
    if kind == "labels":
        found, expected = refine(image, names[coarse]), names[refine(image, coarse)]
    else:
        planes = np.stack([gaussian_filter((coarse == k) * 1.0, 1) for k in range(3)])
        planes /= planes.sum(axis=0)
        order = [2, 0, 1]
        found = np.array(order)[refine(image, planes[order])]
        expected = refine(image, planes)
    assert differing(found, expected) < 0.005


@pytest.mark.parametrize("turned", [np.flipud, np.fliplr, lambda a: a.swapaxes(0, 1)])
def test_directions_do_not_matter(turned):
    """But for thinning, whose elements take turns."""
    image, coarse, _ = scene()
    found = refine(np.ascontiguousarray(turned(image)), np.ascontiguousarray(turned(coarse)))
    assert differing(found, turned(refine(image, coarse))) < 0.01


# ---- (f) anything goes -----------------------------------------------------------------------


@st.composite
def anything(draw):
    """Return a random image, coarse map and scale."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    h, w = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    factor = draw(st.sampled_from([1, 2, 3, 5, 8]))
    channels = draw(st.sampled_from([1, 2, 3, 6]))
    dtype = draw(st.sampled_from(["uint8", "uint16", "float32", "float64"]))
    classes = draw(st.integers(1, 5))
    image = rng.random((h * factor, w * factor, channels))
    image = gaussian_filter(image, (*[draw(st.sampled_from([0, 2]))] * 2, 0))
    if draw(st.booleans()):
        image[: h * factor // 2] = 0.5  # half of it constant
    if dtype.startswith("uint"):
        image = image * np.iinfo(dtype).max
    elif draw(st.booleans()):
        image = 1e3 * image - 1e5
    coarse = rng.integers(0, classes, (h, w))
    if draw(st.booleans()):
        coarse = np.sort(coarse, axis=1)  # regions instead of noise
    if draw(st.booleans()):
        logits = rng.normal(0, 2, (max(2, classes), h, w))
        return image.astype(dtype), np.exp(logits) / np.exp(logits).sum(axis=0), factor
    return image.astype(dtype), (7 * coarse - 3).astype(np.int16), factor


@given(anything())
def test_anything_is_refined_alike_by_all_backends(case):
    image, coarse, scale = case
    classes = np.unique(coarse) if coarse.ndim == 2 else np.arange(len(coarse))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RefinementWarning)
        labels, found, report = refine(
            image, coarse, scale=scale, return_probabilities=True, return_report=True
        )
        others = [
            refine(image, coarse, scale=scale, backend=name)
            for name in available_backends()
            if name != report.backend
        ]
    assert labels.shape == image.shape[:2]
    assert set(np.unique(labels)) <= set(classes)
    assert np.isfinite(found).all()
    assert 0 <= found.min() <= found.max() <= 1
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-4)
    assert 0 <= report.doubt <= 1
    assert 1 <= report.passes <= 12 * scale
    for other in others:
        assert (labels != other).sum() <= max(2, 0.005 * labels.size)


@either_way
@pytest.mark.parametrize("backend", available_backends())
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (2, 2), (1, 40), (40, 1), (3, 5)])
@pytest.mark.parametrize("dtype", ["uint8", "float64"])
def test_tiny_images(refined, shape, dtype, backend):
    rng = np.random.default_rng(9)
    image = (200 * rng.random((*shape, 3))).astype(dtype)
    small = tuple(-(-n // 4) for n in shape)
    for coarse in (
        np.full(small, 4),
        rng.integers(0, 3, small),
        rng.dirichlet(np.ones(3), small).transpose(2, 0, 1),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RefinementWarning)
            labels = refined(image, coarse, scale=2, passes=2, backend=backend)
        assert labels.shape == shape
        allowed = coarse if coarse.ndim == 2 else range(3)
        assert set(np.unique(labels)) <= set(np.unique(allowed))


@either_way
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("channels", [1, 4, 16])
def test_any_number_of_channels(refined, channels, dtype):
    truth = OBJECTS["arms"]
    grey = textured(truth).astype(float).mean(axis=-1) / 255
    image = np.clip(np.stack([grey + 0.01 * k for k in range(channels)], axis=-1), 0, 1)
    if dtype.startswith("uint"):
        image = image * np.iinfo(dtype).max
    coarse = reduced(truth, 8)
    labels, found = refined(image.astype(dtype), coarse, alpha=False, return_probabilities=True)
    assert set(np.unique(labels)) == {0, 1}
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-4)
    if refined is refine:  # the plain walker promises no gain
        assert (scores(labels, truth) > scores(nearest(grey, coarse), truth)).all()


def test_without_passes_the_unsure_are_the_walkers():
    """No round looks at them, so no evidence may weigh on them."""
    planes = np.full((3, 8, 8), 0.05, np.float32)
    planes[0] = 0.9
    planes[:, 2:6, 2:6] = np.array([0.05, 0.9, 0.05])[:, np.newaxis, np.newaxis]
    image = np.full((64, 64), 0.5)
    found, plain_walker = (refine(image, planes, passes=0, unsure=0.5, **options)
                           for options in ({}, {"gamma": 0.0}))  # fmt: skip
    np.testing.assert_array_equal(found, plain_walker)


def test_a_tiny_bright_object_leaves_models_finite():
    """Deviations from the mean are hundreds of times the picture's."""
    image = np.random.default_rng(3).normal(0.0, 1e-3, (400, 400, 3))
    image[200:206, 200:206] += 5.0
    truth = image[..., 0] > 1
    coarse = truth.reshape(100, 4, 100, 4).mean((1, 3)) > 0.5
    labels, report = refine(image, coarse, return_report=True)
    assert (labels != truth).sum() <= 36
    assert np.isfinite(report.error_estimate)
