"""Label maps written strip by strip, opened with the libraries that users open them with."""

import io
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from file_samples import refused
from PIL import Image

from hdseg_gpu.core.windows import Window
from hdseg_gpu.io.array_writer import write_npy, write_npz
from hdseg_gpu.io.png_jpeg import write_png
from hdseg_gpu.io.png_writer import write_png_stream
from hdseg_gpu.io.read import read_labels

RNG = np.random.default_rng(71)
SUFFIXES = {write_npy: ".npy", write_npz: ".npz", write_png_stream: ".png"}
SHAPES = ((1, 1), (1, 77), (77, 1), (512, 9), (513, 13), (1100, 131))


class Labels:
    """An array, of which windows are asked."""

    def __init__(self, array, largest=None):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.asked = []
        if largest is not None:
            self.largest = largest

    def read(self, window):
        self.asked.append(window)
        return self.array[window.slices]


def random_map(shape, dtype, high=None):
    high = high or (1 if dtype == "bool" else min(np.iinfo(dtype).max, 65535))
    return RNG.integers(0, high, shape, np.int64, endpoint=True).astype(dtype)


def discs(shape, dtype, classes):
    """Return large areas with curved boundaries."""
    y, x = np.mgrid[: shape[0], : shape[1]] / 100.0
    field = np.sin(y * 3 + np.cos(x * 2)) + np.cos(x * 4 - np.sin(y * 1.7)) + 2
    return field > 2 if dtype == "bool" else (field / 4.001 * classes).astype(dtype)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "int32", ">i4", "int64"])
def test_npy_is_what_numpy_writes(tmp_path, shape, dtype):
    array = RNG.integers(0, 2, shape).astype(dtype)
    write_npy(tmp_path / "a.npy", Labels(array))
    expected = io.BytesIO()
    np.save(expected, array)
    assert (tmp_path / "a.npy").read_bytes() == expected.getvalue()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", ">i4", "int64"])
def test_npz_is_what_numpy_reads(tmp_path, shape, dtype):
    array = RNG.integers(0, 2, shape).astype(dtype)
    write_npz(tmp_path / "a.npz", Labels(array))
    np.savez_compressed(tmp_path / "numpy.npz", array)
    with np.load(tmp_path / "a.npz") as found, np.load(tmp_path / "numpy.npz") as expected:
        assert list(found) == list(expected)
        np.testing.assert_array_equal(found["arr_0"], array, strict=True)


def test_npy_of_labels_that_are_not_contiguous(tmp_path):
    array = random_map((600, 40), "uint16")[:, ::3]
    write_npy(tmp_path / "a.npy", Labels(array))
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), array)


@pytest.mark.parametrize("write", [write_npy, write_npz, write_png_stream])
def test_rows_are_fetched_once_in_order(tmp_path, write):
    suffix = SUFFIXES[write]
    labels = Labels(random_map((1100, 31), "uint8"))
    write(tmp_path / f"a{suffix}", labels)
    assert labels.asked == [
        Window(0, 0, 512, 31),
        Window(512, 0, 512, 31),
        Window(1024, 0, 76, 31),
    ]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16"])
def test_png_reads_back(tmp_path, shape, dtype):
    array = random_map(shape, dtype)
    write_png_stream(tmp_path / "a.png", Labels(array))
    found = read_labels(tmp_path / "a.png")
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16"])
def test_png_has_the_header_that_pillow_writes(tmp_path, dtype):
    array = random_map((30, 21), dtype)
    expected = io.BytesIO()
    write_png(expected, array)
    write_png_stream(tmp_path / "a.png", Labels(array))
    assert (tmp_path / "a.png").read_bytes()[:33] == expected.getvalue()[:33]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16"])
def test_png_is_read_by_opencv(tmp_path, shape, dtype):
    cv2 = pytest.importorskip("cv2")
    array = random_map(shape, dtype)
    write_png_stream(tmp_path / "a.png", Labels(array))
    found = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(found, array * np.uint8(255) if dtype == "bool" else array)


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16"])
def test_png_is_read_by_rasterio(tmp_path, shape, dtype):
    rasterio = pytest.importorskip("rasterio")
    array = random_map(shape, dtype)
    write_png_stream(tmp_path / "a.png", Labels(array))
    with rasterio.open(tmp_path / "a.png") as dataset:
        np.testing.assert_array_equal(dataset.read(1), array)


@pytest.mark.parametrize(
    ("dtype", "largest", "stored"),
    [
        ("int8", None, "uint8"),
        ("int32", None, "uint16"),
        ("int32", 255, "uint8"),
        ("int64", 256, "uint16"),
        (">u2", None, "uint16"),
        ("uint16", 7, "uint16"),
    ],
)
def test_png_takes_the_depth_that_suffices(tmp_path, dtype, largest, stored):
    array = random_map((600, 51), dtype, min(largest or 65535, np.iinfo(dtype).max))
    write_png_stream(tmp_path / "a.png", Labels(array, largest))
    found = read_labels(tmp_path / "a.png")
    assert found.dtype.name == stored
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize(
    ("dtype", "value", "largest"),
    [("int32", -1, 9), ("int32", 256, 255), ("int64", 65536, 65536), ("int8", -1, None)],
)
def test_png_refuses_labels_that_would_change(tmp_path, dtype, value, largest):
    array = np.zeros((600, 5), dtype)
    array[-1, -1] = value
    with refused(tmp_path / "a.png", str(value), r"write \.tif, .*, \.npy or \.npz\.$"):
        write_png_stream(tmp_path / "a.png", Labels(array, largest))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16"])
def test_png_of_areas_is_small(tmp_path, dtype):
    array = discs((1500, 1100), dtype, 12)
    if dtype == "uint16":
        array *= 1001  # both bytes in use
    write_png_stream(tmp_path / "a.png", Labels(array))
    Image.fromarray(array).save(tmp_path / "pillow.png")
    size, usual = ((tmp_path / name).stat().st_size for name in ("a.png", "pillow.png"))
    assert size < 2 * usual
    assert size < array.size / 8


class Constant:
    """A map far larger than the memory that writing it may take."""

    shape, dtype = (16384, 4096), np.dtype(np.uint8)

    def read(self, window):
        return np.full(window.shape, window.top >> 9, np.uint8)


@pytest.mark.parametrize("write", [write_npy, write_npz, write_png_stream])
def test_memory_is_bounded(tmp_path, write):
    path: Path = tmp_path / f"a{SUFFIXES[write]}"
    tracemalloc.start()
    try:
        write(path, Constant())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12 << 20  # strips of 2 MiB; the map has 64
    assert read_labels(path)[::512, 0].tolist() == list(range(32))


@pytest.mark.parametrize("write", [write_npy, write_npz, write_png_stream])
def test_a_map_that_stops_leaves_the_old_file(tmp_path, write):
    class Stops(Constant):
        def read(self, window):
            if window.top:
                raise RuntimeError("stop")
            return super().read(window)

    path = tmp_path / f"a{SUFFIXES[write]}"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="stop"):
        write(path, Stops())
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"old"]
