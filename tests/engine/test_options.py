"""Every option reaches the engine from every interface, and has its effect."""

import inspect

import numpy as np
import pytest
import two_roads
from three_classes import COARSE, HOLES, IMAGE, PLANES, RAMP, RGBA

from hdseg_gpu import InvalidInput, refine, refine_file

pytestmark = pytest.mark.filterwarnings("ignore::hdseg_gpu.RefinementWarning")

# option -> two values with different labels, and what else is asked for
MATTERS = {
    "method": ("evidence", "published", {}),
    "scale": (None, 8.0, {}),
    "passes": (None, 2, {}),
    "elements": ("3x3", "9x9", {"gamma": 0.0, "passes": 4}),
    "unsure": (0.0, 0.3, {"coarse": PLANES}),
    "prune": (True, False, {"gamma": 0.0, "passes": 5}),
    "boundary": (RAMP, 1 - RAMP, {"edges": "boundary", "gamma": 0.1, "beta": 2.0}),
    "beta": (None, 1.0, {"gamma": 0.1}),
    "gamma": (None, 0.2, {}),
    "interpolation": ("cubic", "nearest", {}),
    "majority": (1, 3, {}),
    "ignore_index": (False, 9, {"coarse": HOLES}),
    "alpha": (True, False, {"image": RGBA}),
}
# Labels do not depend on them, but what cannot be used is refused by its name.
REFUSED = {
    "backend": "nowhere", "solver": "nobody", "tol": -1.0, "max_device_memory": -5,
    "class_axis": 7, "channel_axis": 7, "method": "none", "edges": "rough", "majority": 2,
    "boundary": np.zeros((3, 3)), "alpha": "maybe",
}  # fmt: skip
OF_MEMORY = {"progress", "return_probabilities", "return_report"}
OF_FILES = {
    "output", "key", "image_key", "level", "trust_vrt", "tile", "workers", "max_memory", "sigma",
    "scheduler", "address", "worker_timeout", "on_error", "resume", "overwrite", "progress",
}  # fmt: skip


def in_memory(_folder, image, coarse, **options):
    return refine(image, coarse, **options)


def by_file(folder, image, coarse, **options):
    refine_file(image, coarse, folder / "labels.npy", tile=2048, overwrite=True, **options)
    return np.load(folder / "labels.npy")


def at_once(folder, image, coarse, **options):
    refine_file(image, coarse, folder / "labels.npy", overwrite=True, **options)
    return np.load(folder / "labels.npy")


def lazily(_folder, image, coarse, **options):
    array = pytest.importorskip("dask.array")
    lazy = refine(array.from_array(image, chunks=64), coarse, **options)
    return lazy.compute(scheduler="synchronous")


def test_no_option_is_left_out():
    known = {"image", "coarse"} | set(MATTERS) | set(REFUSED)
    assert set(inspect.signature(refine).parameters) == known | OF_MEMORY
    assert set(inspect.signature(refine_file).parameters) == known | OF_FILES


@pytest.mark.parametrize("option", MATTERS)
def test_options_change_the_labels(option, tmp_path):
    first, second, more = MATTERS[option]
    given = {"image": IMAGE, "coarse": COARSE} | more
    before, after = (refine(**given, **{option: value}) for value in (first, second))
    assert (before != after).any()
    for way in (by_file, at_once, lazily):
        for value, expected in ((first, before), (second, after)):
            found = way(tmp_path, **given, **{option: value})
            np.testing.assert_array_equal(found, expected, err_msg=f"{way.__name__}: {value}")


@pytest.mark.parametrize("way", [in_memory, by_file, lazily])
@pytest.mark.parametrize("option", REFUSED)
def test_options_are_refused_by_their_names(option, way, tmp_path):
    with pytest.raises(InvalidInput, match=option):
        way(tmp_path, IMAGE, COARSE, **{option: REFUSED[option]})


@pytest.mark.parametrize("way", [in_memory, by_file, lazily])
@pytest.mark.parametrize("axis", [1, 2, -1])
def test_the_axis_of_the_classes(axis, way, tmp_path):
    found = way(tmp_path, IMAGE, np.moveaxis(PLANES, 0, axis), class_axis=axis)
    np.testing.assert_array_equal(found, refine(IMAGE, PLANES))


def test_lazy_labels_have_the_type_that_they_say():
    """Three classes fit into a byte, which 300 rows would not."""
    array = pytest.importorskip("dask.array")
    planes = np.random.default_rng(71).dirichlet(np.ones(3), (300, 30)).astype(np.float32)
    image = np.zeros((600, 60), np.uint8)
    labels = refine(array.from_array(image), planes, class_axis=2, passes=2)
    found = labels.compute(scheduler="synchronous")
    assert labels.dtype == found.dtype == np.uint8
    assert labels.shape == found.shape == image.shape


@pytest.mark.parametrize("axis", [1, 2, -1])
def test_probabilities_come_back_on_the_axis_they_came_on(axis):
    moved = np.moveaxis(PLANES, 0, axis)
    _, found = refine(IMAGE, moved, class_axis=axis, return_probabilities=True)
    _, expected = refine(IMAGE, PLANES, return_probabilities=True)
    np.testing.assert_array_equal(found, np.moveaxis(expected, 0, axis))


@pytest.mark.parametrize("way", [in_memory, by_file, lazily])
def test_the_axis_of_the_classes_cannot_be_guessed(way, tmp_path):
    """Three planes of three rows: only the option says which is which."""
    cube = np.random.default_rng(77).dirichlet(np.ones(3), (3, 3)).astype(np.float32)
    image = IMAGE[:90, :90]
    planes = np.moveaxis(cube, -1, 0)
    for axis, same in ((0, planes), (1, planes.transpose(1, 0, 2)), (2, cube)):
        found = way(tmp_path, image, same, class_axis=axis, passes=4)
        np.testing.assert_array_equal(found, refine(image, planes, passes=4))


def test_solver_and_tolerance_are_those_asked_for():
    for solver in ("multigrid", "direct", "cg", "amg"):
        assert refine(IMAGE, COARSE, solver=solver, return_report=True)[1].solver == solver
    errors = [
        refine(IMAGE, COARSE, solver="multigrid", tol=tol, return_report=True)[1].error_estimate
        for tol in (1e-2, 1e-4, 1e-6)
    ]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 2e-6 < errors[1] < 2e-4 < errors[0] < 2e-2


@pytest.mark.parametrize("axis", [0, 1, -3, 2])
@pytest.mark.parametrize("road", [in_memory, by_file, at_once, lazily])
def test_the_axis_of_the_channels(road, axis, tmp_path):
    moved = np.moveaxis(IMAGE, 2, axis)
    expected = refine(IMAGE, COARSE)
    found = road(tmp_path, moved, COARSE, channel_axis=axis)
    np.testing.assert_array_equal(found, expected)
    if road in (by_file, at_once):
        np.save(tmp_path / "image.npy", moved)
        np.savez_compressed(tmp_path / "image.npz", moved)
        np.save(tmp_path / "turned.npy", np.asfortranarray(moved))
        for name in ("image.npy", "image.npz", "turned.npy"):
            found = road(tmp_path, tmp_path / name, COARSE, channel_axis=axis)
            np.testing.assert_array_equal(found, expected)


def test_sigma_as_given_is_used(tmp_path):
    """beta / sigma is all that the edge weights know of either."""
    given = refine_file(IMAGE, COARSE, tmp_path / "a.npy", sigma=0.5, gamma=0.1)
    _, whole = refine(IMAGE, COARSE, return_report=True)
    assert given.sigma == 0.5 > whole.sigma
    same = refine(IMAGE, COARSE, gamma=0.1, beta=1000.0 * whole.sigma / 0.5)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), same)
    assert (same != refine(IMAGE, COARSE, gamma=0.1)).any()


# ---- sigma of large pictures ---------------------------------------------------------------------


@pytest.mark.parametrize("road", two_roads.ROADS)
@pytest.mark.parametrize(
    ("dtype", "channels", "unit"),
    [("uint8", 3, 255), ("uint16", 2, 65535), ("float32", 1, 1), ("float64", 5, 1)],
)
def test_sigma_is_the_deviation_of_the_whole_picture(dtype, channels, unit, road, tmp_path):
    """More than one block, all with means of their own, in channels with means of their own."""
    shape = (2050, 2200)
    rng = np.random.default_rng(19)
    image = rng.integers(0, 60, (*shape, channels)).astype(np.float32)
    image += 30 * np.arange(channels) + np.linspace(0, 40, shape[1])[:, np.newaxis]
    image[2048:] += 20
    image = (image * (257 if dtype == "uint16" else 1)).astype(dtype)
    coarse = np.zeros((103, 110), np.uint8)
    coarse[:9, :9] = 1
    options = {"alpha": False, "passes": 1, "gamma": 0.0, "prune": False}
    _, report = road(tmp_path, image, coarse, **options)
    assert report.sigma == pytest.approx((image.astype(np.float64) / unit).std(), rel=1e-12)
