"""Ignored pixels keep their label, and others are refined as if they were outside the image."""

import numpy as np
import pytest
from gallery import blobs, photograph, reduced
from hypothesis import given
from hypothesis import strategies as st
from plain import either_way, plain

from hdseg_gpu import RefinementWarning, refine, refine_file
from hdseg_gpu.core.params import Coarse
from hdseg_gpu.ops import EVERYWHERE, Places, by_run
from hdseg_gpu.pipeline.ignored import continued

SHAPE = (90, 120)


def scene(classes=3):
    truth = blobs(SHAPE, classes)
    return photograph(truth), reduced(truth, 5)


def enlarged(coarse, shape=SHAPE):
    rows, columns = (
        (2 * np.arange(n) + 1) * m // (2 * n) for n, m in zip(shape, coarse.shape, strict=True)
    )
    return coarse[rows][:, columns]


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("how", ["nearest", "linear"])
@pytest.mark.parametrize("gamma", [0.0, 0.5])
@pytest.mark.parametrize("label", [255, 7, 1])
@either_way
def test_ignored_pixels_pass_through(refined, label, gamma, how, backend, rng):
    image, coarse = scene()
    coarse[rng.random(coarse.shape) < 0.1] = label
    labels, found, report = refined(
        image, coarse, ignore_index=label, gamma=gamma, interpolation=how, majority=5, prune=True,
        passes=3, backend=backend, return_probabilities=True, return_report=True,
    )  # fmt: skip
    walls = enlarged(coarse) == label
    assert labels.dtype == coarse.dtype
    np.testing.assert_array_equal(labels == label, walls)
    others = tuple(sorted(set(np.unique(coarse).tolist()) - {label}))
    assert (report.labels, report.ignore_index) == (others, label)
    assert found.shape == (len(others), *SHAPE)
    assert found[:, walls].max() == 0
    np.testing.assert_allclose(found[:, ~walls].sum(axis=0), 1, atol=2e-4)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("solver", ["multigrid", "direct"])
def test_an_ignored_margin_is_the_pictures_border(backend, solver):
    """A picture with ignored rows and columns beside it gives what it gives by itself."""
    image, curved = scene()
    straight = np.zeros_like(curved)
    straight[:, 9:] = 1
    straight[10:, 15:] = 2
    noise = np.random.default_rng(7).integers(0, 256, (90 + 35, 120 + 35, 3)).astype(np.uint8)
    noise[20:110, 10:130] = image
    # beta cancels sigma, which is that of the whole image
    betas = [500.0 * (picture / 255).std() for picture in (image, noise)]
    options = {"backend": backend, "solver": solver, "passes": 5, "return_probabilities": True}
    for coarse in (straight, curved):
        wide = np.pad(coarse, ((4, 3), (2, 5)), constant_values=255)
        expected = plain(image, coarse, beta=betas[0], tol=1e-5, **options)
        labels, found = plain(noise, wide, beta=betas[1], tol=1e-5, ignore_index=255, **options)
        inside = found[:, 20:110, 10:130]
        if coarse is straight:
            np.testing.assert_array_equal(labels[20:110, 10:130], expected[0])
            np.testing.assert_allclose(inside, expected[1], atol=3e-5)
        # Where a boundary meets the margin at an angle, thinning in the margin bends it slightly.
        assert (np.abs(inside - expected[1]).max(axis=0) > 0.01).mean() < 0.02


@either_way
def test_nothing_changes_far_away(refined, rng):
    image, coarse = scene()
    other = coarse.copy()
    other[:4, :4] = 255
    options = {"passes": 3, "return_probabilities": True, "beta": 3000.0}
    _, expected = refined(image, coarse, **options)
    _, found = refined(image, other, ignore_index=255, **options)
    np.testing.assert_allclose(found[:, 60:, 60:], expected[:, 60:, 60:], atol=1e-3)


@pytest.mark.parametrize(
    ("values", "dtype", "ignored"),
    [
        ([0, 1, 255], np.uint8, True),
        ([1, 255], np.uint8, True),
        ([0, 3, 255], np.int64, True),
        ([0, 255], np.uint8, False),  # a mask
        ([255], np.uint8, False),
        ([0, 1, 255, 256], np.int32, False),  # a number among others
        ([0, 1, 254], np.uint8, False),
    ],
)
@pytest.mark.filterwarnings("ignore:The coarse map has only one class:hdseg_gpu.RefinementWarning")
@either_way
def test_255_is_assumed_and_said_so(refined, values, dtype, ignored):
    image, coarse = scene(len(values))
    coarse = np.array(values, dtype)[coarse]
    arguments = {"passes": 2, "return_report": True}
    if ignored:
        with pytest.warns(RefinementWarning, match=r"label 255 is ignored.*ignore_index=False"):
            labels, report = refined(image, coarse, **arguments)
        np.testing.assert_array_equal(
            labels, refined(image, coarse, ignore_index=255, **arguments)[0]
        )
        assert (report.ignore_index, 255 in report.labels) == (255, False)
    else:
        labels, report = refined(image, coarse, **arguments)
    for off in (False, -1):
        plain, taken = refined(image, coarse, ignore_index=off, **arguments)
        assert taken.ignore_index is None
        assert taken.labels == tuple(sorted(set(values)))
        assert ignored or (plain == labels).all()


def test_an_island_without_seeds_keeps_its_class():
    """Walls around a square too small for seeds: no class could ever reach it."""
    coarse = np.zeros((20, 20), np.uint8)
    coarse[8:13, 8:13] = 9
    coarse[9:12, 9:12] = 1
    coarse[10, 10] = 2
    image = np.full((100, 100), 0.5)
    image[:50] = 0.2
    centre = np.zeros((1, 3, 3), np.int8)
    centre[0, 1, 1:] = [1, -1]  # a pixel goes that has another label on its right
    labels, found = plain(
        image, coarse, ignore_index=9, elements=centre, passes=40, return_probabilities=True
    )
    np.testing.assert_array_equal(labels, enlarged(coarse, (100, 100)))
    assert found[1, 47, 47] == found[2, 52, 52] == 1


def test_nothing_but_the_ignored_label(rng):
    from hdseg_gpu import InvalidInput

    with pytest.raises(InvalidInput, match=r"Every pixel of coarse equals ignore_index=4; pass"):
        refine(np.zeros((20, 20)), np.full((4, 4), 4), ignore_index=4)
    planes = rng.dirichlet(np.ones(3), (4, 4)).transpose(2, 0, 1)
    with pytest.warns(RefinementWarning, match="ignore_index=3 has no effect"):
        refine(np.zeros((20, 20)), planes, ignore_index=3, passes=0)


@pytest.mark.parametrize("label", [-1, 7, 2**31, 2**63, 2**64, 2**70, -(2**70)])
@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint16, np.int64, np.uint64])
def test_a_label_that_is_not_there(dtype, label):
    coarse = np.eye(6).astype(dtype)
    image = np.random.default_rng(5).random((24, 24))
    np.testing.assert_array_equal(
        refine(image, coarse, ignore_index=label), refine(image, coarse, ignore_index=False)
    )


@either_way
def test_254_classes_and_a_wall_fit_into_bytes(refined):
    coarse = np.arange(256).repeat(4).reshape(32, 32)
    image = np.random.default_rng(3).random((96, 96))
    for labels in (coarse[:, :], np.minimum(coarse, 254), np.minimum(coarse, 253)):
        found = refined(image, labels, ignore_index=0, passes=1)
        np.testing.assert_array_equal(found == 0, enlarged(labels, (96, 96)) == 0)


def test_a_file_that_is_refined_at_once_has_the_labels_of_its_array(tmp_path, rng):
    """Classes beneath ignored pixels reach its seeds and evidence, too."""
    image, coarse = scene()
    coarse[rng.random(coarse.shape) < 0.3] = 255
    np.save(tmp_path / "coarse.npy", coarse)
    np.save(tmp_path / "image.npy", image)
    refine_file(
        tmp_path / "image.npy", tmp_path / "coarse.npy", tmp_path / "labels.npy", ignore_index=255
    )
    expected = refine(image, coarse, ignore_index=255)
    np.testing.assert_array_equal(np.load(tmp_path / "labels.npy"), expected)


@given(seed=st.integers(0, 2**32 - 1), share=st.sampled_from([0.1, 0.6, 0.95]))
def test_classes_go_on_by_the_nearest_in_city_blocks(seed, share):
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(1, 12, 2))
    classes = rng.integers(0, 9, shape).astype(np.uint8)
    ignored = rng.random(shape) < share
    ignored.flat[rng.integers(ignored.size)] = False
    found = continued(Coarse(np.arange(9), classes, None, ignored, 255)).classes
    np.testing.assert_array_equal(found[~ignored], classes[~ignored])
    seen = np.argwhere(~ignored)
    for y, x in np.argwhere(ignored):
        away = np.abs(seen - [y, x]).sum(axis=1)
        nearest = seen[away == away.min()]
        assert found[y, x] in classes[nearest[:, 0], nearest[:, 1]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_no_edge_leads_to_a_wall(ops, reference, dtype):
    """On every instruction set: the matrix is that of a picture cut at the walls."""
    rng = np.random.default_rng(101)
    seeds = rng.choice([0, 0, 0, 1, 2, np.iinfo(dtype).max], (31, 67)).astype(dtype)
    image = rng.random((31, 67, 3))
    band = ops.band(seeds)
    labels = np.ones((band.pixel.size, 1), dtype)
    arguments = (image, "intensity", 3.0, seeds, labels, by_run(band), 0.25)
    edges, flux = ops.assemble(band, *arguments)
    exact, expected = reference.assemble(band, *arguments)
    np.testing.assert_allclose(ops.body(flux), expected, atol=1e-5)
    np.testing.assert_allclose(
        ops.matrix_row_sums(edges), reference.matrix_row_sums(exact), atol=1e-5
    )
    seeded = seeds.copy()
    seeded[seeds > 2] = 3
    whole, _ = reference.assemble(band, image, "intensity", 3.0, seeded, labels, by_run(band), 0.25)
    to_walls = reference.assemble(
        band, image, "intensity", 3.0, seeded, np.full_like(labels, 3), by_run(band), 0.25
    )[1]
    np.testing.assert_allclose(
        reference.matrix_row_sums(exact), reference.matrix_row_sums(whole) - to_walls[0], atol=1e-12
    )
    places = Places(ops.components(band), EVERYWHERE)
    found = ops.labels_at(band, seeds, places, None)
    np.testing.assert_array_equal(found, reference.labels_at(band, seeds, places, None))
    place, label = reference.labels_at(band, seeded, places, None)
    np.testing.assert_array_equal(found, [place[label < 3], label[label < 3]])
