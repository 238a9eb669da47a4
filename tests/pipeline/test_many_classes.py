"""Thousands of classes: the same labels as with few; the work does not grow with their number."""

from collections import Counter

import numpy as np
import pytest
from executor import ExecutorDevice
from gallery import photograph
from instances import instances, picture, scattered
from scipy import ndimage

from hdseg_gpu import InvalidInput, backends, metrics, refine, seeds
from hdseg_gpu.backends.cpu import CpuOps
from hdseg_gpu.backends.cuda import cupy_device
from hdseg_gpu.core import coarse_map
from hdseg_gpu.core.classes import MAX_CLASSES, class_dtype, wall_of
from hdseg_gpu.core.elements import structuring_elements
from hdseg_gpu.core.options import TOLERANCE
from hdseg_gpu.core.windows import Window, all_of
from hdseg_gpu.ops import Estimation, Ops
from hdseg_gpu.pipeline import block
from hdseg_gpu.pipeline.seeds import keep_lost_objects
from hdseg_gpu.pipeline.sharing import Sharing, shared_columns

pytestmark = pytest.mark.filterwarnings("ignore::hdseg_gpu.RefinementWarning")


# ---- types -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "dtype"),
    [(254, "uint8"), (255, "uint16"), (65534, "uint16"), (65535, "uint32"), (65536, "uint32")],
)
def test_seeds_and_walls_fit_the_type(count, dtype):
    assert class_dtype(count) == np.dtype(dtype)
    assert count < wall_of(dtype) <= np.iinfo(dtype).max
    assert wall_of(dtype) < 1 << 17  # tables of all values are small


def test_as_many_labels_as_16_bits_have():
    labels = np.random.default_rng(9).permutation(MAX_CLASSES).reshape(256, 256)
    found = seeds(labels.astype(np.uint16), passes=3, backend="cpu")
    # Single pixels stay, but for the corners: there the repeated border makes squares of them.
    lost = found != labels + 1
    assert lost.sum() == 4
    assert lost[[0, 0, -1, -1], [0, -1, 0, -1]].all()
    image = photograph((labels % 50).repeat(3, axis=0).repeat(3, axis=1))
    coarse = labels.astype(np.uint16)
    fine = refine(image, coarse, backend="cpu")
    assert fine.dtype == np.uint16
    assert len(np.unique(fine)) > 0.99 * MAX_CLASSES
    assert (fine == coarse.repeat(3, axis=0).repeat(3, axis=1)).mean() > 0.9
    ignored = refine(image, coarse, ignore_index=int(coarse[7, 9]), backend="cpu")
    np.testing.assert_array_equal(ignored[21:24, 27:30], coarse[7, 9])
    scores = metrics.per_class(coarse, coarse)
    assert len(scores.label) == MAX_CLASSES
    assert (scores.iou == 1).all()


@pytest.mark.parametrize("call", [
    lambda labels: refine(np.zeros((300, 300, 3), np.uint8), labels),
    seeds,
    lambda labels: metrics.per_class(labels, labels),
], ids=["refine", "seeds", "per_class"])  # fmt: skip
def test_more_labels_are_refused(call):
    labels = np.arange(300 * 300, dtype=np.int32).reshape(300, 300)
    with pytest.raises(InvalidInput, match="90000 distinct labels; at most 65536"):
        call(labels)


@pytest.mark.parametrize("backend", ["cpu", "cuda"])
@pytest.mark.parametrize(
    "options",
    [{}, {"method": "published", "passes": 6}, {"ignore_index": 3, "return_probabilities": True}],
    ids=str,
)
def test_wider_types_give_the_same_bits(monkeypatch, backend, options):
    """A few classes in 8, 16 and 32 bits: the same arithmetic."""
    monkeypatch.setattr(cupy_device, "open_device", lambda number=0: ExecutorDevice("shuffled"))
    image, coarse = picture((90, 120), 7)
    found = []
    for dtype in (np.uint8, np.uint16, np.uint32):
        monkeypatch.setattr(coarse_map, "class_dtype", lambda count, dtype=dtype: dtype)
        answer = refine(image, coarse.astype(np.uint8), backend=backend, **options)
        found.append(answer if isinstance(answer, tuple) else (answer,))
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b, strict=True)


@pytest.mark.parametrize("options", [{"gamma": 0.0, "passes": 6}, {"passes": 6}], ids=str)
def test_regions_that_are_merged_have_the_same_potentials(monkeypatch, options):
    """Columns that stand for nothing in some components change no answer."""
    image, coarse = picture((90, 120), 120)
    call = {"backend": "cpu", "return_probabilities": True, "return_report": True} | options
    apart = refine(image, coarse, **call)
    monkeypatch.setattr(CpuOps, "merged", 1 << 22)
    labels, planes, report = refine(image, coarse, **call)
    assert report.systems <= 2 < apart[2].systems
    np.testing.assert_allclose(planes, apart[1], atol=2e-4)
    np.testing.assert_allclose(planes.sum(axis=0), 1, atol=1e-5)
    by_size = np.sort(planes, axis=0)
    sure = by_size[-1] - by_size[-2] > 0.01
    assert (labels == apart[0])[sure].mean() > 0.999  # the majority filter looks at others, too


# ---- ops -----------------------------------------------------------------------------------


@pytest.mark.parametrize("elements", ["3x3", "9x9"])
def test_scattered_classes_are_thinned_and_pruned(ops, reference, elements):
    """Components far apart, in several tiles of bit planes, and boxes as large as the picture."""
    classes = scattered((270, 210), 9, 7).astype(np.uint8)
    classes[40:200, 30:180] = ndimage.zoom(classes[40:72, 30:60], 5, order=0)
    shapes = structuring_elements(elements)
    expected = reference.seeds(classes, 9, shapes, 2)
    np.testing.assert_array_equal(ops.seeds(classes, 9, shapes, 2), expected)
    for length in (3, 40):
        np.testing.assert_array_equal(
            ops.prune(expected, length), reference.prune(expected, length)
        )


@pytest.mark.parametrize("make", [instances, scattered])
@pytest.mark.parametrize("group", [1, 4])
def test_models_of_many_classes_agree(ops, reference, make, group):
    own = (make((19, 23), 300) if make is instances else make((19, 23), 300, 1)).astype(np.uint16)
    rng = np.random.default_rng(21)
    _, nearest_other = reference.nearest_others(own, 5)
    found, expected = (
        o.nearby_classes((own, nearest_other), 300, 3, group) for o in (ops, reference)
    )
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b, strict=True)
    moments = reference.cell_moments(rng.random((57, 69, 3)), 3, np.full(3, 0.5), 3.0)
    weight = rng.random(own.shape).astype(np.float32)
    how = Estimation(group, 9.0 * group**2, (1, 3), 0.01, 1e-6, 0.02)
    models = [o.colour_models(moments, own, weight, 300, found, how) for o in (ops, reference)]
    np.testing.assert_allclose(*models, rtol=2e-3, atol=2e-3)


# Pixels between the same samples are made together: one to fifty of them side by side.
@pytest.mark.parametrize(
    ("grid", "shape"),
    [((23, 31), size) for size in [(24, 33), (46, 62), (70, 100), (101, 130), (161, 217)]]
    + [((4, 5), (170, 250))],
)
@pytest.mark.parametrize(("count", "cell"), [(300, 2), (2, 7), (3, 1)])
@pytest.mark.parametrize("how", ["linear", "cubic"])
def test_labels_are_interpolated_as_planes(ops, reference, grid, shape, count, cell, how):
    coarse = scattered(grid, count, cell).astype(np.uint16)
    present = np.unique(coarse)
    planes = (coarse == present[:, None, None]).astype(np.float32)
    whole = all_of(shape, grid)
    y, x = shape[0] // 9, shape[1] // 2
    for place in (whole, whole._replace(window=Window(y, x, shape[0] // 2, shape[1] // 3))):
        expected = present[reference.upsample_argmax(planes, place, how)]
        for o in (ops, reference):
            np.testing.assert_array_equal(o.upsample_classes(coarse, place, how), expected)


def test_lost_objects_get_their_seeds_back(ops):
    classes = scattered((45, 52), 12, 5).astype(np.uint8)
    rng = np.random.default_rng(8)
    before = ((classes + 1) * (rng.random(classes.shape) < 0.03)).astype(np.uint8)
    before[rng.random(classes.shape) < 0.02] = wall_of(np.uint8)
    found, expected = before.copy(), before.copy()
    keep_lost_objects(ops, classes, found)
    for k in range(12):
        unknown, count = ndimage.label((classes == k) & (before == 0))
        for i in range(1, count + 1):
            around = ndimage.binary_dilation(unknown == i) & (classes == k)
            if not (before[around] == k + 1).any():
                expected[unknown == i] = k + 1
    np.testing.assert_array_equal(found, expected)
    assert (found != before).any()


# ---- columns that classes share --------------------------------------------------------------


def test_classes_share_columns_where_they_are_far_apart():
    rng = np.random.default_rng(31)
    grid, count = (17, 23), 120
    tiles, labels = [], []
    for k in range(1, count + 1):
        y, x = rng.integers(0, grid)
        for v, u in {(y, x), (min(y + 1, 16), x), tuple(rng.integers(0, grid))}:
            tiles.append(v * grid[1] + u)
            labels.append(k)
    order = np.lexsort((labels, tiles))
    tiles, labels = np.array(tiles)[order], np.array(labels)[order]
    table = shared_columns(tiles, labels, grid).reshape(*grid, -1)
    assert table.shape[2] < count
    for k in range(1, count + 1):
        near = np.zeros(grid, np.bool_)
        near[np.divmod(tiles[labels == k], grid[1])] = True
        near = ndimage.binary_dilation(near, np.ones((5, 5)))
        y, x, column = np.nonzero(table == k)
        assert len(set(column)) == 1  # one column for the class, in all tiles around its own
        assert near[y, x].all()
        assert len(y) == near.sum()


def test_where_walkers_come_far_no_column_is_shared():
    assert Sharing.of(0.0, TOLERANCE) is None
    assert Sharing.of(0.01, TOLERANCE) is None
    sharing = Sharing.of(1.0, TOLERANCE)
    assert sharing.error <= TOLERANCE / 10
    assert 4 * 2.0 ** -(2 * sharing.tile) == sharing.error


def test_how_many_columns_classes_everywhere_share():
    """Four classes in each tile: a column has one of them in each square of 5 x 5 tiles."""
    sharing, grid = Sharing.of(1.0, TOLERANCE), (20, 20)
    labels = np.arange(4 * 20 * 20)
    assert shared_columns(labels // 4, labels + 1, grid).shape[1] == 4 * 5 * 5
    shape = grid[0] * sharing.tile, grid[1] * sharing.tile
    assert sharing.estimate(labels.size, shape) == 4 * 5 * 5
    assert sharing.estimate(labels.size, (sharing.tile, sharing.tile)) == labels.size
    assert [sharing.estimate(few, shape) for few in (5, 40)] == [5, 32]


def test_shared_columns_give_the_potentials_of_a_column_each(monkeypatch):
    """A constant picture, where walkers come as far as they can."""
    shape = (130, 170)
    image, coarse = np.full((*shape, 3), 90, np.uint8), instances(shape, 150)[2::4, 2::4]
    answers = []
    for sharing in (Sharing.of, lambda *_: None):
        monkeypatch.setattr(block.Sharing, "of", staticmethod(sharing))
        answers.append(
            refine(
                image, coarse, backend="cpu", majority=1,
                return_probabilities=True, return_report=True,
            )
        )  # fmt: skip
    (labels, planes, report), (expected, exact, one_each) = answers
    assert report.right_hand_sides < one_each.right_hand_sides
    np.testing.assert_allclose(planes, exact, atol=2 * TOLERANCE)
    best = np.sort(exact, axis=0)
    clear = best[-1] - best[-2] > 4 * TOLERANCE
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(labels[clear], expected[clear])


# ---- whole pictures --------------------------------------------------------------------------


@pytest.mark.parametrize("make", [instances, scattered])
def test_many_classes_on_every_backend(monkeypatch, make):
    monkeypatch.setattr(cupy_device, "open_device", lambda number=0: ExecutorDevice("shuffled"))
    image, coarse = picture((96, 120), 280, make=make)
    found = {name: refine(image, coarse, backend=name) for name in ("reference", "cpu", "cuda")}
    for labels in found.values():
        assert (labels == found["reference"]).mean() > 0.995
    assert (found["cpu"] == found["cuda"]).mean() > 0.999


@pytest.mark.parametrize("make", [instances, scattered])
def test_other_numbers_are_the_same_classes(make):
    image, coarse = picture((160, 200), 400, make=make)
    numbers = np.sort(np.random.default_rng(2).choice(10**6, coarse.max() + 1, replace=False))
    expected = refine(image, coarse, backend="cpu")
    np.testing.assert_array_equal(refine(image, numbers[coarse], backend="cpu"), numbers[expected])


class Counting(CpuOps):
    """Counts the calls of ops."""

    calls: Counter

    def __getattribute__(self, name):
        if name in Ops.__abstractmethods__:
            type(self).calls[name] += 1
        return super().__getattribute__(name)


# What is done with a region (a matrix) or in an iteration depends on the picture.
OF_SYSTEMS = {
    "add_evidence", "apply_inverse_diagonal", "assemble", "back_substitute", "body", "bound",
    "coarsen", "conjugate", "decide", "diagonal", "dominance", "doubtful", "eliminate_red",
    "eliminate_red_rhs", "factor", "host", "inverse", "lagging", "laplacian", "largest",
    "matrix_row_sums", "multiply", "of_pixels", "part", "pixels", "prolong", "refresh", "residual",
    "restrict", "row_sums", "select", "small_cycle", "step", "submatrix", "zeros",
}  # fmt: skip


@pytest.mark.parametrize("make", [instances, scattered])
@pytest.mark.parametrize("options", [{}, {"method": "published", "passes": 4}], ids=str)
def test_no_verb_is_called_for_each_class(monkeypatch, make, options):
    counts = []
    for count in (40, 900):
        Counting.calls = Counter()
        monkeypatch.setattr(backends, "select", lambda *_: Counting())
        image, coarse = picture((240, 300), count, make=make)
        refine(image, coarse, **options)
        counts.append(Counting.calls)
    few, many = ({k: n for k, n in c.items() if k not in OF_SYSTEMS} for c in counts)
    assert all(n <= few.get(op, 0) + 4 for op, n in many.items()), (few, many)
    # One system per number of classes that reach a component, not one per class.
    assert counts[1]["assemble"] < 60
