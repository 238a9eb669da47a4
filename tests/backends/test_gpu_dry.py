"""A dry run, on the executor, of the tests that need a GPU: finds faults in the tests themselves.

Only what needs a device (pools, streams, torch) is left out; its names are checked by `mypy`
(.ci/run), and those of CuPy by tests/backends/test_cuda_check.py.
"""

import sys

import pytest
import test_gpu
import test_gpu_arrays
from executor import ExecutorDevice
from executor.arrays import DeviceArray, namespace

from hdseg_gpu import refine
from hdseg_gpu.backends.cuda import band, cupy_device

SMALL = (101, 83)

PICTURES = {
    "labels": (test_gpu.test_labels_of_any_number_of_classes, 3),
    "floats": (test_gpu.test_images_of_any_type, "float64", 5),
    "probabilities": (test_gpu.test_probabilities, 2, "cubic"),
    "ignored": (test_gpu.test_ignored_pixels, 1.0),
    "multigrid": (test_gpu.test_plain_walker_by_all_solvers, 2, "multigrid"),
    "cg": (test_gpu.test_plain_walker_by_all_solvers, 2, "cg"),
    "direct": (test_gpu.test_plain_walker_by_all_solvers, 3, "direct"),
    "published": (test_gpu.test_published, "labels"),
    "boundary map": (test_gpu.test_boundary_map,),
    "interpolation": (test_gpu.test_plain_interpolation,),
    "same bits": (test_gpu.test_every_run_gives_the_same_bits, 0.0),
    "library": (test_gpu.test_runs_of_the_library_agree,),
    "strips": (test_gpu.test_sanitize_strips,),
    "sanitize": (test_gpu.test_sanitize_labels, {"elements": "9x9", "majority": 5}),
    "sanitize probabilities": (test_gpu.test_sanitize_probabilities,),
    "sanitize floats": (test_gpu.test_sanitize_ignored_pixels_of_floats,),
    "sanitize thinning": (test_gpu.test_sanitize_thinning,),
}
ARRAYS = {
    "coarse": (test_gpu_arrays.test_the_coarse_map_may_be_anywhere, "CuPy"),
    "inputs": (test_gpu_arrays.test_inputs_stay_as_they_are, "CuPy"),
    "views": (test_gpu_arrays.test_views_and_other_axes,),
    "kept": (test_gpu_arrays.test_results_outlive_what_they_were_made_from,),
    "types": (test_gpu_arrays.test_labels_of_any_type, "CuPy", "int64"),
}


@pytest.fixture
def device(monkeypatch):
    found = ExecutorDevice()
    monkeypatch.setattr(cupy_device, "open_device", lambda number=0: found)
    monkeypatch.setattr(test_gpu, "SHAPE", SMALL)
    monkeypatch.setattr(test_gpu, "RUNS", 2)
    whole = test_gpu.scene
    # Smaller scenes: on the executor a thread is a fiber.
    monkeypatch.setattr(
        test_gpu, "scene",
        lambda *args, shape=SMALL, **options: whole(
            *args[:3], shape=(47, 61) if shape == (640, 512) else shape, **options
        ),
    )  # fmt: skip
    return found


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", PICTURES)
def test_pictures(device, name):
    call, *arguments = PICTURES[name]
    if "monkeypatch" in call.__code__.co_varnames:
        arguments.append(pytest.MonkeyPatch())
    call(*arguments)
    assert device.launched


@pytest.mark.filterwarnings("default")
def test_all_rounds(device, monkeypatch):
    test_gpu.test_all_rounds(monkeypatch)


@pytest.fixture
def cupy(device, monkeypatch):
    """The executor's arrays, by the name that the tests know."""
    monkeypatch.setitem(sys.modules, "cupy", namespace)


@pytest.fixture
def given(cupy):
    """What the fixture of the same name gives, smaller."""
    image, coarse = test_gpu.scene(3)
    return image, coarse, refine(image, coarse, backend="cuda")


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays(given, name):
    call, *arguments = ARRAYS[name]
    call(given, *arguments)


@pytest.mark.filterwarnings("default")
def test_nothing_is_copied_back(cupy, monkeypatch):
    downloads, get = [], DeviceArray.get

    def counted(self):
        downloads.append(self.nbytes)
        return get(self)

    monkeypatch.setattr(DeviceArray, "get", counted)
    # Larger than the tables, one of which has the same size for all images.
    monkeypatch.setattr(test_gpu_arrays, "SHAPE", (201, 153))
    monkeypatch.setattr(band, "_AT_ONCE", 256)
    test_gpu_arrays.test_results_are_where_the_image_is("CuPy", downloads)
    assert downloads


@pytest.mark.filterwarnings("default")
def test_seeds_and_thinning(cupy, monkeypatch):
    small = test_gpu_arrays.blobs(SMALL, 3)
    monkeypatch.setattr(test_gpu_arrays, "blobs", lambda shape, classes: small)
    test_gpu_arrays.test_seeds_and_thinning("CuPy")
