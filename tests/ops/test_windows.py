"""Ops give the same result in a window as in the whole image, to the last bit."""

import threading

import numpy as np
import pytest
from gallery import blobs, photograph
from hypothesis import given
from hypothesis import strategies as st

from hdseg_gpu.core.classes import class_dtype
from hdseg_gpu.core.windows import Window, all_of, placed, whole
from hdseg_gpu.ops import CoarseProbabilities, Estimation, EvidenceTerms, Nearby, NearestMap
from hdseg_gpu.pipeline.colours import Colours, colour_models, windows_of

SIDES = st.integers(1, 70)


@st.composite
def windows_in(draw, sides=SIDES):
    """Draw the shape of a picture and a window of it."""
    shape = draw(sides), draw(sides)
    top, left = (draw(st.integers(0, n - 1)) for n in shape)
    height, width = draw(st.integers(1, shape[0] - top)), draw(st.integers(1, shape[1] - left))
    return shape, Window(top, left, height, width)


def part_of(array, window):
    return np.ascontiguousarray(array[..., window.top : window.bottom, window.left : window.right])


def assert_same(found, expected):
    np.testing.assert_array_equal(found, expected, strict=True)


# ---- enlarging -------------------------------------------------------------------------------


@given(where=windows_in(), grid=st.tuples(SIDES, SIDES), seed=st.integers(0, 2**32 - 1))
def test_labels_are_enlarged_in_windows(ops, reference, where, grid, seed):
    shape, window = where
    coarse = np.random.default_rng(seed).integers(0, 9, grid).astype(np.uint8)
    place = placed(window, shape, grid)
    for backend in (ops, reference):
        expected = backend.upsample_labels(coarse, all_of(shape, grid))[window.slices]
        assert_same(backend.upsample_labels(part_of(coarse, place.part), place), expected)


@pytest.mark.parametrize("how", ["linear", "cubic"])
@given(where=windows_in(), grid=st.tuples(SIDES, SIDES), seed=st.integers(0, 2**32 - 1))
def test_planes_are_enlarged_in_windows(ops, reference, how, where, grid, seed):
    shape, window = where
    rng = np.random.default_rng(seed)
    planes = rng.random((3, *grid), np.float32)
    planes[2] = planes[1]  # ties
    place = placed(window, shape, grid)
    part = part_of(planes, place.part)
    for backend in (ops, reference):
        whole_one = backend.upsample_argmax(planes, all_of(shape, grid), how)
        assert_same(backend.upsample_argmax(part, place, how), whole_one[window.slices])
        rows, columns = (rng.integers(0, n, 20) for n in window.shape)
        there = (rows + window.top) * shape[1] + columns + window.left
        assert_same(
            backend.sample_planes(part, place, rows * window.width + columns, how),
            backend.sample_planes(planes, all_of(shape, grid), there, how),
        )


def test_windows_of_several_blocks_are_enlarged(ops):
    shape, grid = (150, 1501), (41, 333)
    planes = np.random.default_rng(5).random((3, *grid), np.float32)
    labels = planes.argmax(0).astype(np.uint8)
    for window in (Window(3, 5, 147, 1301), Window(77, 200, 71, 1301), Window(149, 0, 1, 1501)):
        place = placed(window, shape, grid)
        assert place.part != whole(grid)
        for how in ("linear", "cubic"):
            expected = ops.upsample_argmax(planes, all_of(shape, grid), how)[window.slices]
            assert_same(ops.upsample_argmax(part_of(planes, place.part), place, how), expected)
        expected = ops.upsample_labels(labels, all_of(shape, grid))[window.slices]
        assert_same(ops.upsample_labels(part_of(labels, place.part), place), expected)


# ---- cells -----------------------------------------------------------------------------------


@given(
    where=windows_in(), reach=st.integers(0, 30), count=st.sampled_from([1, 2, 5, 300]),
    seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_nearest_others_are_found_in_windows(ops, reference, where, reach, count, seed):
    shape, window = where
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, count, shape)
    cells = np.where(rng.random(shape) < 0.01, noise, count // 2).astype(class_dtype(count))
    outer = window.padded(reach, shape)
    inner = window.relative_to(outer)
    for backend in (ops, reference):
        found = backend.nearest_others(part_of(cells, outer), reach)
        expected = backend.nearest_others(cells, reach)
        for a, b in zip(found, expected, strict=True):
            assert_same(a[inner.slices], b[window.slices])


# ---- colours ---------------------------------------------------------------------------------


class Scene:
    """A picture with classes and a network's word on it: whole, or what is in a window of it."""

    cell, spread, reach, unit = 2, 6.0, 6, 3.0

    def __init__(self, ops, shape, count=4, channels=3):
        self.ops, self.shape, self.count = ops, shape, count
        self.classes = blobs(shape, count - 1, seed=11).astype(class_dtype(count))
        self.redrawn = np.roll(self.classes, 3, axis=1)
        # A class is missing where the other map and the image have it: its model is from elsewhere.
        shown = self.classes.copy()
        self.classes[160:, 195:] = self.redrawn[80:93, 97:110] = shown[80:93, 97:110] = count - 1
        self.image = photograph(shown, channels, "uint8").reshape(*shape, channels)
        self.center, self.scale = ops.channel_means(self.image), 1 / 40
        grid = -(-shape[0] // 5), -(-shape[1] // 5)
        planes = np.random.default_rng(3).random((count, *grid), np.float32)
        self.planes = planes / planes.sum(0)

    def cells(self, window):
        """Return moments, own, distance, nearest_other and weight of the cells of a window."""
        classes = part_of(self.classes, window)
        image = np.ascontiguousarray(self.image[window.slices])
        moments = self.ops.cell_moments(image, self.cell, self.center, self.scale)
        own = self.ops.cell_labels(classes, self.cell)
        distance, nearest_other = self.ops.nearest_others(own, self.reach)
        weight = self.ops.confidence(distance, 0.5, 1.0, self.cell / self.unit)
        return moments, own, distance, nearest_other, weight

    def evidence(self, window, outer, band, network):
        """Return the evidence in a window, from all that is in a window around it."""
        moments, own, distance, nearest_other, weight = self.cells(outer)
        other = self.ops.cell_labels(part_of(self.redrawn, outer), self.cell)
        other_distance, other_nearest = self.ops.nearest_others(other, self.reach)
        maps = (
            NearestMap(own, nearest_other, distance, 0.5, 3.0),
            NearestMap(other, other_nearest, other_distance, 1.0, 0.0),
        )[: 1 if network else 2]
        image = np.ascontiguousarray(self.image[window.slices])
        colours = Colours(self.center, self.scale, self.cell, moments)
        near = tuple(classes for one in maps for classes in (one.own, one.nearest_other))
        group, _ = windows_of(self.spread, self.cell)
        nearby = self.ops.nearby_classes(near, self.count, self.cell, group)
        models = colour_models(self.ops, colours, own, weight, self.count, self.spread, nearby)
        seen, place = window.relative_to(outer), placed(window, self.shape, self.planes.shape[1:])
        planes = CoarseProbabilities(part_of(self.planes, place.part), place, "cubic", 0.5, 4.0)
        terms = EvidenceTerms(
            self.center, self.scale, models, 0.7, maps, self.cell, self.unit,
            planes if network else None,
        )  # fmt: skip
        found = self.ops.class_evidence(band, image, (seen.top, seen.left), terms, 3)
        return found, models.size, distance, (seen.top, seen.left)


@pytest.fixture(scope="module")
def scene(ops):
    return Scene(ops, (173, 211))


def models_of(ops, count, arrays, group, window, radii):
    """Return the models of all classes in a window of the grid of windows: (h, w, K, M)."""
    moments, own, weight = map(np.ascontiguousarray, arrays)
    grid = tuple(-(-n // group) for n in own.shape)
    wanted = np.zeros(grid, np.int64)
    wanted[window.slices] = count
    start = np.concatenate([[0], np.cumsum(wanted)])
    label = np.tile(np.arange(count), window.height * window.width).astype(own.dtype)
    how = Estimation(group, 36.0, radii, 0.01, 1e-6, 0.02)
    found = ops.colour_models(moments, own, weight, count, Nearby(start, label), how)
    return found.reshape(window.height, window.width, count, -1)


@pytest.mark.parametrize("radii", [(1, 3), (2, 5), (1,), (4, 1)])
def test_a_model_does_not_depend_on_what_else_is_wanted(ops, scene, radii):
    moments, own, _, _, weight = scene.cells(whole(scene.shape))
    grid = tuple(-(-n // 3) for n in own.shape)
    full = models_of(ops, scene.count, (moments, own, weight), 3, whole(grid), radii)
    for box in (Window(7, 9, 5, 3), Window(0, 0, 1, 1), Window(*(n - 2 for n in grid), 2, 2)):
        found = models_of(ops, scene.count, (moments, own, weight), 3, box, radii)
        assert_same(found, full[box.slices])


@pytest.mark.parametrize(("radii", "group"), [((1, 3), 3), ((2,), 4), ((1, 2), 1)])
def test_models_are_those_of_windows(ops, scene, radii, group):
    moments, own, _, _, weight = scene.cells(whole(scene.shape))
    shape, halo = own.shape, 3 * max(radii) * group
    for some in (Window(37, 53, 11, 7), Window(0, 40, 9, 30), Window(60, 90, 27, 16)):
        inner = some.aligned(group, shape)
        outer = inner.padded(halo, shape).aligned(group, shape)
        box = Window(*(n // group for n in inner[:2]), *(-(-n // group) for n in inner[2:]))
        seen = box.relative_to(Window(*(n // group for n in outer)))
        cut = [a[outer.slices] for a in (moments, own, weight)]
        expected = models_of(ops, scene.count, (moments, own, weight), group, box, radii)
        assert_same(models_of(ops, scene.count, cut, group, seen, radii), expected)


@pytest.mark.parametrize("network", [False, True])
@pytest.mark.parametrize("window", [
    Window(77, 95, 23, 19), Window(0, 0, 31, 17), Window(140, 101, 33, 110), Window(88, 0, 1, 211),
], ids=str)  # fmt: skip
def test_evidence_is_weighed_in_windows(ops, scene, window, network):
    """With a window around it that has what nearest_others, weights and models reach."""
    everything = whole(scene.shape)
    seeds = (np.random.default_rng(7).random(scene.shape) < 0.5).astype(np.uint8)
    band, part = ops.band(seeds), ops.band(part_of(seeds, window))
    expected, size, distance, origin = scene.evidence(everything, everything, band, network)
    assert origin == (0, 0)
    assert size == 2 * scene.cell
    halo = (3 * 4 + 1) * size + (scene.reach + 1) * scene.cell  # the widest radius is 4
    outer = window.padded(halo, scene.shape).aligned(size, scene.shape)
    found, _, near, origin = scene.evidence(window, outer, part, network)
    rows, columns = np.divmod(band.pixels(), scene.shape[1])
    inside = (rows >= window.top) & (rows < window.bottom)
    inside &= (columns >= window.left) & (columns < window.right)
    assert inside.sum() == part.size > 0
    assert_same(found.label, expected.label[inside])
    assert_same(found.probability, expected.probability[inside])
    limits = (0.5, 9.0)
    counts = ops.contradictions(
        part, found, part_of(scene.classes, window), near, scene.cell, origin, limits, scene.count
    )
    own = scene.classes.reshape(-1)[band.pixels()]
    away = (distance[rows // scene.cell, columns // scene.cell] - 0.5) * scene.cell
    close = inside & (away >= limits[0]) & (away < limits[1])
    wrong = close & (expected.label[:, 0] != own + 1)
    expected = [np.bincount(own[chosen], minlength=scene.count) for chosen in (close, wrong)]
    np.testing.assert_array_equal(counts, expected)


# ---- threads ---------------------------------------------------------------------------------


def test_threads_are_bounded_for_one_caller(ops):
    kernels = getattr(ops, "_kernels", None)
    labels = blobs((150, 110), 5).repeat(4, axis=0).repeat(4, axis=1)
    expected = ops.nearest_others(labels, 50)
    with ops.threads(1):
        if kernels is not None:
            assert kernels.thread_count() == 1
        for found, other in zip(ops.nearest_others(labels, 50), expected, strict=True):
            assert_same(found, other)


def test_the_number_of_threads_is_put_back(ops):
    if not hasattr(ops, "_kernels"):
        pytest.skip("the processor's threads are this backend's own business")
    count = ops._kernels.thread_count
    usual, seen = count(), []
    try:
        ops._kernels.set_thread_count(7)
        with ops.threads(5):
            assert count() == 5
            with ops.threads(3):
                assert count() == 3
                other = threading.Thread(target=lambda: seen.append(count()))
                other.start()
                other.join()
            with ops.threads(9):  # no more than what is allowed
                assert count() == 5
        with pytest.raises(ZeroDivisionError), ops.threads(1):
            1 / 0  # noqa: B018
        assert count() == 7
    finally:
        ops._kernels.set_thread_count(usual)
    assert seen == [usual]  # another caller has its own
