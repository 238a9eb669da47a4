"""A run is only resumed with the settings and inputs it began with: field by field."""

import numpy as np
import pytest
import two_roads
from engine_internals import constants, set_seconds, small_world
from three_classes import COARSE, HOLES, IMAGE, PLANES, RAMP, RGBA

from hdseg_gpu import InvalidInput, refine, refine_file

pytestmark = pytest.mark.filterwarnings("ignore::hdseg_gpu.RefinementWarning")

LABELS = {
    "image": IMAGE, "coarse": HOLES, "method": "evidence", "scale": 4.0, "passes": 9,
    "elements": "3x3", "prune": True, "edges": "boundary", "boundary": RAMP, "beta": 500.0,
    "gamma": 0.9, "interpolation": "cubic", "majority": 3, "ignore_index": 9, "solver": "multigrid",
    "tol": 1e-4, "tile": 2048, "sigma": 0.2, "on_error": "skip",
}  # fmt: skip
PROBABILITIES = {"image": RGBA, "coarse": PLANES, "unsure": 0.1, "alpha": False}
FEWER = {name: value for name, value in LABELS.items() if name not in ("edges", "boundary")}


def other(array, value):
    """Return an array that differs in one place."""
    changed = array.copy()
    changed[(0,) * array.ndim] = value
    return changed


LOWEST = np.zeros(HOLES.shape, bool)  # one pixel, whose class is the first of all
LOWEST.flat[np.flatnonzero(HOLES.min() == HOLES)[0]] = True
CHANGES = {
    "image": {"image": other(IMAGE, 1)},
    "coarse": {"coarse": other(HOLES, 2 if HOLES[0, 0] != 2 else 1)},
    "coarse, ignored": {"coarse": np.where(LOWEST, 9, HOLES)},
    "coarse, labels": {"coarse": np.where(HOLES == 2, 7, HOLES).astype(np.uint8)},
    "coarse, type": {"coarse": HOLES.view(np.int8)},
    "ignore_index": {"ignore_index": False},
    "ignored label": {"coarse": np.where(HOLES == 9, 8, HOLES), "ignore_index": 8},
    "boundary": {"boundary": other(RAMP, 0.7)},
    "method": {"method": "published"},
    "scale": {"scale": 5.0},
    "passes": {"passes": 10},
    "elements": {"elements": "9x9"},
    "prune": {"prune": False},
    "beta": {"beta": 501.0},
    "gamma": {"gamma": 0.8},
    "interpolation": {"interpolation": "linear"},
    "majority": {"majority": 5},
    "solver": {"solver": "direct"},
    "tol": {"tol": 2e-4},
    "tile": {"tile": 4096},
    "sigma": {"sigma": 0.21},
    "sigma as measured": {"sigma": None},
    "on_error": {"on_error": "fail"},
}


class Stop(Exception):
    """Raised in the middle of a run."""


def stop(now):
    if now.phase.startswith("seeds"):
        raise Stop


def begun(folder, given):
    """Leave an unfinished run for an output; return its path."""
    output = folder / "labels.npy"
    with pytest.raises(Stop):
        refine_file(**{"tile": 2048} | given, output=output, progress=stop)
    return output


@pytest.fixture(scope="module")
def labels_run(tmp_path_factory):
    return begun(tmp_path_factory.mktemp("labels"), LABELS)


def check_refused(given, output, match=r"cannot be resumed"):
    with pytest.raises(InvalidInput, match=match):
        refine_file(**given, output=output, resume=True)
    assert not output.exists()


def test_no_option_is_left_out():
    known = set(LABELS) | set(PROBABILITIES)
    updates = two_roads.options_of(refine) - two_roads.ONLY_IN_MEMORY
    assert updates - known == {"class_axis", "channel_axis", "backend", "max_device_memory"}
    assert set(LABELS) - {"image", "edges"} <= {name.partition(",")[0] for name in CHANGES} | {
        "coarse"
    }


@pytest.mark.parametrize("field", CHANGES)
def test_nothing_may_change(field, labels_run):
    check_refused(LABELS | CHANGES[field], labels_run)


def test_the_boundary_map_may_not_go(labels_run):
    check_refused(FEWER, labels_run)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("version", lambda _: "9.9.9", r"hdseg_gpu \S+ began it, and this is 9\.9\.9"),
     ("CUT_ERROR", 1e-7, "cannot be resumed")],
    ids=["version", "cut"],
)  # fmt: skip
def test_neither_may_the_program(name, value, said, labels_run, monkeypatch):
    constants(monkeypatch, **{name: value})
    check_refused(LABELS, labels_run, said)


def test_probabilities(tmp_path):
    output = begun(tmp_path, PROBABILITIES)
    check_refused(PROBABILITIES | {"unsure": 0.2}, output)
    check_refused(PROBABILITIES | {"alpha": True}, output)
    check_refused(PROBABILITIES | {"image": other(RGBA, 3)}, output)
    check_refused(PROBABILITIES | {"image": IMAGE}, output)
    moved = PLANES + np.eye(*PLANES.shape[1:], dtype=np.float32) * 1e-3
    check_refused(PROBABILITIES | {"coarse": moved}, output)
    refine_file(**PROBABILITIES, output=output, resume=True)
    np.testing.assert_array_equal(np.load(output), refine(**PROBABILITIES))


def test_what_labels_do_not_depend_on_may_change(tmp_path):
    given = {"image": IMAGE, "coarse": COARSE, "workers": 1, "on_error": "fail"}
    output = begun(tmp_path, given)
    more = {"workers": 2, "max_memory": 2**33, "on_error": "skip"}
    refine_file(**given | more, output=output, resume=True)
    np.testing.assert_array_equal(np.load(output), refine(IMAGE, COARSE))


# ---- what was done before counts ---------------------------------------------------------------

AT_THE_TIME = {"seconds", "bytes_read", "peak_memory"}


def test_a_resumed_run_tells_of_all_that_was_done(tmp_path, monkeypatch):
    """Its report is that of a run nobody stopped, and its progress begins where the other ended."""

    def end(now):
        if (now.phase, now.done) == ("tiles", 3):
            raise Stop

    small_world(monkeypatch, side=64)
    given = {"image": IMAGE, "coarse": HOLES, "ignore_index": 9, "tile": 64, "workers": 1}
    undisturbed, updates = refine_file(**given, output=tmp_path / "a.npy"), []
    output = tmp_path / "b.npy"
    with pytest.raises(Stop):
        refine_file(**given, output=output, progress=end)
    set_seconds(output, "tiles", {"solve": 1000.0, "labels": 50.0})
    report = refine_file(**given, output=output, progress=updates.append, resume=True)
    for name in set(vars(report)) - AT_THE_TIME:
        assert getattr(report, name) == getattr(undisturbed, name), name
    assert report.unknown_pixels > 0 < report.systems
    assert (report.tiles, report.decided_tiles) == (6, 6)
    begun = {now.phase: (now.done, now.tiles) for now in reversed(updates)}
    assert begun["statistics"] == (6, 6)
    assert begun["tiles"] == (3, 6)
    assert report.seconds["tiles: solve"] >= 3000.0
    assert report.seconds["tiles: labels"] >= 150.0
    np.testing.assert_array_equal(np.load(output), np.load(tmp_path / "a.npy"))


def test_a_picture_refined_at_once_leaves_nothing_of_an_earlier_run(tmp_path):
    given = {"image": IMAGE, "coarse": COARSE}
    output = begun(tmp_path, given)
    refine_file(**given, output=output, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == [output.name]
