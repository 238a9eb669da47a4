"""refine_file() tile by tile gives the same labels as refine() in memory."""

import numpy as np
import pytest
import tifffile
from engine_internals import params
from large_scenes import SHAPE, scene

import hdseg_gpu
from hdseg_gpu import InvalidInput, RefinementWarning, refine, refine_file
from hdseg_gpu.core.memory import budget_of
from hdseg_gpu.engine import budget as memory
from hdseg_gpu.engine import solve_tile, steps

pytestmark = pytest.mark.filterwarnings("ignore::hdseg_gpu.RefinementWarning")


def both(tmp_path, image, coarse, tile=2048, workers=2, **options):
    """Return labels and reports of refine() and refine_file()."""
    expected, whole = refine(image, coarse, return_report=True, **options)
    report = refine_file(
        image, coarse, tmp_path / "out.npy", tile=tile, workers=workers, max_memory=2**33, **options
    )
    return expected, whole, np.load(tmp_path / "out.npy"), report


KINDS = ["labels", "smooth", "probabilities", "ignore", "instances", "uint16", "float"]


@pytest.mark.parametrize("kind", KINDS)
def test_tiles_make_no_difference(tmp_path, kind):
    image, coarse, _ = scene(kind)
    expected, whole, found, report = both(tmp_path, image, coarse)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    assert (report.tiles, report.decided_tiles) == (4, 4)
    for name in ("sigma", "doubt", "passes", "unknown_pixels", "uncertified_pixels", "labels"):
        assert getattr(report, name) == getattr(whole, name), name


@pytest.mark.parametrize("tile", [2048, 4096, 6144])
@pytest.mark.parametrize("workers", [1, 2])
def test_neither_do_their_size_and_the_workers(tmp_path, tile, workers):
    shape = (4160, 2304)
    image, coarse, _ = scene(shape=shape, seed=7)
    expected, _, found, _ = both(tmp_path, image, coarse, tile, workers)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", ["labels", "probabilities"])
def test_redrawn_classes_are_those_of_the_whole_picture(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(steps, "doubt_of", lambda *_: 0.6)
    monkeypatch.setattr(steps, "MOST_DETAIL", 9.0)
    image, coarse, _ = scene(kind)
    expected, whole, found, report = both(tmp_path, image, coarse)
    assert report.doubt == whole.doubt == 0.6
    np.testing.assert_array_equal(found, expected)


def close_to_undecided(image, coarse, tol, **options):
    """Return where two potentials are so close that errors within tol may change the label."""
    _, p = refine(image, coarse, return_probabilities=True, majority=1, **options)
    best = np.sort(p, axis=0)
    return best[-1] - best[-2] < 3 * tol


@pytest.mark.parametrize(
    "options",
    [
        {"gamma": 0.0, "passes": 12, "solver": "multigrid"},
        {"gamma": 0.03, "passes": 20},
        {"method": "published", "passes": 16, "solver": "multigrid"},
    ],
    ids=["no evidence", "little evidence", "published"],
)
def test_walkers_that_go_far(tmp_path, options):
    """No halo is known beforehand; labels that could differ are counted as uncertified."""
    image, coarse, _ = scene("probabilities")
    expected, _, found, report = both(tmp_path, image, coarse, **options)
    differs = found != expected
    assert np.count_nonzero(differs) <= report.uncertified_pixels < 2000
    if options.get("method") != "published":  # without the final filter
        assert not (differs & ~close_to_undecided(image, coarse, 1e-4, **options)).any()


def test_a_wide_blob_gets_a_larger_window(tmp_path, monkeypatch):
    """Along a band of 300 pixels many a walker leaves at the ends of the first window."""
    image, coarse, _ = scene(shape=(704, 4352), seed=11)
    coarse[:] = 0
    coarse[: len(coarse) // 2] = 1
    options = {"gamma": 0.0, "passes": 150, "beta": 20.0}
    halos = []
    within = solve_tile._within
    monkeypatch.setattr(
        solve_tile, "_within", lambda *given: halos.append(given[3]) or within(*given)
    )
    expected, _, found, report = both(tmp_path, image, coarse, **options)
    assert report.unknown_pixels > 290 * 4352
    assert max(halos) > min(halos)
    assert np.count_nonzero(found != expected) <= report.uncertified_pixels < 2000


def test_a_boundary_map(tmp_path):
    image, coarse, truth = scene()
    boundary = np.zeros(SHAPE, np.float32)
    boundary[:, 1:] = truth[:, 1:] != truth[:, :-1]
    expected, _, found, _ = both(tmp_path, image, coarse, edges="boundary", boundary=boundary)
    np.testing.assert_array_equal(found, expected)


def test_sigma_as_given(tmp_path):
    """Then the image is not read as a whole, and labels differ only where it is undecided."""
    image, coarse, _ = scene(shape=(2296, 6144))
    coarse[:, 200:] = 0  # most of it has no boundary
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, image, tile=(256, 256))
    _, whole = refine(image, coarse, return_report=True)
    report = refine_file(path, coarse, tmp_path / "a.npy", sigma=whole.sigma, tile=2048)
    full = refine_file(path, coarse, tmp_path / "b.npy", tile=2048)
    assert report.sigma == whole.sigma
    assert report.bytes_read < full.bytes_read - image.nbytes / 3
    a, b = np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy")
    assert np.count_nonzero(a != b) < 1e-4 * report.unknown_pixels


def test_tiles_without_boundary_are_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(steps, "MOST_DETAIL", 0.0)  # nor is the doubt measured
    image, coarse = np.tile(scene(shape=(2048, 2048))[0], (1, 6, 1)), np.ones((256, 1536), np.uint8)
    coarse[:, :100] = 0
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, image, tile=(256, 256))
    report = refine_file(path, coarse, tmp_path / "a.npy", sigma=0.2, tile=2048)
    assert (report.tiles, report.decided_tiles) == (6, 1)
    assert report.bytes_read < image.nbytes / 2
    assert np.load(tmp_path / "a.npy")[:, 2048:].min() == 1


def test_one_class_needs_no_image(tmp_path):
    image = np.zeros((2100, 2200), np.uint8)
    report = refine_file(image, np.full((210, 220), 9, np.uint8), tmp_path / "a.npy", tile=2048)
    assert report.decided_tiles == 0
    assert (np.load(tmp_path / "a.npy") == 9).all()


def test_small_pictures_are_one_tile(tmp_path):
    image, coarse, _ = scene(shape=(96, 136))
    expected, _, found, report = both(tmp_path, image, coarse)
    assert report.tiles == 1
    np.testing.assert_array_equal(found, expected)


def test_the_reference_agrees(tmp_path):
    image, coarse, _ = scene(shape=(64, 80))
    refine_file(image, coarse, tmp_path / "r.npy", backend="reference", tile=2048)
    refine_file(image, coarse, tmp_path / "c.npy", backend="cpu", tile=2048)
    np.testing.assert_array_equal(np.load(tmp_path / "r.npy"), np.load(tmp_path / "c.npy"))


# ---- memory --------------------------------------------------------------------------------------


def test_too_little_memory_is_refused_with_numbers(tmp_path):
    image, coarse, _ = scene()
    with pytest.raises(InvalidInput, match=r"max_memory=1000000 .*used already.*allow \d+ MiB"):
        refine_file(image, coarse, tmp_path / "a.npy", max_memory=1e6)
    assert list(tmp_path.iterdir()) == []


def test_the_plan_fits_the_budget(monkeypatch):
    for module in (memory, hdseg_gpu.core.memory):
        monkeypatch.setattr(module, "resident", lambda: 100 << 20)
    options = params(passes=96, scale=8.0, prune=False, majority=1)
    need = memory.Need((10**5, 10**5), 3, 1, 1, options, doubtful=True)
    last = None
    for mib in (1500, 3000, 6000, 20000):
        plan = memory.planned(need, budget_of(mib << 20), 2, None)
        assert plan.workers <= 2
        assert plan.workers * need.of_tile(plan.tile) <= plan.budget <= mib << 20
        assert last is None or (plan.tile, plan.workers) >= last
        last = plan.tile, plan.workers
    dense = np.full((400, 400), 256**2, np.int64)
    assert memory.planned(need, budget_of(6000 << 20), 2, 2048).with_unknown(dense).workers == 2
    with pytest.raises(InvalidInput, match="MiB more"):
        memory.planned(need, budget_of(1200 << 20), 1, 2048).with_unknown(dense * 4)


# ---- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tile": 1000}, "tile=1000"),
        ({"tile": 3000}, "multiple of 2048"),
        ({"workers": 0}, "workers=0"),
        ({"on_error": "ignore"}, "on_error='ignore'"),
        ({"scheduler": "ray"}, "scheduler='ray'"),
        ({"scheduler": "dask"}, "address="),
        ({"address": "tcp://nowhere:1"}, "scheduler='dask'"),
        ({"sigma": -1.0}, "sigma=-1.0"),
        ({"max_memory": 0}, "max_memory=0"),
        ({"level": 3}, "level=3"),
        ({"boundary": np.zeros((3, 3))}, "boundary"),
    ],
)
def test_bad_options(tmp_path, options, said):
    image, coarse, _ = scene(shape=(64, 80))
    with pytest.raises(InvalidInput, match=said):
        refine_file(image, coarse, tmp_path / "a.npy", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["out.jpg", "out.txt", "no/out.tif"])
def test_bad_outputs(tmp_path, name):
    image, coarse, _ = scene(shape=(64, 80))
    with pytest.raises(InvalidInput, match="output"):
        refine_file(image, coarse, tmp_path / name)


@pytest.mark.filterwarnings("default::hdseg_gpu.RefinementWarning")
def test_notes_are_warnings_and_in_the_report(tmp_path):
    image, coarse, _ = scene(shape=(64, 80))
    rgba = np.dstack([image, image[..., :1]])
    with pytest.warns(RefinementWarning, match="alpha"):
        report = refine_file(rgba, coarse, tmp_path / "a.npy")
    assert any("alpha" in note for note in report.notes)


def test_progress(tmp_path):
    image, coarse, _ = scene()
    seen = []
    refine_file(image, coarse, tmp_path / "a.npy", tile=2048, progress=seen.append)
    assert {p.phase for p in seen} >= {"statistics", "tiles"}
    last = seen[-1]
    assert (last.done, last.tiles) == (4, 4)
    assert last.pixels_per_second > 0 < last.memory
    assert "4 of 4 tiles" in str(last)
    for phase in {p.phase for p in seen}:
        done = [p.done for p in seen if p.phase == phase]
        assert done == sorted(done)


# ---- arrays of others ----------------------------------------------------------------------------


def test_dask_arrays_are_lazy():
    array = pytest.importorskip("dask.array")
    image, coarse, _ = scene(shape=(2296, 2600))
    touched = []

    def block(part):
        touched.append(part.shape)
        return part

    lazy = array.from_array(image, chunks=(900, 700, 3)).map_blocks(block, dtype=image.dtype)
    labels = refine(lazy, coarse)
    touched.clear()  # what Dask itself tries
    assert labels.shape == image.shape[:2]
    assert labels.dtype == coarse.dtype
    assert not touched
    expected = refine(image, coarse)
    np.testing.assert_array_equal(labels.compute(scheduler="synchronous"), expected)
    assert touched
    np.testing.assert_array_equal(labels[2100:2200, 30:50].compute(), expected[2100:2200, 30:50])
    with pytest.raises(InvalidInput, match="return_report"):
        refine(lazy, coarse, return_report=True)


def test_zarr_arrays(tmp_path):
    zarr = pytest.importorskip("zarr")
    image, coarse, _ = scene(shape=(640, 800))
    array = zarr.create_array(tmp_path / "i.zarr", shape=image.shape, chunks=(256, 256, 3),
                              dtype="uint8")  # fmt: skip
    array[:] = image
    expected = refine(image, coarse)
    for source, output in ((array, "a.npy"), (tmp_path / "i.zarr", "b.npy")):
        refine_file(source, coarse, tmp_path / output)
        np.testing.assert_array_equal(np.load(tmp_path / output), expected)
