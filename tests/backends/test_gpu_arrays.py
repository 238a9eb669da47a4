"""Arrays on a real device: they stay on it, and are ordered with other libraries' work."""

import re
from pathlib import Path

import gpu
import numpy as np
import pytest
from gallery import blobs, photograph, reduced

import hdseg_gpu
from hdseg_gpu import refine, seeds, thinning

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("default"),
    pytest.mark.skipif(gpu.reason_against() is not None, reason=f"{gpu.reason_against()}"),
]
SHAPE = (700, 900)
CYCLES = 500_000_000  # a quarter of a second or so
WAIT = r"""
extern "C" __global__ void wait(long long cycles) {
  const long long start = clock64();
  while (clock64() - start < cycles) {}
}
"""


@pytest.fixture(scope="module")
def given():
    """Image, coarse map and the labels that host arrays give."""
    truth = blobs(SHAPE, 3)
    image, coarse = photograph(truth), reduced(truth, 4.0)
    return image, coarse, refine(image, coarse, backend="cuda")


class Bare:
    """What knows nothing but the protocol."""

    def __init__(self, array):
        self.array = array
        self.__cuda_array_interface__ = array.__cuda_array_interface__


def cupys(array):
    import cupy

    return cupy.asarray(array)


def bare(array):
    return Bare(cupys(array))


def torchs(array):
    torch = pytest.importorskip("torch", exc_type=ImportError)
    if not torch.cuda.is_available():
        pytest.skip("torch sees no device")
    return torch.as_tensor(array).cuda()


def numbas(array):
    cuda = pytest.importorskip("numba.cuda", exc_type=ImportError)
    try:
        return cuda.to_device(array)
    except Exception as error:  # of a driver or toolkit that Numba does not know
        pytest.skip(f"Numba cannot use the device: {error}")


def values(array):
    """Return any array in host memory."""
    if isinstance(array, np.ndarray):
        return array
    return array.cpu().numpy() if type(array).__module__ == "torch" else array.get()


KINDS = {"CuPy": cupys, "torch": torchs, "Numba": numbas, "protocol": bare}
of_every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def downloads(monkeypatch):
    """A list that gets the bytes of each copy to host memory by CuPy."""
    import cupy

    found, get = [], cupy.ndarray.get

    def counted(self, *arguments, **options):
        found.append(self.nbytes)
        return get(self, *arguments, **options)

    monkeypatch.setattr(cupy.ndarray, "get", counted)
    assert cupys(np.arange(3)).get().sum() == 3
    assert found == [24]
    found.clear()
    return found


def check_kind(kind, array, device=0):
    """Check that an array is what an input of a kind is answered with."""
    if kind == "torch":
        import torch

        assert isinstance(array, torch.Tensor)
        assert (array.device.type, array.device.index) == ("cuda", device)
        return
    import cupy

    assert isinstance(array, cupy.ndarray)
    assert array.device.id == device


@of_every_kind
def test_results_are_where_the_image_is(kind, downloads):
    truth = blobs(SHAPE, 3)
    image, coarse = photograph(truth), reduced(truth, 16.0)
    expected = refine(image, coarse, backend="cuda")
    there = KINDS[kind](image)
    downloads.clear()
    labels, found = refine(there, coarse, return_probabilities=True)
    # Counts, sums, and tables with a row for some cells may come to the host, pictures may not.
    assert max(downloads, default=0) < expected.nbytes / 4
    assert sum(downloads) < expected.nbytes / 2
    check_kind(kind, labels)
    check_kind(kind, found)
    np.testing.assert_array_equal(values(labels), expected, strict=True)
    _, exact = refine(image, coarse, backend="cuda", return_probabilities=True)
    np.testing.assert_array_equal(values(found), exact, strict=True)


@pytest.mark.parametrize("kind", ["CuPy", "torch", "Numba"])
def test_the_coarse_map_may_be_anywhere(given, kind):
    image, coarse, expected = given
    labels = refine(image, KINDS[kind](coarse), backend="cuda")
    np.testing.assert_array_equal(labels, expected, strict=True)
    labels = refine(KINDS[kind](image), KINDS[kind](coarse))
    check_kind(kind, labels)
    np.testing.assert_array_equal(values(labels), expected, strict=True)


@pytest.mark.parametrize("kind", ["CuPy", "torch"])
def test_the_cpu_path_gives_results_back_to_the_device(given, kind):
    image, coarse, _ = given
    labels = refine(KINDS[kind](image), coarse, backend="cpu")
    check_kind(kind, labels)
    np.testing.assert_array_equal(values(labels), refine(image, coarse, backend="cpu"), strict=True)


@of_every_kind
def test_inputs_stay_as_they_are(given, kind):
    image, coarse, _ = given
    there = KINDS[kind](image)
    refine(there, coarse, gamma=0.0)
    if kind == "protocol":
        there = there.array
    elif kind == "Numba":
        there = cupys(there)
    np.testing.assert_array_equal(values(there), image)


@of_every_kind
def test_seeds_and_thinning(kind):
    mask = blobs((403, 517), 3)
    found = seeds(KINDS[kind](mask), passes=5)
    check_kind(kind, found)
    np.testing.assert_array_equal(values(found), seeds(mask, passes=5, backend="cpu"), strict=True)
    found = thinning(KINDS[kind](mask), "9x9", 5)
    check_kind(kind, found)
    expected = thinning(mask, "9x9", 5, backend="cpu")
    np.testing.assert_array_equal(values(found), expected, strict=True)


def test_views_and_other_axes(given):
    image, coarse, expected = given
    there = cupys(image)
    for view, axis in (
        (cupys(image[:, ::-1].copy())[:, ::-1], -1),
        (there.transpose(2, 0, 1), 0),
        (cupys(image.transpose(2, 0, 1).copy()), 0),
        (cupys(np.pad(image, ((0, 0), (0, 0), (0, 1))))[:, :, :3], -1),
    ):
        labels = refine(view, coarse, channel_axis=axis)
        np.testing.assert_array_equal(labels.get(), expected)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64"])
@pytest.mark.parametrize("kind", ["CuPy", "torch"])
def test_labels_of_any_type(given, kind, dtype):
    image, coarse, _ = given
    coarse = (coarse > 0).astype(dtype)
    labels = values(refine(KINDS[kind](image), coarse))
    np.testing.assert_array_equal(labels, refine(image, coarse, backend="cuda"), strict=True)


# Order: kernels wait for the work that makes the image, and results for the kernels.


def test_the_current_stream_of_cupy(given):
    import cupy

    image, coarse, expected = given
    source, late = cupys(image), cupy.zeros(image.shape, np.uint8)
    wait = cupy.RawKernel(WAIT, "wait")
    wait((1,), (1,), (np.int64(1),))  # compiles
    cupy.cuda.Device().synchronize()
    with cupy.cuda.Stream(non_blocking=True):
        wait((1,), (1,), (np.int64(CYCLES),))
        cupy.copyto(late, source)
        labels = refine(late, coarse)
        wait((1,), (1,), (np.int64(1),))
        found = labels.get()
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("own_stream", [False, True])
def test_the_current_stream_of_torch(given, own_stream):
    image, coarse, expected = given
    source = torchs(image)
    import torch

    late = torch.zeros_like(source)
    torch.cuda.synchronize()
    stream = torch.cuda.Stream() if own_stream else torch.cuda.default_stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(CYCLES)
        late.copy_(source)
        labels = refine(late, coarse)
        late.zero_()  # who comes later may have the memory
        found = (labels + 0).cpu().numpy()
    np.testing.assert_array_equal(found, expected)


def test_streams_of_torch_and_cupy_at_once(given):
    """torch's own stream makes the image, CuPy's another one has the kernels."""
    import cupy

    image, coarse, expected = given
    source = torchs(image)
    import torch

    late = torch.zeros_like(source)
    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()), cupy.cuda.Stream(non_blocking=True):
        torch.cuda._sleep(CYCLES)
        late.copy_(source)
        labels = refine(late, coarse)
        found = (labels + 0).cpu().numpy()
    np.testing.assert_array_equal(found, expected)


def test_results_outlive_what_they_were_made_from(given):
    """Memory that is free again is not that of results."""
    image, coarse, expected = given
    kept = [refine(cupys(image), coarse) for _ in range(3)]
    for _ in range(3):
        refine(cupys(255 - image), coarse)
    for labels in kept:
        np.testing.assert_array_equal(labels.get(), expected)


@pytest.mark.parametrize("kind", ["CuPy", "torch"])
def test_a_second_device(given, kind):
    import cupy

    if cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("there is one device only")
    image, coarse, expected = given
    with cupy.cuda.Device(1):
        there = cupys(image)
    if kind == "torch":
        there = torchs(image).to("cuda:1")
    labels, found = refine(there, coarse, return_probabilities=True)
    check_kind(kind, labels, 1)
    check_kind(kind, found, 1)
    np.testing.assert_array_equal(values(labels), expected, strict=True)
    # The current device is the one it was, and still works.
    assert cupy.cuda.Device().id == 0
    np.testing.assert_array_equal(refine(cupys(image), coarse).get(), expected)


def test_the_readmes_example(given):
    pytest.importorskip("torch")
    text = (Path(__file__).parents[2] / "README.md").read_text()
    (code,) = re.findall(r"```py\n(.*?)```", text, re.S)
    image, coarse, expected = given
    names = {"hdseg_gpu": hdseg_gpu, "image": image, "coarse": coarse}
    exec(code, names)
    for found in (names["on_device"].get(), names["tensor"].cpu().numpy(), names["labels"]):
        np.testing.assert_array_equal(found, expected)
