"""method="published" rebuilt from its parts; its options one by one."""

import numpy as np
import pytest
from gallery import blobs, photograph, reduced
from plain import plain
from scipy.ndimage import binary_dilation, grey_opening, median_filter, zoom
from skimage_walker import bilinear, dense_walker

from hdseg_gpu import RefinementWarning, refine, seeds

SHAPE = (45, 61)
SCALE = 4.0


def scene(classes=2, shape=SHAPE):
    truth = blobs(shape, classes)
    return photograph(truth), reduced(truth, SCALE)


def pruned(marked, length):
    """Return seeds without spurs, by SciPy."""
    found = marked.copy()
    for k in np.unique(marked[marked > 0]):
        own = marked == k
        thick = grey_opening(own.astype(np.uint8), size=(3, 3), mode="nearest") > 0
        side = 2 * length + 1
        found[own & ~thick & binary_dilation(thick, np.ones((side, side)))] = 0
    return found


def smoothed(labels, band, size):
    """Return labels, their majority filter in the band: of two, the median."""
    return np.where(band, median_filter(labels, size, mode="nearest"), labels)


@pytest.mark.parametrize("edges", ["intensity", "boundary"])
@pytest.mark.parametrize("kind", ["labels", "probabilities"])
def test_is_the_composition_of_its_parts(kind, edges, rng):
    image, coarse = scene()
    boundary = rng.random(SHAPE) if edges == "boundary" else None
    if kind == "probabilities":
        second = np.clip(coarse + rng.normal(0, 0.3, coarse.shape), 0, 1).astype(np.float32)
        coarse = np.stack([1 - second, second])
    options = {"scale": 1.2, "boundary": boundary, "method": "published"}
    labels, found, report = refine(
        image, coarse, return_probabilities=True, return_report=True, **options
    )
    passes = round(8 * 1.2)
    start = plain(image, coarse, passes=0)
    marked = pruned(seeds(start, passes=passes, elements="9x9"), 2 * passes)
    if kind == "probabilities":
        planes = np.sort(bilinear(coarse, SHAPE), axis=0)
        unsure = planes[-1] - planes[-2] <= 0.03
        assert (marked[unsure] > 0).any()
        marked[unsure] = 0
    walked = dense_walker(image, marked, None, boundary=boundary, beta=130.0, gamma=0.0)
    np.testing.assert_allclose(found, walked, atol=2e-5)
    band = marked == 0
    np.testing.assert_array_equal(
        labels, smoothed(walked.argmax(axis=0).astype(np.uint8), band, 7), strict=True
    )
    assert (report.method, report.passes, report.edges) == ("published", passes, edges)
    assert (report.beta, report.gamma, report.solver) == (130.0, 0.0, "direct")
    assert (report.prune, report.majority) == (True, 7)
    assert report.unsure == (0.03 if kind == "probabilities" else 0.0)
    assert report.interpolation == ("linear" if kind == "probabilities" else "nearest")
    assert report.unknown_pixels == band.sum()


def test_what_is_given_is_final():
    image, coarse = scene(3)
    given = {
        "elements": "3x3", "passes": 3, "beta": 900.0, "gamma": 0.2, "interpolation": "linear",
        "solver": "multigrid", "prune": False, "majority": 1, "edges": "intensity",
    }  # fmt: skip
    ours, theirs = (
        refine(image, coarse, method=m, return_report=True, return_probabilities=True, **given)
        for m in ("evidence", "published")
    )
    np.testing.assert_array_equal(ours[0], theirs[0])
    np.testing.assert_array_equal(ours[1], theirs[1])
    assert theirs[2].passes == 3
    assert (theirs[2].beta, theirs[2].majority, theirs[2].prune) == (900.0, 1, False)
    options = {"passes": 8, "beta": 130, "prune": True, "majority": 7, "solver": "direct"}
    np.testing.assert_array_equal(
        plain(image, coarse, **options), refine(image, coarse, method="published", passes=8)
    )


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_options_work_alike_on_every_backend(backend, rng):
    image, coarse = scene(4)
    planes = rng.dirichlet(np.ones(4), coarse.shape).transpose(2, 0, 1) * 0.3
    planes += 0.7 * np.stack([coarse == k for k in range(4)])
    options = {"unsure": 0.2, "prune": True, "majority": 5, "solver": "direct", "passes": 4}
    expected, report = refine(image, planes, return_report=True, **options)
    np.testing.assert_array_equal(refine(image, planes, backend=backend, **options), expected)
    assert (report.unsure, report.prune, report.majority) == (0.2, True, 5)


def test_unsure_pixels_are_unknown_beyond_one_block():
    _, coarse = scene(3)
    shape = tuple(15 * n for n in SHAPE)
    planes = zoom(np.stack([coarse == k for k in range(3)]).astype(float), (1, 3, 3), order=1)
    planes /= planes.sum(axis=0)
    image = np.zeros(shape, np.uint8)
    counts = [
        refine(image, planes, passes=0, unsure=t, beta=0, return_report=True)[1].unknown_pixels
        for t in (0, 0.05, 0.5)
    ]
    two = np.sort(bilinear(planes, shape), axis=0)[-2:]
    for t, count in zip((0.05, 0.5), counts[1:], strict=True):
        near = [(two[1] - two[0] <= t + d).sum() for d in (-1e-6, 1e-6)]
        assert near[0] <= count <= near[1]
    assert counts[0] == 0 < counts[1] < counts[2]


def test_unsure_has_no_effect_on_labels_and_says_so():
    image, coarse = scene()
    with pytest.warns(RefinementWarning, match=r"unsure=0\.2 has no effect"):
        labels, report = refine(image, coarse, unsure=0.2, return_report=True)
    np.testing.assert_array_equal(labels, refine(image, coarse))
    assert report.unsure == 0
    refine(image, coarse, unsure=0.0)  # without a warning
    refine(image, coarse, method="published", passes=3)


def test_thin_structures_keep_their_seeds():
    """A thread stays connected; what hangs on a thick region is decided by the picture."""
    truth = np.zeros((120, 200), np.uint8)
    truth[20:100, 20:80] = 1
    truth[60, 80:90] = 1  # a hair
    truth[10:110, 150:153] = 1  # a thread
    image = np.where(truth == 1, 200, 50).astype(np.uint8)
    image[60, 80:90] = 50  # the hair is not in the image
    options = {"passes": 6, "solver": "direct"}
    kept, gone = (plain(image, truth, prune=p, **options) for p in (False, True))
    assert (kept[60, 84:88] == 1).all()
    assert (gone[60, 84:88] == 0).all()
    np.testing.assert_array_equal(gone[:, 120:], truth[:, 120:])


def test_the_filter_touches_the_band_alone(rng):
    image, coarse = scene(3)
    image = np.clip(image + rng.normal(0, 40, image.shape), 0, 255).astype(np.uint8)
    rough, planes, report = plain(
        image, coarse, passes=4, return_probabilities=True, return_report=True
    )
    smooth, same, filtered = plain(
        image, coarse, passes=4, majority=9, return_probabilities=True, return_report=True
    )
    band = seeds(plain(image, coarse, passes=0), passes=4) == 0
    assert (rough != smooth)[band].any()
    assert not (rough != smooth)[~band].any()
    np.testing.assert_array_equal(planes, same)
    assert filtered.uncertified_pixels == report.uncertified_pixels
    changes = [(np.diff(labels, axis=1) != 0).sum() for labels in (rough, smooth)]
    assert changes[1] < changes[0]


def test_an_object_that_is_unsure_as_a_whole_keeps_the_coarse_answer():
    planes = np.zeros((2, 24, 24), np.float32)
    planes[1, 3:9, 3:9] = 1.0  # a sure object, and one that is hardly more than background
    planes[1, 15:19, 15:19] = 0.51
    planes[0] = 1 - planes[1]
    image = np.full((96, 96), 0.5)
    labels = refine(image, planes, method="published", passes=2, majority=1)
    assert labels[17 * 4, 17 * 4] == labels[6 * 4, 6 * 4] == 1
    assert labels[0, 0] == labels[60, 20] == 0
