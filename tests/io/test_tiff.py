"""Windows of TIFFs, compared with whole images read by tifffile."""

import logging
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
from PIL import Image

from hdseg_gpu.core.errors import InvalidInput, RefinementWarning
from hdseg_gpu.core.windows import Window, whole
from hdseg_gpu.io.tiff_source import open_tiff

SHAPE = (211, 301)
TILED = {"tile": (48, 64)}
WINDOWS = [Window(0, 0, 211, 301), Window(47, 63, 3, 2), Window(5, 7, 101, 203),
           Window(210, 300, 1, 1), Window(0, 17, 211, 1)]  # fmt: skip


def pixels(rng, dtype, channels):
    shape = SHAPE if channels == 1 else (*SHAPE, channels)
    smooth = np.add.outer(np.arange(211) * 2, np.arange(301))[:, :, None]
    values = (smooth + rng.integers(0, 9, (*SHAPE, channels))).reshape(shape)
    return (values > 300) if dtype == "bool" else values.astype(dtype)


def assert_windows(path, expected, **options):
    expected = expected.reshape(*expected.shape[:2], -1)
    with open_tiff(path, **options) as source:
        assert source.shape == expected.shape[:2]
        assert source.channels == expected.shape[2]
        assert source.dtype == expected.dtype
        for window in [w for w in WINDOWS if w.bottom <= source.shape[0]]:
            found = source.read(window)
            assert found.flags.c_contiguous
            assert found.dtype == source.dtype
            np.testing.assert_array_equal(found, expected[window.slices])
        assert source.bytes_read > 0


@pytest.mark.parametrize("layout", [TILED, {"rowsperstrip": 7}, {"rowsperstrip": 211}])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "zstd"])
@pytest.mark.parametrize(("dtype", "channels"), [
    ("uint8", 3), ("uint16", 1), (">u2", 4), ("float32", 2), ("bool", 1), ("int32", 1),
])  # fmt: skip
def test_windows(tmp_path, rng, layout, compression, dtype, channels):
    values, path = pixels(rng, dtype, channels), tmp_path / "image.tif"
    order = ">" if dtype[0] == ">" else "<"
    photometric = "rgb" if channels == 3 else "minisblack"
    tifffile.imwrite(path, values, compression=compression, photometric=photometric,
                     planarconfig="contig" if channels > 1 else None, byteorder=order,
                     **layout)  # fmt: skip
    assert_windows(path, values.astype(values.dtype.newbyteorder("=")))


@pytest.mark.parametrize("layout", [TILED, {"rowsperstrip": 7}, {}])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("predictor", [False, True])
def test_planes_and_bigtiff(tmp_path, rng, layout, compression, predictor):
    if predictor and compression is None:
        pytest.skip("predictors are for compressed files")
    values, path = pixels(rng, "uint16", 5), tmp_path / "image.tif"
    tifffile.imwrite(path, np.moveaxis(values, -1, 0), planarconfig="separate", bigtiff=True,
                     photometric="minisblack", compression=compression, predictor=predictor,
                     **layout)  # fmt: skip
    assert_windows(path, values)


@pytest.mark.parametrize("layout", [TILED, {"rowsperstrip": 16}])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg(tmp_path, rng, layout, channels):
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, pixels(rng, "uint8", channels), compression="jpeg",
                     photometric="rgb" if channels == 3 else "minisblack", **layout)  # fmt: skip
    assert_windows(path, tifffile.imread(path))


def test_palette_and_alpha(tmp_path, rng):
    indices, path = pixels(rng, "uint8", 1), tmp_path / "image.tif"
    colours = rng.integers(0, 65536, (3, 256)).astype(np.uint16)
    tifffile.imwrite(path, indices, photometric="palette", colormap=colours, **TILED)
    assert_windows(path, (colours >> 8).astype(np.uint8).T[indices])
    assert_windows(path, indices, as_labels=True)
    for kind, expected in (("unassalpha", True), ("unspecified", False)):
        tifffile.imwrite(path, pixels(rng, "uint8", 4), photometric="rgb", extrasamples=[kind])
        with open_tiff(path) as source:
            assert source.alpha is expected


@pytest.mark.parametrize("compression", ["group4", "raw"])
def test_bits_of_a_fax(tmp_path, rng, compression):
    values, path = pixels(rng, "bool", 1), tmp_path / "image.tif"
    Image.fromarray(values).save(path, compression=None if compression == "raw" else compression)
    assert_windows(path, values)


def write_pyramid(path, values, **options):
    with tifffile.TiffWriter(path, ome="ome" in path.name) as writer:
        shared = {"photometric": "rgb", "compression": "zlib", **TILED}
        writer.write(values, subifds=2, **shared, **options)
        for step in (2, 4):
            writer.write(values[::step, ::step], subfiletype=1, **shared)


@pytest.mark.parametrize("name", ["image.tif", "image.ome.tif"])
def test_pyramid(tmp_path, rng, name):
    values, path = pixels(rng, "uint8", 3)[:208, :288], tmp_path / name
    size = {"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5}
    write_pyramid(path, values, metadata={"axes": "YXS", **(size if "ome" in name else {})})
    for level, step in enumerate((1, 2, 4)):
        expected = values[::step, ::step]
        with open_tiff(path, level) as source:
            assert source.levels == ((208, 288), (104, 144), (52, 72))
            assert source.storage == (48, 64)
            np.testing.assert_array_equal(source.read(whole(source.shape)), expected)
            if "ome" in name:
                assert source.georeference.pixel_size == (0.5 * step, 0.25 * step)
    for level in (3, -1):
        with pytest.raises(InvalidInput, match=f"no level {level}.*2 \\(52 x 72\\)"):
            open_tiff(path, level)


def test_cut_pyramid(tmp_path, rng):
    """The tables of the other resolutions are lost."""
    values, path = pixels(rng, "uint8", 3)[:208, :288], tmp_path / "image.tif"
    write_pyramid(path, values)
    path.write_bytes(path.read_bytes()[:50000])
    with open_tiff(path) as source:
        assert source.levels == ((208, 288),)
        np.testing.assert_array_equal(source.read(Window(0, 0, 48, 64)), values[:48, :64])
    with pytest.raises(InvalidInput, match=r"no level 1; its levels are 0 \(208 x 288\)"):
        open_tiff(path, 1)


def test_more_pages(tmp_path, rng):
    path = tmp_path / "image.tif"
    first = pixels(rng, "uint8", 1)
    tifffile.imwrite(path, np.stack([first, first + 1]), photometric="minisblack")
    with pytest.warns(RefinementWarning, match="more than one page"), open_tiff(path) as source:
        np.testing.assert_array_equal(source.read(whole(SHAPE))[..., 0], first)


def test_sparse(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "sparse.tif"
    place = rasterio.Affine(0.5, 0, 4e5, 0, -0.5, 5e6)
    with rasterio.open(path, "w", driver="GTiff", width=300, height=200, count=1, dtype="uint8",
                       tiled=True, blockxsize=64, blockysize=64, sparse_ok=True, nodata=7,
                       crs="EPSG:32632", transform=place) as raster:  # fmt: skip
        raster.write(np.full((64, 64), 3, np.uint8), 1, window=((64, 128), (128, 192)))
    expected = np.full((200, 300, 1), 7, np.uint8)
    expected[64:128, 128:192] = 3
    with open_tiff(path) as source:
        np.testing.assert_array_equal(source.read(whole(source.shape)), expected)
        assert source.bytes_read == 64 * 64
        assert source.georeference.transform == tuple(place)[:6]


@pytest.mark.parametrize("compress", ["deflate", "jpeg"])
def test_cloud_optimised(tmp_path, rng, compress):
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "cog.tif"
    values = np.tile(pixels(rng, "uint8", 3), (5, 4, 1))
    place = rasterio.Affine(0.5, 0, 4e5, 0, -0.5, 5e6)
    with rasterio.open(path, "w", driver="COG", width=1204, height=1055, count=3, dtype="uint8",
                       blocksize=256, compress=compress, crs="EPSG:32632",
                       transform=place) as raster:  # fmt: skip
        raster.write(np.moveaxis(values, -1, 0))
    for level in (0, 1, 2):
        chosen = {} if level == 0 else {"OVERVIEW_LEVEL": level - 1}
        with rasterio.open(path, **chosen) as raster, open_tiff(path, level) as source:
            assert source.shape == raster.shape
            assert len(source.levels) == 4
            expected = np.moveaxis(raster.read(), 0, -1)
            found = source.read(whole(source.shape))
            np.testing.assert_array_equal(found, tifffile.imread(path, level=level))
            # decoders of JPEG differ in how they enlarge colours
            error = np.abs(found.astype(int) - expected)
            assert error.mean() <= (0 if compress == "deflate" else 1)
            np.testing.assert_allclose(source.georeference.transform, tuple(raster.transform)[:6])


def test_slide(data):
    path = data / "large" / "CMU-1-Small-Region.svs"
    if not path.is_file():
        pytest.skip(f"no slide at {path}")
    openslide = pytest.importorskip("openslide")
    with openslide.OpenSlide(path) as slide, open_tiff(path) as source:
        assert source.levels == ((2967, 2220),)
        assert source.georeference.pixel_size == (0.499, 0.499)
        for window in (
            Window(0, 0, 500, 700),
            Window(1001, 777, 333, 61),
            Window(2900, 2200, 67, 20),
        ):
            size = (window.width, window.height)
            expected = np.asarray(slide.read_region((window.left, window.top), 0, size))[..., :3]
            np.testing.assert_allclose(source.read(window).astype(int), expected, atol=2)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_threads(tmp_path, rng, compression):
    values, path = pixels(rng, "uint8", 3), tmp_path / "image.tif"
    tifffile.imwrite(path, values, photometric="rgb", compression=compression, **TILED)
    windows = [Window(i, j, 60, 70) for i in range(0, 150, 13) for j in range(0, 230, 17)]
    with open_tiff(path) as source, ThreadPoolExecutor(2) as pool:
        for window, found in zip(windows, pool.map(source.read, windows), strict=True):
            np.testing.assert_array_equal(found, values[window.slices])


def test_rows_alone_are_fetched(tmp_path, rng):
    values, path = pixels(rng, "uint8", 3), tmp_path / "image.tif"
    for options in ({"rowsperstrip": 211}, {"rowsperstrip": 7}):
        tifffile.imwrite(path, values, photometric="rgb", **options)
        with open_tiff(path) as source:
            source.read(Window(100, 0, 5, 301))
            assert source.bytes_read == 5 * 301 * 3
    wide = np.tile(values, (1, 40, 1))
    tifffile.imwrite(path, wide, photometric="rgb")
    with open_tiff(path) as source:
        found = source.read(Window(100, 6001, 5, 11))
        assert source.bytes_read == 5 * 11 * 3
    np.testing.assert_array_equal(found, wide[100:105, 6001:6012])


@pytest.mark.parametrize("compression", [None, "zlib", "jpeg"])
@pytest.mark.parametrize("layout", [TILED, {"rowsperstrip": 16}])
def test_cut_short(tmp_path, rng, compression, layout):
    path = tmp_path / "image.tif"
    values = pixels(rng, "uint8", 1)
    tifffile.imwrite(path, values, compression=compression, **layout)
    expected = tifffile.imread(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.7)])
    with open_tiff(path) as source:
        first = source.read(Window(0, 0, 32, 301))
        np.testing.assert_array_equal(first[..., 0], expected[:32])
        with pytest.raises(InvalidInput, match=r"image\.tif: the \w+ at rows .*, columns .* bytes"):
            source.read(whole(SHAPE))


@pytest.mark.parametrize("compression", ["zlib", "lzw", "jpeg"])
def test_garbage(tmp_path, rng, compression):
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, pixels(rng, "uint8", 1), compression=compression, **TILED)
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        start, size = page.dataoffsets[6], page.databytecounts[6]  # the second row, the second one
    stored = bytearray(path.read_bytes())
    stored[start : start + size] = rng.bytes(size)
    path.write_bytes(stored)
    with open_tiff(path) as source:
        source.read(Window(0, 0, 48, 301))
        with pytest.raises(InvalidInput, match="tile at rows 48 to 95, columns 64 to 127"):
            source.read(whole(SHAPE))


def test_wrong_size(tmp_path, rng):
    """A tile of fewer pixels than its place has, well compressed."""
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, pixels(rng, "uint8", 1), compression="zlib", **TILED)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        small = tifffile.TIFF.COMPRESSORS[8](b"\0" * 100)
        start = tiff.pages.first.dataoffsets[0]
        tiff.filehandle.seek(start)
        tiff.filehandle.write(small)
    with open_tiff(path) as source, pytest.raises(InvalidInput, match="rows 0 to 47, columns 0"):
        source.read(Window(0, 0, 1, 1))


def test_no_tiff_and_closing(tmp_path, rng, caplog):
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, pixels(rng, "uint8", 1))
    source = open_tiff(path)
    source.close()
    source.close()
    with pytest.raises(InvalidInput, match="is closed"):
        source.read(Window(0, 0, 1, 1))
    with caplog.at_level(logging.CRITICAL, "tifffile"):
        for stored in (b"", b"II*\0", b"no picture at all"):
            path.write_bytes(stored)
            with pytest.raises(InvalidInput, match=r"image\.tif cannot be read"):
                open_tiff(path)
