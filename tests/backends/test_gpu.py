"""The backend cuda on a real device: its results are the CPU path's, its memory is bounded.

``pytest -m gpu`` also runs all agreement tests of ops there (the parameter "gpu" of the fixture
`ops`); ``-k sanitize`` has the short ones that are meant for compute-sanitizer.
"""

import gc
from functools import partial
from importlib import metadata
from typing import Any

import gpu
import numpy as np
import pytest
from gallery import blobs, photograph, reduced
from numpy.typing import NDArray
from plain import plain
from scipy.ndimage import minimum_filter

from hdseg_gpu import (
    RefinementWarning,
    available_backends,
    refine,
    release_device_memory,
    seeds,
    thinning,
)
from hdseg_gpu.backends.cuda import cupy_device, transfer
from hdseg_gpu.backends.cuda.cupy_device import CudaDevice
from hdseg_gpu.core.errors import OutOfDeviceMemory
from hdseg_gpu.core.options import TOLERANCE
from hdseg_gpu.pipeline import doubt

# Ignore warnings of other libraries.
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("default"),
    pytest.mark.skipif(gpu.reason_against() is not None, reason=f"{gpu.reason_against()}"),
]
SHAPE = (301, 203)
SCALE = 4.3
RUNS = 5


def scene(
    classes=2, channels=3, dtype="uint8", shape=SHAPE, scale=SCALE
) -> tuple[NDArray[Any], NDArray[Any]]:
    truth = blobs(shape, classes)
    return photograph(truth, channels, dtype), reduced(truth, scale)


def probabilities_of(coarse, classes):
    rng = np.random.default_rng(41)
    planes = np.stack([coarse == k for k in range(classes)]) + rng.random((classes, *coarse.shape))
    return (planes / planes.sum(axis=0)).astype(np.float32)


def certain(probabilities, window):
    """Return where two solutions, each with errors up to the tolerance, have the same label."""
    second, first = np.sort(probabilities, axis=0)[-2:]
    return minimum_filter(first - second > 4 * TOLERANCE, window, mode="nearest")


def check_against_cpu(image, coarse, call=refine, **options):
    """Compare labels, where certain, and probabilities with those of the CPU path."""
    options |= {"return_probabilities": True, "return_report": True}
    expected, exact, on_cpu = call(image, coarse, backend="cpu", **options)
    labels, found, report = call(image, coarse, backend="cuda", **options)
    assert (report.backend, on_cpu.backend) == ("cuda", "cpu")
    assert not any("'cpu'" in text for text in report.fallbacks)
    assert (report.doubt, report.passes) == (on_cpu.doubt, on_cpu.passes)
    assert report.unknown_pixels > 100
    if report.doubt:  # a round decides the next one's band, and ties may fall otherwise
        same = labels == expected
        assert same.mean() > 0.999
        assert report.unknown_pixels == pytest.approx(on_cpu.unknown_pixels, rel=1e-3)
        return labels, report
    assert report.unknown_pixels == on_cpu.unknown_pixels  # of the coarse map alone: the same bits
    assert report.sigma == pytest.approx(on_cpu.sigma, rel=1e-9)
    assert labels.dtype == expected.dtype
    sure = certain(exact, report.majority)
    assert sure.mean() > 0.5
    np.testing.assert_array_equal(labels[sure], expected[sure])
    np.testing.assert_allclose(found, exact, rtol=0, atol=3 * TOLERANCE)
    return labels, report


def test_cuda_comes_first():
    assert available_backends()[:2] == ("cuda", "cpu")
    image, coarse = scene()
    _, report = refine(image, coarse, return_report=True)
    assert report.backend == "cuda"


def test_devices_are_described():
    from hdseg_gpu.backends.cuda.installation import descriptions

    assert descriptions()
    for device in descriptions():
        assert device["name"]
        assert float(device["GiB"]) > 0


@pytest.mark.parametrize("classes", [2, 3, 7, 40])
def test_labels_of_any_number_of_classes(classes):
    check_against_cpu(*scene(classes))


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 16])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_images_of_any_type(dtype, channels):
    check_against_cpu(*scene(3, channels, dtype))


@pytest.mark.parametrize("shape", [(64, 65), (31, 402), (402, 31), (1024, 768)])
def test_images_of_any_shape(shape):
    check_against_cpu(*scene(3, shape=shape))


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
@pytest.mark.parametrize("classes", [2, 3, 12])
def test_probabilities(classes, interpolation):
    image, coarse = scene(classes)
    planes = probabilities_of(coarse, classes)
    check_against_cpu(image, planes, interpolation=interpolation)
    check_against_cpu(image, planes, interpolation=interpolation, unsure=0.1, gamma=0.0)


@pytest.mark.parametrize("gamma", [0.0, 1.0])
def test_ignored_pixels(gamma):
    image, coarse = scene(3)
    coarse[5:30, 10:14] = 255
    labels, report = check_against_cpu(image, coarse, ignore_index=255, gamma=gamma)
    assert report.ignore_index == 255
    assert (labels == 255).sum() > 1000


def test_all_rounds(monkeypatch):
    monkeypatch.setattr(doubt, "_CONTRADICTION", (-9.0, -8.0))
    monkeypatch.setattr("hdseg_gpu.engine.steps.MOST_DETAIL", 9.0)
    image, coarse = scene(3)
    for small in (coarse, probabilities_of(coarse, 3)):
        _, report = check_against_cpu(image, small)
        assert report.doubt == 1


def test_labels_of_any_value():
    image, coarse = scene(3)
    labels, _ = check_against_cpu(image, np.array([-7, 0, 90_000], np.int32)[coarse])
    assert set(np.unique(labels)) == {-7, 0, 90_000}
    many = (np.arange(coarse.size).reshape(coarse.shape) // 9).astype(np.int32)
    assert many.max() > 254  # classes in uint16
    check_against_cpu(image, many, passes=4)


@pytest.mark.parametrize("solver", ["multigrid", "cg", "auto", "amg", "direct"])
@pytest.mark.parametrize("classes", [2, 3])
def test_plain_walker_by_all_solvers(classes, solver):
    if solver == "amg":
        pytest.importorskip("pyamg", exc_type=ImportError)
    _, report = check_against_cpu(*scene(classes), call=plain, solver=solver)
    assert solver in (report.solver, "auto")
    if solver in ("multigrid", "cg"):
        assert report.iterations > 0


@pytest.mark.parametrize("solver", ["multigrid", "cg"])
def test_evidence_by_both_solvers(solver):
    check_against_cpu(*scene(3), solver=solver)


@pytest.mark.parametrize("kind", ["labels", "probabilities"])
def test_published(kind):
    image, coarse = scene(3)
    if kind == "probabilities":
        coarse = probabilities_of(coarse, 3)
    check_against_cpu(image, coarse, method="published", solver="multigrid")


def test_boundary_map():
    image, coarse = scene()
    boundary = np.random.default_rng(5).random(SHAPE).astype(np.float32)
    check_against_cpu(image, coarse, edges="boundary", boundary=boundary)


def test_plain_interpolation():
    image, coarse = scene(3)
    expected = refine(image, coarse, passes=0, backend="cpu")
    np.testing.assert_array_equal(refine(image, coarse, passes=0, backend="cuda"), expected)


def test_seeds_and_thinning():
    mask = blobs((517, 403), 5)
    for elements in ("3x3", "9x9"):
        call = partial(seeds, mask, elements=elements, passes=9)
        np.testing.assert_array_equal(call(backend="cuda"), call(backend="cpu"))
        for x, width in (
            (mask > 1, None), (np.packbits(mask > 1, axis=1, bitorder="little"), 403)
        ):  # fmt: skip
            found, expected = (
                thinning(x, elements, 9, packed_width=width, backend=name)
                for name in ("cuda", "cpu")
            )
            np.testing.assert_array_equal(found, expected, strict=True)


def runs(image, coarse, **options):
    """Return labels and probabilities of several calls."""
    call = partial(refine, image, coarse, backend="cuda", return_probabilities=True, **options)
    return [call() for _ in range(RUNS)]


@pytest.mark.parametrize("gamma", [0.0, 1.0])
def test_every_run_gives_the_same_bits(gamma):
    first, *others = runs(*scene(3, shape=(640, 512)), gamma=gamma)
    for again in others:
        for a, b in zip(first, again, strict=True):
            assert a.tobytes() == b.tobytes()


def test_runs_of_the_library_agree():
    """cuSPARSE's product with a vector promises no more (docs/decisions/0007)."""
    first, *others = runs(*scene(3, shape=(640, 512)), gamma=0.0, solver="cg")
    sure = certain(first[1], 1)
    assert sure.mean() > 0.5
    for again in others:
        np.testing.assert_array_equal(again[0][sure], first[0][sure])
        np.testing.assert_allclose(again[1], first[1], rtol=0, atol=2 * TOLERANCE)


# Memory


@pytest.fixture
def pool():
    """The memory pool of the package on the first device, with nothing in it that is not needed."""
    gc.collect()
    found = cupy_device._pool(0)
    found.free_all_blocks()
    return found


@pytest.fixture
def large():
    """An image that takes far more memory than what is made of it: 128 bytes a pixel."""
    return scene(2, 16, "float64", (900, 1100), 16.0)


def test_strips_have_the_same_result_within_the_budget(pool, large, monkeypatch):
    image, coarse = large
    expected = refine(image, coarse, backend="cuda")
    streamed, send = [], CudaDevice.sent

    def spied(self, *arguments):
        streamed.append(arguments[-1] is None)  # not into an array for the whole image
        return send(self, *arguments)

    monkeypatch.setattr(CudaDevice, "sent", spied)
    pool.free_all_blocks()
    before = pool.total_bytes()
    for share in (0.75, 1.0, 1.5, 2.0, 2.9):
        budget = int(share * image.nbytes)
        streamed.clear()
        try:
            labels = refine(image, coarse, backend="cuda", max_device_memory=budget)
        except OutOfDeviceMemory:
            continue
        break
    else:
        pytest.fail(f"{budget} bytes are not enough for an image of {image.nbytes}")
    assert any(streamed)
    assert pool.total_bytes() <= before + budget
    np.testing.assert_array_equal(labels, expected)


def test_a_budget_is_of_one_call(pool, monkeypatch):
    image, coarse = scene()
    limits, before, launch = [], pool.used_bytes(), CudaDevice.launch

    def watched(self, *arguments, **options):
        limits.append(pool.get_limit())
        launch(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(CudaDevice, "launch", watched)
        refine(image, coarse, backend="cuda", max_device_memory=1 << 29)
    assert len(limits) > 50
    # Input and output come on top; the limit is also read after results were fetched.
    limits.append(pool.get_limit())
    assert 0 < max(limits) <= before + (1 << 29) + (image.nbytes << 2)
    limits.clear()
    for _ in range(6):
        refine(image, coarse, backend="cuda")
        limits.append(pool.get_limit())
    # Other processes may use memory meanwhile, but the limit does not shrink from call to call.
    assert min(limits) > 0.9 * max(limits)
    assert min(limits) > 1 << 30


@pytest.mark.parametrize("budget", [1, 1 << 20])
def test_too_small_a_budget(pool, large, budget):
    image, coarse = large
    before = pool.used_bytes()
    with pytest.raises(OutOfDeviceMemory, match="max_device_memory") as caught:
        refine(image, coarse, backend="cuda", max_device_memory=budget)
    assert "device 0" in str(caught.value)
    del caught
    with pytest.warns(RefinementWarning, match="'cpu' instead of 'cuda'"):
        labels, report = refine(
            image, coarse, backend="auto", max_device_memory=budget, return_report=True
        )
    assert report.backend == "cpu"
    assert report.fallbacks[0].startswith("backend 'cpu' instead of 'cuda': ")
    np.testing.assert_array_equal(labels, refine(image, coarse, backend="cpu"))
    gc.collect()
    assert pool.used_bytes() == before
    # The device still works.
    assert refine(image, coarse, backend="cuda", return_report=True)[1].backend == "cuda"


def test_too_small_a_budget_for_what_is_on_the_device(pool):
    import cupy

    image, coarse = scene(shape=(1200, 900))
    with pytest.warns(RefinementWarning, match="'cpu' instead of 'cuda'"):
        labels = refine(cupy.asarray(image), coarse, max_device_memory=1 << 20)
    assert isinstance(labels, cupy.ndarray)
    np.testing.assert_array_equal(labels.get(), refine(image, coarse, backend="cpu"))


@pytest.mark.parametrize("axis", [0, -1])
def test_large_results_are_fetched_in_pieces(axis, monkeypatch):
    """Contiguous or not: by way of pinned memory, of which there is little."""
    image, coarse = scene(3)
    planes = probabilities_of(coarse, 3)
    call = partial(refine, image, np.moveaxis(planes, 0, axis), class_axis=axis, backend="cuda")
    labels, found = call(return_probabilities=True)
    monkeypatch.setattr(transfer, "_WORTH", 1)
    monkeypatch.setattr(transfer, "_PIECE", 10_000)
    again = call(return_probabilities=True)
    np.testing.assert_array_equal(again[0], labels, strict=True)
    np.testing.assert_array_equal(again[1], found, strict=True)
    assert transfer._idle
    assert all(b.nbytes <= transfer.PINNED for b in transfer._idle[0].buffers)
    release_device_memory()
    assert not transfer._idle


def test_a_device_is_inspected_once(monkeypatch):
    """It takes longer than the call for a small picture."""
    refine(*scene(shape=(61, 47)), backend="cuda")
    monkeypatch.setattr(metadata, "distributions", None)
    refine(*scene(shape=(61, 47)), backend="cuda")


# For compute-sanitizer: all kernels of a pipeline on small pictures.


@pytest.fixture
def apart(monkeypatch):
    """Each array in memory that ends where it does, which the blocks of a pool do not."""
    from cupy.cuda import Memory, MemoryPointer

    def raw(pool, out_of_memory, size):
        return MemoryPointer(Memory(size), 0)

    monkeypatch.setattr(cupy_device, "_allocated", raw)


all_apart = pytest.mark.usefixtures("apart")


@all_apart
@pytest.mark.parametrize(
    "options",
    [{}, {"gamma": 0.0}, {"gamma": 0.0, "solver": "cg"}, {"elements": "9x9", "majority": 5}],
    ids=str,
)
def test_sanitize_labels(options):
    image, coarse = scene(3, shape=(61, 47))
    labels = refine(image, coarse, backend="cuda", **options)
    assert labels.shape == (61, 47)
    assert set(np.unique(labels)) <= {0, 1, 2}


@all_apart
def test_sanitize_probabilities():
    image, coarse = scene(3, 4, "uint16", (47, 61))
    planes = probabilities_of(coarse, 3)
    _, found = refine(
        image, planes, alpha=False, unsure=0.05, return_probabilities=True, backend="cuda"
    )
    assert np.abs(found.sum(axis=0) - 1).max() < 1e-3


@all_apart
def test_sanitize_ignored_pixels_of_floats():
    image, coarse = scene(2, 1, "float32", (33, 70))
    coarse[2:4, 3:9] = 255
    labels = refine(image, coarse, ignore_index=255, backend="cuda")
    assert (labels == 255).any()


@all_apart
def test_sanitize_thinning():
    mask = blobs((67, 45), 3)
    for elements in ("3x3", "9x9"):
        seeds(mask, elements=elements, passes=3, backend="cuda")
        thinning(mask > 0, elements, 3, backend="cuda")
        bits = np.packbits(mask > 0, axis=1, bitorder="little")
        thinning(bits, elements, 3, packed_width=45, backend="cuda")


@all_apart
def test_sanitize_strips():
    image, coarse = scene(2, 16, "float64", (160, 120), 8.0)
    # Apart from its pool no memory is refused, but images are still thought not to fit.
    refine(image, coarse, backend="cuda", max_device_memory=int(2.9 * image.nbytes))
