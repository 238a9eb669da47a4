"""Engines in memory and on files give the results of ``by_definition``.

Small blocks and tiles stand in for large images: these have some hundred pixels.
"""

import by_definition
import numpy as np
import pytest
import two_roads
from engine_internals import constants, read_coarse_by, small_world, solve_in_parts

from hdseg_gpu import refine, refine_file

pytestmark = pytest.mark.filterwarnings("ignore::hdseg_gpu.RefinementWarning")

OPTIONS = ("passes", "elements", "prune", "gamma", "majority", "interpolation", "boundary")


def check(case, labels, report, patches=None):
    """Compare labels and report with the definition; return what that finds."""
    options = {name: case.options[name] for name in OPTIONS if name in case.options}
    coarse, ignored = case.coarse, None
    values = np.arange(len(coarse))
    if coarse.ndim == 2:
        ignored = coarse == case.options.get("ignore_index", -1)
        values = np.unique(coarse[~ignored])
        coarse = np.minimum(np.searchsorted(values, coarse), len(values) - 1).astype(np.uint8)
    expected = by_definition.refined(
        case.image, coarse, report.scale, ignored=ignored, patches=patches, **options
    )
    assert report.doubt == pytest.approx(expected.doubt, abs=1e-9)
    assert report.sigma == pytest.approx(expected.sigma, rel=1e-12)
    assert report.passes == expected.passes
    assert report.unknown_pixels == np.count_nonzero(expected.unknown)
    in_labels = np.where(expected.labels < 0, 255, values[expected.labels])
    assert np.count_nonzero(labels != in_labels) <= 2  # where two potentials are alike
    return expected


def check_potentials(p, expected):
    apart = np.abs(p - expected.probabilities)
    assert apart.max() < 3e-3  # where a share of 1e-3 is just left out, or is not
    assert np.mean(apart > 1e-4) < 1e-4


CASES = {
    "far off": two_roads.far_off(),
    "boundary map": two_roads.case(503, "labels", False),
    "much doubt": two_roads.case(507, "probabilities"),
    "scale as given": two_roads.case(510, "labels", True),
    "scale as given, probabilities": two_roads.case(504, "probabilities"),
    "ignored": two_roads.case(518, "labels", True),
    "9x9": two_roads.case(570, "labels", True),
    "few passes": two_roads.case(559, "labels", False),
    "cubic probabilities": two_roads.case(503, "probabilities"),
    "little evidence": two_roads.case(532, "labels", False),
    "nearest": two_roads.case(562, "labels", True),
    "no evidence": two_roads.case(518, "labels", True, gamma=0.0),
    "no evidence, probabilities": two_roads.case(503, "probabilities", gamma=0.0),
    "wide median": two_roads.half_doubted(3, 2, 60, 1, gamma=1000.0, majority=15),
    "half a doubt": two_roads.half_doubted(3, 1, 90, 2),
    "half a doubt, ignored": two_roads.half_doubted(4, 2, 60, 2, "ignored"),
    "half a doubt, probabilities": two_roads.half_doubted(3, 2, 60, 1, "probabilities"),
    "half a doubt, scale as given": two_roads.half_doubted(2, 4, 20, 2, scale=4.0),
    "half a doubt, median": two_roads.half_doubted(4, 2, 40, 2, "ignored", majority=7, gamma=0.4),
}


@pytest.mark.parametrize("name", CASES)
def test_in_memory(name):
    case = CASES[name]
    labels, p, report = refine(
        case.image, case.coarse, return_probabilities=True, return_report=True, **case.options
    )
    check_potentials(p, check(case, labels, report))
    assert ("half" in name) <= (0 < (report.doubt or 0) < 1)


@pytest.mark.parametrize("name", CASES)
def test_block_by_block_and_from_file_to_file(name, monkeypatch, tmp_path):
    case, patches = CASES[name], small_world(monkeypatch)
    labels, p, whole = refine(
        case.image, case.coarse, return_probabilities=True, return_report=True, **case.options
    )
    check_potentials(p, check(case, labels, whole, patches))
    report = refine_file(
        case.image, case.coarse, tmp_path / "labels.npy", tile=128, workers=2, **case.options
    )
    assert report.tiles > 1
    np.testing.assert_array_equal(np.load(tmp_path / "labels.npy"), labels)
    for field in two_roads.COMPARED:
        assert getattr(report, field) == getattr(whole, field), field


@pytest.mark.parametrize(("tile", "workers"), [(128, 1), (128, 3), (256, 1), (256, 2)])
def test_tiles_and_workers_do_not_matter(tile, workers, monkeypatch, tmp_path):
    case, patches = CASES["half a doubt, ignored"], small_world(monkeypatch)
    options = case.options | {"tile": tile, "workers": workers}
    report = refine_file(case.image, case.coarse, tmp_path / "labels.npy", **options)
    check(case, np.load(tmp_path / "labels.npy"), report, patches)
    assert 0 < report.doubt < 1
    assert (report.ignore_index, report.tiles) == (255, 4 if tile == 128 else 1)


def test_the_coarse_map_is_read_a_few_rows_at_a_time(monkeypatch, tmp_path):
    """What its boundaries look like is known of all rows, also of the last strip."""
    case = CASES["half a doubt, probabilities"]
    patches = small_world(monkeypatch, enough=1 << 18)
    read_coarse_by(monkeypatch, 7 * case.coarse.shape[2])
    report = refine_file(case.image, case.coarse, tmp_path / "labels.npy", tile=128, **case.options)
    assert 0 < report.doubt < 1
    check(case, np.load(tmp_path / "labels.npy"), report, patches)


def test_patches_in_two_tiles_have_the_unknown_pixels_of_both(monkeypatch, tmp_path):
    """Tiles of seeds begin where cells do, not patches; how many patches are a sample depends."""
    case, patches = CASES["half a doubt"], small_world(monkeypatch, enough=6000)
    constants(monkeypatch, SEED_TILE=96)
    assert 96 % patches[0]
    report = refine_file(case.image, case.coarse, tmp_path / "labels.npy", tile=128, **case.options)
    check(case, np.load(tmp_path / "labels.npy"), report, patches)


def test_what_the_rounds_take_away_needs_no_walker(monkeypatch, tmp_path):
    """A tile that its boundary has left has the redrawn labels, not those of the map."""
    case, _ = two_roads.far_off(), small_world(monkeypatch)
    report = refine_file(case.image, case.coarse, tmp_path / "labels.npy", tile=128)
    assert not case.coarse[:, 32:].all()
    assert (report.tiles, report.decided_tiles) == (2, 1)
    assert np.load(tmp_path / "labels.npy")[:, 128:].all()


@pytest.mark.parametrize("road", two_roads.ROADS)
@pytest.mark.parametrize("side", [32, 128], ids=["several_tiles", "one_tile"])
def test_classes_that_thinning_takes_away_are_named(side, road, monkeypatch, tmp_path):
    """Those, and not one that is large enough, wherever it is."""
    small_world(monkeypatch, side)
    coarse = np.zeros((16, 20), np.uint8)
    coarse[5:9, 12:14] = 9
    coarse[1:3, 1:3] = 4
    coarse[:4, 8:] = 7
    eastern = np.array([[[0, 0, 0], [0, 1, -1], [0, 0, 0]]], np.int8)
    image = coarse.repeat(5, axis=0).repeat(5, axis=1)
    _, report = road(tmp_path, image, coarse, elements=eastern, passes=40)
    assert any("left no seeds of class [4, 9]" in note for note in report.notes)


@pytest.mark.parametrize("road", two_roads.ROADS)
def test_labels_that_are_not_certain_are_counted_once(road, monkeypatch, tmp_path):
    """About as many in small blocks as in a large one: not those around each block again."""
    image, coarse, options = two_roads.half_doubted(4, 2, 60, 2)
    options |= {"solver": "multigrid", "tol": 0.4, "beta": 0.0}
    _, whole = refine(image, coarse, return_report=True, **options)
    small_world(monkeypatch, side=64, enough=1 << 18)
    _, report = road(tmp_path, image, coarse, **options)
    assert whole.uncertified_pixels > 1000
    assert report.uncertified_pixels == pytest.approx(whole.uncertified_pixels, rel=0.1)
    assert report.unknown_pixels == whole.unknown_pixels


PARTS = ["boundary map", "ignored", "cubic probabilities", "half a doubt", "half a doubt, median"]


@pytest.mark.parametrize("name", PARTS)
def test_blocks_in_parts(name, monkeypatch):
    """Blocks with too many labels are solved in smaller ones, which find the same."""
    case, sides = CASES[name], solve_in_parts(monkeypatch, 48)
    labels, p, report = refine(
        case.image, case.coarse, return_probabilities=True, return_report=True, **case.options
    )
    assert sides
    check_potentials(p, check(case, labels, report))
