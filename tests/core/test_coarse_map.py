"""Checking coarse maps: results and messages, for arrays on the host and on devices."""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from executor import ExecutorDevice
from executor.arrays import DeviceArray, counted
from gallery import blobs, photograph, reduced

from hdseg_gpu import InvalidInput, OutOfDeviceMemory, backends, refine, seeds
from hdseg_gpu.backends import interop
from hdseg_gpu.backends.cuda import CudaOps, cupy_device
from hdseg_gpu.core import coarse_map as door
from hdseg_gpu.core import values
from hdseg_gpu.core.report import Stages

RNG = np.random.default_rng(331)
FLOATS, COUNTS = ["f2", "f4", "f8", "g", ">f4"], ["u1", "u2", "i1", "i2", "u4", "i8", ">i4", "?"]


def device_ops():
    return CudaOps(ExecutorDevice("shuffled"))


# The ops that check, and the function that takes arrays to their device.
PLACES = {
    "numpy": lambda: (values, lambda a: a),
    "cpu": lambda: (backends.of_host(), lambda a: a),
    "cuda": lambda: ((ops := device_ops()), ops.xp.asarray),
}


@pytest.fixture(params=PLACES)
def place(request):
    """Call ``coarse_map`` there; results come back as NumPy's arrays, with the notes."""
    value_ops, over = PLACES[request.param]()

    def call(array, class_axis=0, ignore_index=None):
        stages = Stages()
        if request.param == "cuda" and not (array.dtype.isnative and array.dtype.itemsize <= 8):
            array = array.astype(array.dtype.newbyteorder("=").name.replace("float128", "float64"))
        given, before = over(array), array.copy()
        found = door.coarse_map(given, class_axis, stages, ignore_index, value_ops)
        arrays = [found.classes, found.probabilities, found.ignored]
        if request.param == "cuda":
            assert all(a is None or isinstance(a, DeviceArray) for a in arrays)
            arrays = [None if a is None else a.get() for a in arrays]
            given = given.get()
        np.testing.assert_array_equal(given, before)
        return SimpleNamespace(
            values=found.values, classes=arrays[0], probabilities=arrays[1], ignored=arrays[2],
            ignore_index=found.ignore_index, notes=stages.notes,
        )  # fmt: skip

    return call


def probabilities(count, shape=(19, 23)):
    p = RNG.random((count, *shape)) ** 3 + 1e-3
    return p / p.sum(axis=0)


def softmax(z):
    e = np.exp(z - z.max(axis=0))
    return e / e.sum(axis=0)


def moved(planes, axis, dtype):
    return np.ascontiguousarray(np.moveaxis(planes, 0, axis)).astype(dtype)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("count", [2, 21])
def test_probabilities(place, dtype, axis, count):
    given = moved(probabilities(count), axis, dtype)
    exact = np.moveaxis(given, axis, 0).astype(np.float64)
    found = place(given, axis)
    assert found.notes == []
    assert found.classes is None
    assert found.probabilities.dtype == np.float32
    np.testing.assert_allclose(found.probabilities, exact / exact.sum(axis=0), rtol=2.5e-7)
    np.testing.assert_array_equal(found.values, np.arange(count, dtype=np.uint8), strict=True)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("dtype", FLOATS)
def test_logits(place, dtype, axis):
    given = moved(RNG.normal(size=(5, 19, 23)) * 6, axis, dtype)
    exact = softmax(np.moveaxis(given, axis, 0).astype(np.float64))
    found = place(given, axis)
    assert len(found.notes) == 1
    assert "taken as logits, and softmax is applied" in found.notes[0]
    np.testing.assert_allclose(found.probabilities, exact, rtol=0, atol=2e-7)
    np.testing.assert_allclose(found.probabilities, exact, rtol=3e-6)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("dtype", COUNTS)
def test_counts(place, dtype, axis):
    if dtype == "?":
        given = np.eye(4, dtype=bool)[RNG.integers(0, 4, (19, 23))].transpose(2, 0, 1)
    else:
        given = np.maximum(RNG.integers(-50, 120, (4, 19, 23)), 0)
        given[0] += given.sum(axis=0) == 0
    given = moved(given, axis, dtype)
    exact = np.moveaxis(given, axis, 0).astype(np.float64)
    found = place(given, axis)
    assert found.notes == []
    np.testing.assert_allclose(found.probabilities, exact / exact.sum(axis=0), rtol=2.5e-7)


@pytest.mark.parametrize(
    "lay",
    [
        lambda a: a[:, ::-1],
        np.asfortranarray,
        lambda a: a[:, 2:-1, 3:],
        lambda a: a.transpose(0, 2, 1),
        lambda a: np.ascontiguousarray(a.transpose(2, 0, 1)).transpose(1, 2, 0),
    ],
)
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "u1"])
def test_any_layout(place, lay, dtype, monkeypatch):
    monkeypatch.setattr(door, "_STRIP", 3000)
    given = probabilities(3, (70, 90))
    given = lay((given * 200 + 1).astype(dtype) if dtype == "u1" else given.astype(dtype))
    exact = given.astype(np.float64)
    found = place(given)
    np.testing.assert_allclose(found.probabilities, exact / exact.sum(axis=0), rtol=2.5e-7)
    assert found.probabilities.flags.c_contiguous
    if dtype[0] == "f":
        for at in ((0, 0, 0), (1, 34, 2), tuple(n - 1 for n in given.shape)):
            changed = given.copy(order="K")
            changed[at] = np.nan
            with pytest.raises(InvalidInput, match=rf"index \[{at[0]}, {at[1]}, {at[2]}\]"):
                place(changed)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("sign", [-1, 1])
def test_how_far_from_1_probabilities_may_sum(place, dtype, sign):
    """One pixel, the last, decides; 1e-2 is the limit."""
    for off, taken_as in ((0.008, 0), (0.012, 1)):
        planes = np.full((4, 19, 23), 0.25, dtype)
        planes[3, -1, -1] += sign * off
        found = place(planes)
        assert len(found.notes) == taken_as
    exactly = {"f4": 1e-2 - 2e-7, "f8": 1e-2 - 1e-9}
    if dtype in exactly:
        for off, taken_as in ((exactly[dtype], 0), (2e-2 - exactly[dtype], 1)):
            planes = np.zeros((2, 5, 7), dtype)
            planes[0] = 1
            planes[:, 2, 3] = 0.5, 0.5 + sign * off
            assert len(place(planes).notes) == taken_as


@pytest.mark.parametrize("pixel", [(-1e-7, 0.5, 0.5), (1 + 1e-6, 0, 0)])
def test_what_lies_outside_0_to_1_is_a_logit(place, pixel):
    planes = np.full((3, 19, 23), 1 / 3, np.float32)
    assert place(planes).notes == []
    planes[:, -1, -1] = pixel
    assert "logits" in place(planes).notes[0]


def test_very_many_classes(place):
    planes = (probabilities(65536, (3, 2)) + 0).astype(np.float32)
    found = place(planes)
    assert found.values.dtype == np.uint16
    exact = planes.astype(np.float64)
    assert found.notes == []
    np.testing.assert_allclose(found.probabilities, exact / exact.sum(axis=0), rtol=2.5e-7)
    with pytest.raises(InvalidInput, match=r"coarse has 65537 classes on axis class_axis=0"):
        place(np.zeros((65537, 3, 2), np.uint8))


MESSAGES = [
    ("f4", (4, 18, 22), np.nan, 0, "coarse holds NaN or infinity, first at index [4, 18, 22]"),
    ("f8", (18, 4, 22), np.inf, 1, "coarse holds NaN or infinity, first at index [18, 4, 22]"),
    ("f2", (18, 22, 4), -np.inf, -1, "coarse holds NaN or infinity, first at index [18, 22, 4]"),
    ("f8", (3, 0, 0), -1e141, 0, "coarse has values from -1e+141 to 1, whose squares overflow"),
    ("i1", (2, 3, 4), -7, 0, "coarse has three dimensions, dtype int8 and values down to -7;"),
    ("i8", (3, 4, 2), -(2**62) - 1, 2, f"values down to {-(2**62) - 1};"),
    ("u1", np.s_[:, 17, 3], 0, 0, "coarse is 0 for every class at (row, column) [17, 3];"),
    ("i8", np.s_[17, :, 3], 0, 1, "coarse is 0 for every class at (row, column) [17, 3];"),
    ("?", np.s_[17, 3], False, -1, "coarse is 0 for every class at (row, column) [17, 3];"),
    ("c8", (0, 0, 0), 1, 0, "coarse has three dimensions and the unsupported dtype complex64;"),
]


@pytest.mark.parametrize(("dtype", "index", "value", "axis", "message"), MESSAGES)
def test_messages(place, dtype, index, value, axis, message):
    planes = moved(np.ones((5, 19, 23)), axis, dtype)
    planes[index] = value
    with pytest.raises(InvalidInput) as caught:
        place(planes, axis)
    assert message in str(caught.value)


def test_the_first_place_is_named(place):
    planes = np.ones((3, 19, 23), np.float32)
    planes[2, 0, 0] = planes[1, 5, 6] = planes[1, 6, 1] = np.nan
    with pytest.raises(InvalidInput, match=r"index \[1, 5, 6\]"):
        place(planes)
    planes = np.ones((3, 19, 23), np.uint16)
    planes[:, 5, 6] = planes[:, 6, 1] = planes[:, 18, 22] = 0
    with pytest.raises(InvalidInput, match=r"\[5, 6\]"):
        place(planes)


def test_floats_beyond_float64():
    planes = np.ones((2, 5, 6), np.longdouble)
    planes[1, 2, 3] = np.longdouble("1e1000")
    if np.isinf(planes).any():
        pytest.skip("longdouble is float64 here")
    with pytest.raises(InvalidInput, match="squares overflow"):
        door.coarse_map(planes, 0, Stages())


# ---- labels ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["?", "u1", "i1", "u2", "i2", ">i2", "u4", "i4", "u8", "i8"])
@pytest.mark.parametrize("count", [1, 2, 90, 300])
def test_labels(place, dtype, count):
    count = min(count, {"?": 2, "u1": 90, "i1": 90}.get(dtype, count))
    given = RNG.integers(0, count, (19, 23))
    given.flat[: min(count, given.size)] = np.arange(min(count, given.size))
    given = (given * (1 if dtype == "?" else 2) - (90 if "i" in dtype else 0)).astype(dtype)
    found = place(given, ignore_index=False)
    expected = np.unique(given)
    np.testing.assert_array_equal(found.values, expected)
    assert found.values.dtype == given.dtype.newbyteorder("=")
    assert found.classes.dtype == (np.uint8 if len(expected) < 255 else np.uint16)
    np.testing.assert_array_equal(found.values[found.classes], given)
    assert found.ignored is None


@pytest.mark.parametrize(
    "labels",
    [
        np.array([-(2**63), 2**63 - 1, 0, 5], np.int64),
        np.array([0, 2**64 - 1, 7], np.uint64),
        np.array([2**64 - 1, 2**64 - 3], np.uint64),
        np.array([-(2**63), -(2**63) + 4], np.int64),
        np.array([2**31 - 1, 2**31 - 2, 2**31 - 4], np.int32),
        np.array([-128, 127, 0], np.int8),
        np.array([0, 1 << 22], np.int32),  # a table would be larger than is worth it
        np.array([0, (1 << 22) - 1], np.int32),
    ],
)
def test_labels_at_the_ends_of_their_types(place, labels):
    given = labels[RNG.integers(0, len(labels), (19, 23))]
    found = place(given)
    np.testing.assert_array_equal(found.values, np.unique(labels), strict=True)
    np.testing.assert_array_equal(found.values[found.classes], given, strict=True)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "i8"])
@pytest.mark.parametrize("others", [[3, 9], [0, 1, 254], [7]])
def test_ignored_labels(place, dtype, others):
    labels = np.array([*others, 255], dtype)
    given = labels[RNG.integers(0, len(labels), (19, 23))]
    found = place(given)
    assert found.ignore_index == 255
    assert "label 255 is ignored" in found.notes[0]
    np.testing.assert_array_equal(found.values, labels[:-1], strict=True)
    np.testing.assert_array_equal(found.ignored, given == 255, strict=True)
    expected = np.where(given == 255, others[0], given)
    np.testing.assert_array_equal(found.values[found.classes], expected)
    again = place(given, ignore_index=others[0])
    assert again.notes == []
    np.testing.assert_array_equal(again.values, labels[1:], strict=True)
    np.testing.assert_array_equal(again.ignored, given == others[0], strict=True)
    with pytest.raises(InvalidInput, match="equals ignore_index=255; pass ignore_index=False"):
        place(np.full((5, 6), 255, dtype), ignore_index=255)


def test_as_many_classes_as_labels_leave_when_one_is_ignored(place):
    """255 labels need 16 bits, 254 do not."""
    given = np.arange(256, dtype=np.uint8).reshape(8, 32).copy()
    given[0, 0] = 1  # 1..255
    found = place(given)
    assert (len(found.values), found.classes.dtype) == (254, np.uint8)
    np.testing.assert_array_equal(found.values[found.classes][~found.ignored], given[given < 255])


def test_too_many_labels(place):
    for dtype in ("i4", "i8"):
        with pytest.raises(InvalidInput, match=r"coarse has 65537 distinct labels"):
            place(np.arange(65537, dtype=dtype)[np.newaxis])
    assert len(place(np.arange(65536, dtype=np.int32)[np.newaxis]).values) == 65536


# ---- what it costs -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "u1"])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_nothing_but_the_result_is_allocated(dtype, axis):
    planes = moved(np.full((60, 150, 170), 1 if dtype == "u1" else 1 / 60), axis, dtype)
    ops = backends.of_host()
    ops.normalise(np.ones((1, 2, 3), np.float32), False, np.empty((2, 3), np.float32), 0)
    tracemalloc.start()
    found = door.coarse_map(planes, axis, Stages(), None, ops)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - found.probabilities.nbytes < planes[0].size  # bytes: less than a plane


@pytest.mark.parametrize("value_ops", [values, backends.of_host()], ids=["numpy", "cpu"])
@pytest.mark.parametrize("lay", [lambda a: a[:, ::-1], lambda a: a.astype(">f8")])
def test_what_is_converted_is_some_rows(value_ops, lay):
    planes = lay(np.full((90, 300, 310), 1 / 90, np.float32))
    tracemalloc.start()
    found = door.coarse_map(planes, 0, Stages(), None, value_ops)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - found.probabilities.nbytes < 3 * 8 * door._STRIP < found.probabilities.nbytes


def test_an_array_of_nobody_else_becomes_the_result():
    for make in (probabilities, lambda count: 9 * probabilities(count)):
        given = make(4).astype(np.float32)
        expected = door.coarse_map(given.copy(), 0, Stages(), None, backends.of_host())
        found = door.coarse_map(given, 0, Stages(), None, backends.of_host(), reuse=True)
        assert found.probabilities is given or found.probabilities.base is given
        np.testing.assert_array_equal(found.probabilities, expected.probabilities)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "u1", "u2"])
def test_planes_on_a_device_cost_two_launches_and_one_wait(dtype, axis):
    ops = device_ops()
    for logits in (False, True)[: 1 if dtype[0] == "u" else 2]:
        given = probabilities(5) * 200 if dtype[0] == "u" or logits else probabilities(5)
        given = ops.xp.asarray(moved(given + dtype.startswith("u"), axis, dtype))
        with counted() as counts:
            door.coarse_map(given, axis, Stages(), None, ops)
        assert total_of(counts) == {"launch": 2, "wait": 1, "allocation": 2}


@pytest.mark.parametrize(
    ("dtype", "waits"), [("u1", 1), ("u2", 1), ("i2", 1), ("i4", 2), ("i8", 2)]
)
def test_labels_on_a_device_cost_few_launches(dtype, waits):
    ops = device_ops()
    given = ops.xp.asarray(RNG.integers(0, 9, (19, 23)).astype(dtype))
    with counted() as counts:
        door.coarse_map(given, 0, Stages(), None, ops)
    found = total_of(counts)
    assert found["wait"] == waits
    assert found["launch"] == 1 + waits
    assert "compiled" not in found


def total_of(counts):
    found = {}
    for (kind, *_), number in counts.items():
        found[kind] = found.get(kind, 0) + number
    return found


# ---- whole calls -------------------------------------------------------------------------------


@pytest.fixture
def device(monkeypatch):
    found = ExecutorDevice("shuffled")
    monkeypatch.setattr(cupy_device, "open_device", lambda number=0: found)
    return found


def planes_and_image(classes=3):
    truth = blobs((72, 107), classes)
    coarse = reduced(truth, 4)
    planes = np.stack([coarse == k for k in range(classes)]) + 0.1
    planes += 0.2 * np.random.default_rng(173).random(planes.shape)
    return photograph(truth, 3, "uint8"), planes / planes.sum(axis=0), coarse


@pytest.mark.filterwarnings("ignore::hdseg_gpu.RefinementWarning")
@pytest.mark.parametrize("change", [lambda p: p, lambda p: 9 * p, lambda p: (p * 255).astype("u1")])
def test_a_map_on_the_device_is_the_same_map(device, change):
    image, planes, _ = planes_and_image()
    for given in (change(planes.astype(np.float32)), change(planes)):
        options = {"backend": "cuda", "return_probabilities": True, "return_report": True}
        expected = refine(image, given, **options)
        found = refine(image, device.xp.asarray(given), **options)
        for mine, theirs in zip(found[:2], expected[:2], strict=True):
            np.testing.assert_array_equal(mine, theirs, strict=True)
        assert found[2].notes == expected[2].notes


@pytest.mark.filterwarnings("ignore::hdseg_gpu.RefinementWarning")
@pytest.mark.parametrize("dtype", ["u1", "i8", "?"])
def test_labels_on_the_device_are_the_same_map(device, dtype):
    image, _, coarse = planes_and_image()
    coarse = coarse.astype(dtype)
    if dtype == "u1":
        coarse[3:6, 5:9] = 255
    expected, report = refine(image, coarse, backend="cuda", return_report=True)
    found, again = refine(image, device.xp.asarray(coarse), backend="cuda", return_report=True)
    np.testing.assert_array_equal(found, expected, strict=True)
    assert again.notes == report.notes


@pytest.mark.filterwarnings("ignore::hdseg_gpu.RefinementWarning")
def test_a_device_that_is_too_small_for_the_check(device, monkeypatch):
    image, planes, _ = planes_and_image()
    planes = 9 * planes

    def full(*args):
        raise OutOfDeviceMemory("full")

    expected, report = refine(image, planes, backend="cuda", return_report=True)
    monkeypatch.setattr(CudaOps, "normalise", full)
    found, again = refine(image, device.xp.asarray(planes), backend="cuda", return_report=True)
    np.testing.assert_array_equal(found, expected)
    assert again.notes == report.notes
    assert again.backend == "cuda"


@pytest.mark.filterwarnings("ignore::hdseg_gpu.RefinementWarning")
def test_a_map_on_the_device_goes_on_with_the_processor(device, monkeypatch):
    image, planes, _ = planes_and_image()
    expected = refine(image, planes, backend="cpu")

    def full(*args):
        raise OutOfDeviceMemory("full")

    monkeypatch.setattr(CudaOps, "cell_moments", full)
    found, report = refine(image, device.xp.asarray(planes), return_report=True)
    np.testing.assert_array_equal(found, expected)
    assert report.backend == "cpu"


@pytest.mark.filterwarnings("ignore::hdseg_gpu.RefinementWarning")
def test_a_map_on_another_device(device, monkeypatch):
    image, planes, _ = planes_and_image()
    monkeypatch.setattr(DeviceArray, "device", SimpleNamespace(id=1))
    with monkeypatch.context() as patch:
        patch.setattr(CudaOps, "stack_extremes", None)  # nobody asks the first device
        found = refine(image, device.xp.asarray(planes), backend="cuda")
    np.testing.assert_array_equal(found, refine(image, planes, backend="cuda"))


def test_float_images_and_boundary_maps_on_the_device_are_looked_at_there(device):
    image = device.xp.asarray(RNG.random((40, 48, 3), np.float32))
    coarse = np.zeros((10, 12), np.uint8)
    bad = image.copy()
    bad[39, 47, 2] = np.nan
    with pytest.raises(InvalidInput, match=r"image holds NaN or infinity.*\[39, 47, 2\]"):
        refine(bad, coarse)
    edge_map = device.xp.asarray(RNG.random((40, 48)) * 1.5)
    with pytest.raises(InvalidInput, match=r"boundary has values from .* to 1\.\d+; scale it"):
        refine(image, coarse, boundary=edge_map, edges="boundary")


@pytest.mark.parametrize("dtype", ["?", "u1", "u2", "i4", "i8"])
@pytest.mark.filterwarnings("ignore::hdseg_gpu.RefinementWarning")
def test_seeds_of_any_type(device, dtype):
    mask = blobs((60, 70), 2 if dtype == "?" else 3).astype(dtype)
    expected = seeds(mask, passes=3, backend="reference")
    np.testing.assert_array_equal(seeds(mask, passes=3, backend="cpu"), expected, strict=True)
    found = seeds(device.xp.asarray(mask), passes=3)
    np.testing.assert_array_equal(found.get(), expected, strict=True)
    assert interop.home_of(found).on_device


@pytest.mark.parametrize("axis", [0, 2, -1])
def test_the_advice_for_one_class_works(axis):
    p = np.random.default_rng(61).random((6, 7, 1) if axis else (1, 6, 7))
    with pytest.raises(InvalidInput, match="1 class on axis") as caught:
        door.coarse_map(p, axis, Stages())
    advice = str(caught.value).partition("pass numpy.")[2].rstrip(".")
    found = door.coarse_map(eval(f"numpy.{advice}", {"numpy": np, "p": p}), axis, Stages())
    assert found.probabilities.shape == (2, 6, 7)
    np.testing.assert_allclose(found.probabilities[1], p.reshape(6, 7), rtol=1e-6)
