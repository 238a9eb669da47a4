"""Windows read through GDAL and OpenSlide, compared with whole images read by these libraries."""

import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.windows import Window, whole
from hdseg_gpu.io.raster_source import open_raster
from hdseg_gpu.io.slide_source import open_slide

SHAPE = (311, 403)


def pixels(rng, dtype, channels):
    smooth = np.add.outer(np.arange(311), np.arange(403))[:, :, None]
    return (smooth // 4 + rng.integers(0, 9, (*SHAPE, channels))).astype(dtype)


def write(path, values, driver, **options):
    rasterio = pytest.importorskip("rasterio")
    high, wide, count = values.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path, "w", driver=driver, width=wide, height=high, count=count,
                           dtype=values.dtype, **options) as raster:  # fmt: skip
            raster.write(np.moveaxis(values, -1, 0))


@pytest.mark.parametrize(("name", "driver", "dtype", "channels", "options"), [
    ("image.jp2", "JP2OpenJPEG", "uint8", 3, {"quality": 100, "reversible": True}),
    ("image.img", "HFA", "float32", 2, {}),
    ("image.img", "HFA", "uint16", 1, {}),
])  # fmt: skip
def test_windows(tmp_path, rng, name, driver, dtype, channels, options):
    rasterio = pytest.importorskip("rasterio")
    values, path = pixels(rng, dtype, channels), tmp_path / name
    place = rasterio.Affine(0.5, 0, 4e5, 0, -0.5, 5e6)
    write(path, values, driver, crs="EPSG:32632", transform=place, **options)
    with open_raster(path) as source, ThreadPoolExecutor(2) as pool:
        assert (source.shape, source.channels, source.dtype) == (SHAPE, channels, values.dtype)
        assert source.georeference.crs == "EPSG:32632"
        assert source.georeference.transform == tuple(place)[:6]
        windows = [Window(i, j, 60, 70) for i in range(3, 240, 59) for j in range(5, 320, 61)]
        for window, found in zip(windows, pool.map(source.read, windows), strict=True):
            assert found.flags.c_contiguous
            np.testing.assert_array_equal(found, values[window.slices])
        assert source.bytes_read > 0
    source.close()
    with pytest.raises(InvalidInput, match="is closed"):
        source.read(Window(0, 0, 1, 1))


def test_mosaic_and_levels(tmp_path, rng):
    """A virtual mosaic of a TIFF with overviews, which lies nowhere."""
    rasterio = pytest.importorskip("rasterio")
    path, mosaic = tmp_path / "image.tif", tmp_path / "image.vrt"
    values = np.tile(pixels(rng, "uint8", 3), (2, 2, 1))  # small ones have no overviews in mosaics
    write(path, values, "GTiff")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path, "r+") as raster:
            raster.build_overviews([2, 4])
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{i}"><SimpleSource><SourceFilename '
        f'relativeToVRT="1">image.tif</SourceFilename><SourceBand>{i}</SourceBand>'
        "</SimpleSource></VRTRasterBand>"
        for i in (1, 2, 3)
    )
    mosaic.write_text(f'<VRTDataset rasterXSize="806" rasterYSize="622">{bands}</VRTDataset>')
    for level in range(3):
        with open_raster(mosaic, level) as source:
            assert source.levels == ((622, 806), (311, 403), (156, 202))
            assert source.shape == source.levels[level]
            assert source.georeference is None
            expected = values if level == 0 else tifffile.imread(path, series=0, level=level)
            np.testing.assert_array_equal(source.read(whole(source.shape)), expected)
    with pytest.raises(InvalidInput, match="no level 3"):
        open_raster(mosaic, 3)
    path.unlink()
    with (
        pytest.raises(InvalidInput, match=r"image\.vrt.*image\.tif"),
        open_raster(mosaic) as source,
    ):
        source.read(Window(0, 0, 9, 9))


def test_palette(tmp_path, rng):
    rasterio = pytest.importorskip("rasterio")
    values, path = pixels(rng, "uint8", 1), tmp_path / "image.img"
    colours = rng.integers(0, 256, (256, 3), np.uint8)
    write(path, values, "HFA", transform=rasterio.Affine(1, 0, 5, 0, -1, 7))
    with rasterio.open(path, "r+") as raster:
        raster.write_colormap(1, {i: tuple(int(v) for v in c) for i, c in enumerate(colours)})
    with open_raster(path) as source:
        assert (source.channels, source.dtype) == (3, np.uint8)
        np.testing.assert_array_equal(source.read(whole(SHAPE)), colours[values[..., 0]])
    with open_raster(path, as_labels=True) as source:
        np.testing.assert_array_equal(source.read(whole(SHAPE)), values)


def test_damaged(tmp_path, rng):
    path = tmp_path / "image.jp2"
    path.write_bytes(b"no picture")
    with pytest.raises(InvalidInput, match=r"image\.jp2 cannot be read"):
        open_raster(path)
    write(path, pixels(rng, "uint8", 3), "JP2OpenJPEG", blockxsize=128, blockysize=128)
    path.write_bytes(path.read_bytes()[:-9000])
    with (
        open_raster(path) as source,
        pytest.raises(InvalidInput, match=r"image\.jp2: rows 0 to 310, columns 0 to 402 cannot"),
    ):
        source.read(whole(SHAPE))


def test_slide_levels(tmp_path, rng):
    """OpenSlide reads any tiled pyramid."""
    pytest.importorskip("openslide")
    path, values = tmp_path / "image.tif", pixels(rng, "uint8", 3)[:304, :400]
    with tifffile.TiffWriter(path) as writer:
        for step in (1, 2, 4):
            writer.write(values[::step, ::step], photometric="rgb", tile=(64, 80),
                         compression="zlib", subfiletype=int(step > 1), metadata=None,
                         resolution=(4e4, 2e4), resolutionunit="centimeter")  # fmt: skip
    for level, step in enumerate((1, 2, 4)):
        with open_slide(path, level) as source, ThreadPoolExecutor(2) as pool:
            assert source.levels == ((304, 400), (152, 200), (76, 100))
            assert source.storage == (64, 80)
            np.testing.assert_allclose(source.georeference.pixel_size, (0.5 * step, 0.25 * step))
            windows = [whole(source.shape), Window(5, 7, 53, 61), Window(70, 9, 6, 91)]
            for window, found in zip(windows, pool.map(source.read, windows), strict=True):
                np.testing.assert_array_equal(found, values[::step, ::step][window.slices])
    source.close()
    with pytest.raises(InvalidInput, match="is closed"):
        source.read(Window(0, 0, 1, 1))
    with pytest.raises(InvalidInput, match="no level 3"):
        open_slide(path, 3)


def test_levels_of_slides_that_are_no_whole_fraction(tmp_path, rng):
    """At row or column i of a level, i times OpenSlide's own factor, far from the corner, too."""
    pytest.importorskip("openslide")
    path, values = tmp_path / "image.tif", rng.integers(0, 255, (4002, 3990, 3)).astype(np.uint8)
    stairs = (np.indices((401, 397))[1] * 16 % 256)[..., np.newaxis].repeat(3, 2)
    with tifffile.TiffWriter(path) as writer:
        for picture in (values, stairs.astype(np.uint8)):
            writer.write(picture, photometric="rgb", tile=(64, 64), metadata=None,
                         subfiletype=int(picture is not values))  # fmt: skip
    with open_slide(path, 1) as source:
        assert source.levels[1] == (401, 397)
        for window in (Window(300, 280, 40, 60), Window(390, 380, 9, 9)):
            off = np.abs(source.read(window).astype(int) - stairs[window.slices])
            assert np.median(off) <= 4  # a quarter of a pixel, but for where the stairs start over


def test_a_damaged_slide_is_refused_again_and_again(tmp_path, rng):
    """OpenSlide refuses everything after its first error."""
    pytest.importorskip("openslide")
    path, values = tmp_path / "image.tif", pixels(rng, "uint8", 3)[:128, :160]
    tifffile.imwrite(path, values, photometric="rgb", tile=(64, 80), compression="zlib",
                     metadata=None)  # fmt: skip
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as found:
        at, size = found.pages[0].dataoffsets[0], found.pages[0].databytecounts[0]
    content[at : at + size] = bytes(size)
    path.write_bytes(content)
    with open_slide(path, 0) as source:
        for window in (whole(source.shape), whole(source.shape), Window(100, 100, 5, 5)):
            with pytest.raises(InvalidInput, match=r"image\.tif: rows .* cannot be read"):
                source.read(window)


def test_no_slide(tmp_path):
    pytest.importorskip("openslide")
    path = tmp_path / "image.mrxs"
    path.write_bytes(b"no picture")
    with pytest.raises(InvalidInput, match=r"image\.mrxs is no slide"):
        open_slide(path)


def test_slide_beyond_what_was_scanned(tmp_path):
    """A tile that was never written is white."""
    pytest.importorskip("openslide")
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "image.tif"
    with rasterio.open(path, "w", driver="GTiff", width=300, height=200, count=3, dtype="uint8",
                       tiled=True, blockxsize=64, blockysize=64, sparse_ok=True,
                       interleave="pixel", photometric="rgb",
                       transform=rasterio.Affine(1, 0, 5, 0, -1, 7)) as raster:  # fmt: skip
        raster.write(np.full((3, 64, 64), 9, np.uint8), window=((64, 128), (128, 192)))
    with open_slide(path) as source:
        found = source.read(whole(source.shape))
    assert (found[64:128, 128:192] == 9).all()
    found[64:128, 128:192] = 255
    assert (found == 255).all()
