"""The whole backend `cuda`: the pipeline on the executor, compared with the CPU.

The same code runs as on a GPU: launches with their geometry, the order of arguments, the sizes of
arrays, and arrays that do not mix with NumPy's.
"""

import re

import numpy as np
import pytest
from executor import ORDERS, ExecutorDevice, build
from executor.arrays import DeviceArray
from gallery import blobs, photograph, reduced

import hdseg_gpu
from hdseg_gpu import InvalidInput, OutOfDeviceMemory, RefinementWarning, backends, refine
from hdseg_gpu.backends.cuda import cupy_device, vectors
from hdseg_gpu.backends.cuda import source as cuda_source
from hdseg_gpu.pipeline import doubt

pytestmark = pytest.mark.filterwarnings("ignore::hdseg_gpu.RefinementWarning")


@pytest.fixture(params=["shuffled"])
def device(request, monkeypatch):
    """The device that backend="cuda" finds."""
    found = ExecutorDevice(request.param)
    monkeypatch.setattr(cupy_device, "open_device", lambda number=0: found)
    return found


def scene(classes=2, shape=(72, 107), channels=3, dtype="uint8", scale=4):
    truth = blobs(shape, classes)
    return photograph(truth, channels, dtype), reduced(truth, scale), truth


def planes_of(coarse, classes):
    """Return probabilities that are not sure."""
    planes = np.stack([coarse == k for k in range(classes)]) + 0.1
    planes += 0.2 * np.random.default_rng(173).random(planes.shape)
    return (planes / planes.sum(axis=0)).astype(np.float32)


def both(image, coarse, **options):
    """Return labels, probabilities and report of `cuda` and of `cpu`."""
    return [
        refine(
            image, coarse, backend=backend,
            return_probabilities=True, return_report=True, **options,
        )
        for backend in ("cuda", "cpu")
    ]  # fmt: skip


def assert_same(found, atol=1e-4):
    (labels, planes, report), (expected, expected_planes, expected_report) = found
    np.testing.assert_allclose(planes, expected_planes, atol=atol)
    by_size = np.sort(expected_planes, axis=0)
    certified = by_size[-1] - by_size[:-1].max(axis=0, initial=0) > 2 * len(planes) * atol
    assert certified.mean() > 0.9
    # Uncertified pixels also take part in the majority filter.
    np.testing.assert_array_equal(labels[certified], expected[certified], strict=True)
    assert report.backend == "cuda"
    assert (report.unknown_pixels, report.doubt, report.notes) == (
        expected_report.unknown_pixels,
        expected_report.doubt,
        expected_report.notes,
    )
    assert report.systems <= expected_report.systems  # small ones are merged
    assert abs(report.uncertified_pixels - expected_report.uncertified_pixels) <= 5
    assert 0 <= report.error_estimate <= report.tolerance


SCENES = {
    "default": (scene(), {}),
    "grey floats": (scene(channels=1, dtype="float32"), {}),
    "5 channels of float64": (scene(3, channels=5, dtype="float64"), {}),
    "2 channels, wide cells": (scene(channels=2, scale=16), {}),
    "16 bits": (scene(dtype="uint16"), {}),
    "plain walker": (scene(3), {"gamma": 0.0}),
    "library's cg": (scene(3), {"gamma": 0.0, "solver": "cg"}),
    "library's cg with evidence": (scene(3), {"solver": "cg"}),
    "direct": (scene(3), {"gamma": 0.0, "solver": "direct"}),
    "amg": (scene(), {"gamma": 0.0, "solver": "amg"}),
    "no passes": (scene(), {"passes": 0}),
    "nearest, 9x9": (scene(), {"interpolation": "nearest", "elements": "9x9", "passes": 3}),
    "sharp edges": (scene(dtype="uint8"), {"gamma": 0.0, "beta": 20000.0}),
    "one class": ((scene()[0], np.zeros((9, 13), np.uint8), None), {}),
}


@pytest.mark.parametrize("name", SCENES)
def test_labels_are_those_of_the_processor(device, name):
    (image, coarse, _), options = SCENES[name]
    if name == "amg":
        found = [refine(image, coarse, backend=b, **options) for b in ("cuda", "cpu")]
        np.testing.assert_array_equal(*found)
        return
    assert_same(both(image, coarse, **options))


@pytest.mark.parametrize("device", ORDERS, indirect=True)
@pytest.mark.parametrize("gamma", [0.0, 1.0])
def test_in_any_order_of_threads(device, gamma):
    image, coarse, _ = scene(3, shape=(41, 67))
    assert_same(both(image, coarse, gamma=gamma))


def test_with_doubt(device, monkeypatch):
    """All rounds, from wide windows to narrow ones."""
    monkeypatch.setattr(doubt, "_CONTRADICTION", (-9.0, -8.0))
    monkeypatch.setattr("hdseg_gpu.engine.steps.MOST_DETAIL", 9.0)
    image, coarse, _ = scene(3)
    found = both(image, coarse)
    assert_same(found)
    assert found[0][2].doubt == 1
    planes = planes_of(coarse, 3)
    assert_same(both(image, planes))


def test_probabilities(device):
    image, coarse, _ = scene(3)
    planes = planes_of(coarse, 3)
    for how in ("linear", "cubic"):
        assert_same(both(image, planes, interpolation=how))
    assert_same(both(image, planes, unsure=0.2, gamma=0.0))
    found = refine(image, planes.transpose(1, 2, 0), class_axis=-1, backend="cuda",
                   return_probabilities=True)  # fmt: skip
    assert found[1].shape == (*image.shape[:2], 3)


def test_published(device):
    image, coarse, _ = scene()
    boundary = np.random.default_rng(179).random(image.shape[:2], np.float32)
    for options in ({}, {"boundary": boundary}):
        found = both(image, coarse, method="published", solver="multigrid", **options)
        assert_same(found)
    assert found[0][2].edges == "boundary"


@pytest.mark.parametrize("gamma", [0.0, 1.0])
def test_ignored_pixels(device, gamma):
    image, coarse, _ = scene(3)
    coarse[:4, :7], coarse[9, 9] = 255, 255
    found = both(image, coarse, ignore_index=255, gamma=gamma)
    assert_same(found)
    assert (found[0][0] == 255).any()


def test_many_classes(device):
    """Two bytes for a class, and instances whose regions share their systems."""
    image = photograph(blobs((80, 112)), 3)
    coarse = np.arange(20 * 28, dtype=np.int32).reshape(20, 28) // 2 * 7
    found = both(image, coarse, passes=2, interpolation="nearest")
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert found[0][0].dtype == np.int32
    assert found[0][2].systems <= 2 < found[1][2].systems


def test_labels_keep_their_values(device):
    image, coarse, _ = scene()
    for values in (np.array([3, 700], np.int16), np.array([False, True])):
        found = both(image, values[coarse])
        np.testing.assert_array_equal(found[0][0], found[1][0], strict=True)


# ---- where arrays live -------------------------------------------------------------------------


def test_results_are_where_the_image_is(device):
    image, coarse, _ = scene(3)
    expected, planes = refine(image, coarse, backend="cuda", return_probabilities=True)
    assert isinstance(expected, np.ndarray)
    there = device.xp.asarray(image)
    for backend in ("auto", "cuda"):
        for small in (coarse, device.xp.asarray(coarse)):
            found, probabilities = refine(
                there, small, backend=backend, return_probabilities=True, class_axis=1
            )
            assert isinstance(found, DeviceArray)
            np.testing.assert_array_equal(found.get(), expected, strict=True)
            np.testing.assert_array_equal(probabilities.get(), np.moveaxis(planes, 0, 1))
    np.testing.assert_array_equal(there.get(), image)


def test_a_boundary_map_on_the_device(device):
    image, coarse, _ = scene()
    boundary = np.random.default_rng(181).random(image.shape[:2], np.float32)
    expected = refine(image, coarse, boundary=boundary, edges="boundary", backend="cuda")
    xp = device.xp
    for first, second in ((image, boundary), (xp.asarray(image), xp.asarray(boundary))):
        found = refine(first, coarse, boundary=second, edges="boundary", backend="cuda")
        np.testing.assert_array_equal(found if first is image else found.get(), expected)


def test_an_image_on_the_device_for_the_processor(device, monkeypatch):
    image, coarse, _ = scene()
    monkeypatch.setattr(cupy_device, "uploaded", lambda array, number: device.xp.asarray(array))
    found, report = refine(device.xp.asarray(image), coarse, backend="cpu", return_report=True)
    assert isinstance(found, DeviceArray)
    assert report.backend == "cpu"
    np.testing.assert_array_equal(found.get(), refine(image, coarse, backend="cpu"))


def test_seeds_and_thinning(device):
    labels = np.array([2, 5, 9])[blobs((61, 83), 3)].astype(np.int32)
    there = device.xp.asarray(labels)
    expected = hdseg_gpu.seeds(labels, passes=3, backend="cpu")
    np.testing.assert_array_equal(hdseg_gpu.seeds(labels, passes=3, backend="cuda"), expected)
    np.testing.assert_array_equal(hdseg_gpu.seeds(there, passes=3).get(), expected, strict=True)
    mask = labels == 5
    expected = hdseg_gpu.thinning(mask, "9x9", 3, backend="cpu")
    found = hdseg_gpu.thinning(device.xp.asarray(mask), "9x9", 3)
    np.testing.assert_array_equal(found.get(), expected, strict=True)
    bits = np.packbits(mask, axis=1, bitorder="little")
    found = hdseg_gpu.thinning(device.xp.asarray(bits), "9x9", 3, packed_width=83)
    np.testing.assert_array_equal(np.unpackbits(found.get(), axis=1, count=83, bitorder="little"),
                                  expected)  # fmt: skip


def test_bad_input_on_the_device(device):
    image, coarse, _ = scene(dtype="float32")
    image[3, 5, 1] = np.nan
    with pytest.raises(InvalidInput, match=r"NaN or infinity, first at index \[3, 5, 1\]"):
        refine(device.xp.asarray(image), coarse)
    with pytest.raises(InvalidInput, match="unsupported dtype int64"):
        refine(device.xp.asarray(np.zeros((9, 9), np.int64)), coarse)
    image[3, 5, 1] = 0
    with pytest.raises(InvalidInput, match="max_device_memory=0"):
        refine(image, coarse, max_device_memory=0)


# ---- memory ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("gamma", [0.0, 1.0])
def test_strips_give_the_same_labels(device, dtype, gamma):
    image, coarse, _ = scene(3, dtype=dtype)
    options = {"gamma": gamma, "return_probabilities": True}
    expected = refine(image, coarse, backend="cuda", **options)
    budget = image.nbytes  # too little for the image as a whole
    found = refine(image, coarse, backend="cuda", max_device_memory=budget, **options)
    np.testing.assert_array_equal(found[0], expected[0])
    if dtype == "uint8":  # its mean and deviation are exact
        np.testing.assert_array_equal(found[1], expected[1])
    else:
        np.testing.assert_allclose(found[1], expected[1], atol=1e-5)


class Short:
    """Runs out of memory when the image comes in strips longer than this."""

    def __init__(self, device, rows):
        self.tried, self._rows, self._sent = [], rows, device.sent

    def __call__(self, strips, into):
        self.tried.append(max(map(len, strips)))
        if self.tried[-1] > self._rows:
            raise OutOfDeviceMemory("too little")
        return self._sent(strips, into)


def test_out_of_memory_halves_the_strips(device, monkeypatch):
    image, coarse, _ = scene()
    expected = refine(image, coarse, backend="cuda")
    row = image[0].nbytes
    monkeypatch.setattr(device, "memory", 16 * 40 * row)
    short = Short(device, 20)
    monkeypatch.setattr(device, "sent", short)
    found, report = refine(image, coarse, backend="cuda", return_report=True)
    np.testing.assert_array_equal(found, expected)
    assert short.tried[:2] == [72, 20]  # as a whole, and half of 40
    assert (report.backend, report.fallbacks) == ("cuda", ())


def test_out_of_memory_goes_to_the_processor_if_it_may(device, monkeypatch):
    image, coarse, _ = scene()
    monkeypatch.setattr(device, "sent", Short(device, 0))
    with pytest.raises(OutOfDeviceMemory, match="too little"):
        refine(image, coarse, backend="cuda")
    with pytest.warns(RefinementWarning, match="backend 'cpu' instead of 'cuda': too little"):
        found, report = refine(image, coarse, backend="auto", return_report=True)
    assert report.backend == "cpu"
    assert len(report.fallbacks) == 1
    np.testing.assert_array_equal(found, refine(image, coarse, backend="cpu"))


def test_nothing_is_changed_when_it_fails(device, monkeypatch):
    image, coarse, _ = scene()
    there, before = device.xp.asarray(image), coarse.copy()

    def fails(*args, **kwargs):
        raise OutOfDeviceMemory("too little")

    monkeypatch.setattr(device, "launch", fails)
    with pytest.raises(OutOfDeviceMemory):
        refine(there, coarse, backend="cuda")
    np.testing.assert_array_equal(there.get(), image)
    np.testing.assert_array_equal(coarse, before)


# ---- and all of it -----------------------------------------------------------------------------


def test_every_kind_of_kernel_runs_in_the_pipeline(device, monkeypatch):
    """What nothing launches is proven by nothing; the suites of ops have all types."""
    for name in (
        "default", "grey floats", "5 channels of float64", "2 channels, wide cells",
        "plain walker", "direct", "sharp edges", "nearest, 9x9",
    ):  # fmt: skip
        (image, coarse, _), options = SCENES[name]
        refine(image, coarse, backend="cuda", **options)
    test_with_doubt(device, monkeypatch)
    test_many_classes(device)
    test_seeds_and_thinning(device)
    (image, coarse, _), _ = SCENES["plain walker"]
    with monkeypatch.context() as patch:  # separate kernels for each level, as for large ones
        patch.setattr(vectors, "_SMALL", 0)
        refine(image, coarse, gamma=0.0, backend="cuda")
    refine(image[:12, :16], coarse[:3, :4], gamma=0.0, backend="cuda")  # the finest is the coarsest
    hdseg_gpu.seeds(blobs((40, 40)).astype(np.uint16), passes=1, backend="cuda")
    hdseg_gpu.seeds(np.arange(400).reshape(20, 20).repeat(3, 0), passes=1, backend="cuda")
    # Only one label reaches a component.
    refine(*scene(shape=(80, 100))[:2], gamma=0.0, passes=12, backend="cuda")
    cells = np.ones((1, 3, 3), np.int8)
    cells[0, 1, 1], cells[0, 0] = 0, -1
    hdseg_gpu.thinning(blobs((40, 40)) > 0, cells, 1, backend="cuda")
    planes = planes_of(scene()[1], 2)
    refine(image, planes, unsure=0.1, gamma=0.0, backend="cuda")
    refine(image, planes, interpolation="cubic", backend="cuda")
    # Kernels that check input depend on its type: tests/core/test_coarse_map.py runs them.
    files = [file for file in cuda_source.names() if file != "values.cu"]
    wanted, launched = (
        {re.sub(r"(_(u8|u16|u32|f32|f64))+", "", kernel) for kernel in kernels}
        for kernels in (
            {kernel for file in files for kernel in build.kernel_names(file)},
            {kernel for _, kernel in device.launched},
        )
    )
    # These ops exist for every level; the solver uses them on the finest only.
    of_finest = "look_ahead", "residual", "refresh", "doubtful", "factor", "bound"
    assert wanted - launched == {
        *(f"sparse_{op}" for op in of_finest), "rows_count_chosen", "rows_submatrix"
    }  # fmt: skip


def test_what_is_launched_was_prepared(device, monkeypatch):
    """Texts that are compiled side by side at the start are those that will be needed."""
    image, coarse, _ = scene()
    refine(image, coarse, backend="cuda")
    monkeypatch.setattr(doubt, "_CONTRADICTION", (-9.0, -8.0))
    monkeypatch.setattr("hdseg_gpu.engine.steps.MOST_DETAIL", 9.0)
    refine(image, coarse, backend="cuda")
    prepared, launched = (
        {cuda_source.source(*kernel) for kernel in kernels}
        for kernels in (device.prepared, device.launched)
    )
    assert launched == prepared
    for types in (scene(channels=2, dtype="float64"), scene(channels=1, dtype="uint16")):
        refine(*types[:2], backend="cuda")  # names of all kernels exist


def test_the_backend_is_chosen_by_where_arrays_are(device, monkeypatch):
    assert backends.select("auto").name == "cuda"
    assert "cuda" in hdseg_gpu.available_backends()

    def missing(number=0):
        raise hdseg_gpu.BackendUnavailable("none")

    monkeypatch.setattr(cupy_device, "open_device", missing)
    assert backends.select("auto").name == "cpu"


def test_from_file_to_file(device, tmp_path):
    """Tiles on a device: every array that meets another is on its side."""
    image, coarse, _ = scene(3)
    expected = refine(image, coarse, backend="cpu")
    hdseg_gpu.refine_file(image, coarse, tmp_path / "a.npy", backend="cuda", workers=1)
    assert np.mean(np.load(tmp_path / "a.npy") != expected) < 1e-3
