"""refine() and refine_file() on random images and options, against each other and the truth."""

import numpy as np
import pytest
import two_roads
from engine_internals import constants, small_world

from hdseg_gpu import InvalidInput, refine, refine_file

pytestmark = pytest.mark.filterwarnings("ignore::hdseg_gpu.RefinementWarning")


@pytest.mark.parametrize("first", range(300, 340, 10))
def test_both_roads_give_the_same(first, tmp_path):
    kinds = set()
    for seed in range(first, first + 10):
        case = two_roads.case(seed)
        expected, whole = refine(case.image, case.coarse, return_report=True, **case.options)
        report = refine_file(
            case.image, case.coarse, tmp_path / f"{seed}.npy", tile=2048, **case.options
        )
        found = np.load(tmp_path / f"{seed}.npy")
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected, err_msg=f"{seed} {case.options}")
        for name in two_roads.COMPARED:
            assert getattr(report, name) == getattr(whole, name), (name, seed, case.options)
        kinds |= {("doubt", bool(report.doubt)), ("ignored", report.ignore_index is not None)}
    assert kinds == {(name, there) for name in ("doubt", "ignored") for there in (False, True)}


@pytest.mark.parametrize("road", two_roads.ROADS)
@pytest.mark.parametrize("seed", [401, 402, 403, 404])
def test_the_ignored_label_has_no_value(seed, road, tmp_path):
    """Less than all labels, between them or more: what is not ignored stays as it is."""
    case = two_roads.case(seed, kind="labels", ignored=True)
    hidden, outcomes = case.coarse == 255, []
    for value in (0, 15, 77):
        coarse = np.where(hidden, value, 10 * (case.coarse + 1)).astype(np.uint8)
        options = case.options | {"ignore_index": value}
        labels, report = road(tmp_path, case.image, coarse, **options)
        shown = labels == value
        np.testing.assert_array_equal(shown, enlarged(hidden, labels.shape))
        outcomes.append((np.where(shown, 0, labels).tolist(), report.doubt, report.passes))
    assert outcomes[0] == outcomes[1] == outcomes[2]


def enlarged(coarse, shape):
    rows, columns = (
        (2 * np.arange(n) + 1) * m // (2 * n) for n, m in zip(shape, coarse.shape, strict=True)
    )
    return coarse[rows][:, columns]


@pytest.mark.parametrize("road", two_roads.ROADS)
@pytest.mark.parametrize("gamma", [0.0, 1.0])
@pytest.mark.parametrize("classes", [253, 254, 255])
@pytest.mark.parametrize("blocks", ["one", "several"])
def test_walls_where_bytes_are_just_enough(blocks, classes, gamma, road, tmp_path, monkeypatch):
    """254 classes, 0, and a wall are all that a byte holds, and what leaves a block is a class."""
    if blocks == "several":
        small_world(monkeypatch, side=64)
        constants(monkeypatch, _LAST_HALO=8)  # some walkers leave
    shape, scale = (128, 136), 2
    y, x = np.indices(shape)
    truth = (y // 8 * 17 + x // 8) % classes  # 272 squares with colours of their own
    image = np.random.default_rng(9).random((classes, 3))[truth]
    coarse = two_roads.sampled(truth, scale).astype(np.uint16)
    coarse[60:, 8:28] = coarse[::9, ::11] = 300
    labels, report = road(tmp_path, image, coarse, gamma=gamma, ignore_index=300, passes=2)
    walls = enlarged(coarse, shape) == 300
    np.testing.assert_array_equal(labels == 300, walls)
    assert len(report.labels) == classes
    np.testing.assert_array_equal(labels[~walls], truth[~walls])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"edges": "boundary"}, "edges='boundary' needs boundary="),
        ({"edges": "intensity", "boundary": np.zeros((40, 48))}, "boundary= is given, but"),
    ],
)
def test_edges_and_a_boundary_map_go_together(tmp_path, options, said):
    """Both roads refuse one without the other: the weights would not be those that are reported."""
    image, coarse = np.zeros((40, 48), np.uint8), np.eye(10, 12, dtype=np.uint8)
    with pytest.raises(InvalidInput, match=said):
        refine(image, coarse, **options)
    for tile in (None, 2048):
        with pytest.raises(InvalidInput, match=said):
            refine_file(image, coarse, tmp_path / "out.npy", tile=tile, **options)
