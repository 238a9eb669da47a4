"""The memory of an image is known from its header: within the budget, or refused with numbers."""

import json
import subprocess
import sys
import zlib

import numpy as np
import pytest
import tifffile
from file_samples import memory_of
from PIL import Image

from hdseg_gpu import InvalidInput, open_image

SIDE = 4480  # a multiple of 16, for tiles
MIB = 1 << 20
CODE = """
import json, sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
from hdseg_gpu import InvalidInput, Window, open_image
from hdseg_gpu.core.memory import budget_of, peak
from hdseg_gpu.io import read_image
path, most, way = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
before, refused, values = peak(), "", []
try:
    if way == "read":
        pixels = read_image(path, budget=budget_of(most)).pixels
        values = pixels[1234:1236, 2345:2347].tolist()
    else:
        with open_image(path, max_memory=most) as source:
            values = source.read(Window(1234, 2345, 2, 2)).tolist()
            high, wide = (min(1000, n) for n in source.shape)
            source.read(Window(source.shape[0] - high, source.shape[1] - wide, high, wide))
except InvalidInput as error:
    refused = str(error)
print(json.dumps([before, peak(), refused, values]))
"""


def opened(path, most, way="open"):
    """Return what a process of its own finds that may occupy so many bytes."""
    done = subprocess.run([sys.executable, "-c", CODE, str(path), str(most), way],
                          capture_output=True, text=True, check=True)  # fmt: skip
    return json.loads(done.stdout)


def picture(mode, **options):
    def save(path):
        shape = (SIDE, SIDE, *{"RGB": (3,), "CMYK": (4,)}.get(mode, ()))
        pixels = np.zeros(shape, bool if mode == "1" else np.uint8)
        pixels[1234:1236, 2345:2347] = 1
        image = Image.fromarray(pixels, None if mode in ("1", "P") else mode)
        if mode == "P":
            image.putpalette([0, 0, 0, 1, 2, 3])
        image.save(path, **options)

    return save


def zarr_of(version, **options):
    def save(path):
        zarr = pytest.importorskip("zarr")
        array = zarr.create_array(path, shape=(2 * SIDE, 2 * SIDE), dtype="u1", fill_value=7,
                                  zarr_format=version, **options)  # fmt: skip
        array[:1, :1] = 0

    return save


def tiff(**options):
    return lambda path: tifffile.imwrite(path, np.zeros((2 * SIDE, 2 * SIDE), np.uint8), **options)


def raster(driver, **options):
    def save(path):
        rasterio = pytest.importorskip("rasterio")
        with rasterio.open(path, "w", driver=driver, width=SIDE, height=SIDE, count=3,
                           dtype="uint8", transform=rasterio.Affine(1, 0, 5, 0, -1, 7),
                           **options) as file:  # fmt: skip
            file.write(np.full((3, 999, SIDE), 7, np.uint8), window=((0, 999), (0, SIDE)))

    return save


def numbers(path):
    np.save(path, np.zeros((2 * SIDE, 2 * SIDE), np.uint8))


def packed(order):
    def save(path):
        pixels = np.zeros((2 * SIDE, 2 * SIDE), np.uint8, order)
        pixels[1235, 2345:2347] = 5
        np.savez_compressed(path, pixels)

    return save


FILES = {
    "bits.png": picture("1"),
    "palette.png": picture("P", bits=1),
    "colours.png": picture("RGB"),
    "inks.jpg": picture("CMYK", quality=95),
    "colours.jpg": picture("RGB", quality=95),
    "progressive.jpg": picture("RGB", progressive=True),
    "chunk.zarr": zarr_of(3, chunks=(2 * SIDE, 2 * SIDE)),
    "chunk2.zarr": zarr_of(2, chunks=(2 * SIDE, 2 * SIDE)),
    "chunks.zarr": zarr_of(3, chunks=(512, 512)),
    "shard.zarr": zarr_of(3, chunks=(640, 640), shards=(2 * SIDE, 2 * SIDE)),
    "strip.tif": tiff(compression="zlib", rowsperstrip=2 * SIDE),
    "tiles.tif": tiff(compression="zlib", tile=(512, 512)),
    "plain.tif": tiff(),
    "tile.tif": tiff(compression="jpeg", tile=(2 * SIDE, 2 * SIDE)),
    "a.npy": numbers,
    "rows.npz": packed("C"),
    "columns.npz": packed("F"),
    "a.jp2": raster("JP2OpenJPEG", blockxsize=SIDE, blockysize=SIDE, quality=20),
    "a.img": raster("HFA"),
}


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
@pytest.mark.parametrize("name", FILES)
def test_a_budget_is_kept_from_the_first_byte(tmp_path, name):
    pytest.importorskip("imagecodecs")
    pytest.importorskip("rasterio")
    FILES[name](tmp_path / name)
    values = set()
    for mib in (96, 200, 1000):
        before, peak, refused, found = opened(tmp_path / name, mib * MIB)
        assert peak <= mib * MIB, f"{peak // MIB} of {mib} MiB"
        if refused:
            assert mib < 1000
            assert f"of max_memory={mib * MIB}" in refused
            assert peak - before < 40 * MIB  # libraries alone
        else:
            values.add(str(found))
    assert len(values) == 1  # in whatever way it was read


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
@pytest.mark.parametrize(
    "name",
    [n for n in FILES if n[-4:] in (".png", ".jpg", ".tif", ".npy", ".npz")],
)
def test_whole_pictures_are_within_the_budget(tmp_path, name):
    pytest.importorskip("imagecodecs")
    FILES[name](tmp_path / name)
    for mib in (96, 320, 1000):
        before, peak, refused, _ = opened(tmp_path / name, mib * MIB, "read")
        assert peak <= mib * MIB, f"{peak // MIB} of {mib} MiB"
        assert mib < 1000 or not refused
        if refused:
            assert f"of max_memory={mib * MIB}" in refused
            assert peak - before < 20 * MIB


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_packed_columns_are_turned_part_by_part(tmp_path):
    FILES["columns.npz"](tmp_path / "a.npz")
    assert (2 * SIDE) ** 2 > 76 * MIB
    _, peak, refused, _ = opened(tmp_path / "a.npz", 160 * MIB, "read")
    assert not refused
    assert peak <= 160 * MIB


def test_chunks_of_an_array_are_counted():
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array({}, shape=(90_000, 90_000), dtype="u1", chunks=(30_000, 30_000))
    with pytest.raises(InvalidInput, match=r"shape \(30000, 30000\).* MiB are left of"):
        open_image(array, max_memory=memory_of(2 << 30))


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_pages_of_a_large_jpeg_are_given_back(tmp_path):
    """It is decoded into a mapped file, of more bytes than may be occupied."""
    pytest.importorskip("imagecodecs")
    Image.new("RGB", (9000, 9000)).save(tmp_path / "a.jpg")
    _, peak, refused, _ = opened(tmp_path / "a.jpg", 192 * MIB)
    assert not refused
    assert peak < 192 * MIB


def test_a_packed_array_is_refused_by_its_header_or_read_by_window(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", np.zeros((20_000, 20_000), np.uint8))
    before, peak, refused, _ = opened(tmp_path / "a.npz", 256 * MIB, "read")
    assert "takes 382 MiB" in refused
    assert peak - before < 20 * MIB
    before, peak, refused, found = opened(tmp_path / "a.npz", 256 * MIB)
    assert (refused, found) == ("", [[[0], [0]], [[0], [0]]])
    assert peak - before < 20 * MIB


def test_chunks_of_a_png_that_hold_no_pixels(tmp_path):
    """Texts and profiles are read whole by libraries."""
    path = tmp_path / "a.png"
    Image.new("L", (8, 8)).save(path)
    content = path.read_bytes()
    text = bytes(200 * MIB)
    checksum = zlib.crc32(b"prVt" + text).to_bytes(4, "big")
    chunk = len(text).to_bytes(4, "big") + b"prVt" + text + checksum
    path.write_bytes(content[:33] + chunk + content[33:])
    before, peak, refused, _ = opened(path, 256 * MIB)
    assert "MiB are left" in refused
    assert peak - before < 40 * MIB
