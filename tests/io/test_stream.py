"""Large label maps are written, and read again with the libraries that users open them with."""

import numpy as np
import PIL.Image
import pytest
import tifffile

from hdseg_gpu import InvalidInput, Window, create_output, open_image
from hdseg_gpu.core.tiles import TileGrid
from hdseg_gpu.core.windows import whole
from hdseg_gpu.io import create, create_labels
from hdseg_gpu.io.source import Georeference

SHAPE = (1301, 1777)
PLACE = Georeference((0.5, 0.0, 500000.0, 0.0, -0.5, 5e6), "EPSG:32632", (0.25, 0.5))


class Labels:
    """An array as a writer sees it; it says which windows were asked for."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.windows = array, array.shape, array.dtype, []

    def read(self, window):
        self.windows.append(window)
        return self.array[window.slices]


def labels(dtype="uint8", shape=SHAPE):
    y, x = np.mgrid[: shape[0], : shape[1]]
    found = (np.hypot(y - 300, x - 900) // 90).astype(np.int64) % 5
    found[:400, :700] = 3
    return (found > 2) if dtype == "bool" else found.astype(dtype)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "int32"])
@pytest.mark.parametrize("suffix", [".tif", ".ome.tif", ".npy", ".png", ".zarr", ".cog.tif"])
def test_what_is_written_is_read(tmp_path, suffix, dtype):
    if suffix == ".zarr":
        pytest.importorskip("zarr")
    if suffix == ".cog.tif":
        pytest.importorskip("rasterio")
    array = labels(dtype)
    path = tmp_path / f"labels{suffix}"
    source = Labels(array)
    create_labels(path, source, PLACE, overwrite=False)
    keeps_bools = suffix in (".png", ".npy")
    expected = array.astype(np.uint8) if dtype == "bool" and not keeps_bools else array
    with open_image(path) as found:
        for window in (whole(SHAPE), Window(511, 3, 514, 1700), Window(1300, 1776, 1, 1)):
            np.testing.assert_array_equal(found.read(window)[..., 0], expected[window.slices])
        if suffix in (".tif", ".ome.tif", ".zarr"):
            assert found.georeference.pixel_size == pytest.approx(PLACE.pixel_size)
        if suffix not in (".npy", ".png", ".cog.tif"):  # GDAL rounds down
            assert found.levels == (SHAPE, (651, 889), (326, 445))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    rows = sum(w.height for w in source.windows)
    assert rows == SHAPE[0]  # all of it was read once


@pytest.mark.parametrize("suffix", [".tif", ".ome.tif", ".zarr", ".cog.tif"])
def test_levels_are_every_second_row_and_column(tmp_path, suffix):
    pytest.importorskip("zarr")
    pytest.importorskip("rasterio")
    array = labels()
    create_labels(tmp_path / f"l{suffix}", Labels(array), None, overwrite=False)
    with open_image(tmp_path / f"l{suffix}", level=2) as found:
        level = found.read(whole(found.shape))[..., 0]
    if suffix != ".cog.tif":  # GDAL takes another pixel of the four
        np.testing.assert_array_equal(level, array[::4, ::4])
    assert set(np.unique(level)) <= set(np.unique(array))
    with pytest.raises(InvalidInput, match=r"level.3"):
        open_image(tmp_path / f"l{suffix}", level=3)


@pytest.mark.parametrize("suffix", [".tif", ".cog.tif"])
def test_gdal_reads_place_and_overviews(tmp_path, suffix):
    rasterio = pytest.importorskip("rasterio")
    image = tmp_path / "image.tif"
    transform = rasterio.transform.from_origin(500000, 5e6, 0.5, 0.5)
    with rasterio.open(
        image, "w", driver="GTiff", height=SHAPE[0], width=SHAPE[1], count=1, dtype="uint8",
        crs="EPSG:32632", transform=transform,
    ) as raster:  # fmt: skip
        raster.write(labels(), 1)
    path = tmp_path / f"labels{suffix}"
    with open_image(image) as source, create_output(path, like=source) as output:
        assert source.georeference.crs == "EPSG:32632"
        assert source.georeference.transform == tuple(transform)[:6]
        output.write(whole(SHAPE), labels())
    with rasterio.open(path) as raster:
        assert raster.crs.to_epsg() == 32632
        assert raster.transform == transform
        assert raster.overviews(1) == [2, 4]
        assert raster.block_shapes == [(512, 512)]
        np.testing.assert_array_equal(raster.read(1), labels())
        if suffix == ".cog.tif":
            assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


def test_ome_metadata_is_valid(tmp_path):
    models = pytest.importorskip("ome_zarr_models")
    zarr = pytest.importorskip("zarr")
    create_labels(tmp_path / "l.zarr", Labels(labels()), PLACE, overwrite=False)
    group = models.open_ome_zarr(zarr.open(tmp_path / "l.zarr", mode="r"))
    (picture,) = group.attributes.ome.multiscales
    assert [d.path for d in picture.datasets] == ["0", "1", "2"]
    assert [a.unit for a in picture.axes] == ["micrometer"] * 2
    with tifffile.TiffFile(_written(tmp_path / "l.ome.tif")) as tiff:
        assert tiff.is_ome
        assert len(tiff.series[0].levels) == 3
        assert 'PhysicalSizeX="0.5"' in tiff.ome_metadata


def _written(path):
    create_labels(path, Labels(labels()), PLACE, overwrite=False)
    return path


def test_slide_readers_read_the_pyramid(tmp_path):
    tiffslide = pytest.importorskip("tiffslide")
    with tiffslide.TiffSlide(_written(tmp_path / "l.tif")) as slide:
        assert slide.dimensions == SHAPE[::-1]
        assert slide.level_count == 3


def test_png_is_read_by_pillow(tmp_path):
    for dtype in ("uint8", "uint16"):
        create_labels(tmp_path / "l.png", Labels(labels(dtype)), None, overwrite=True)
        with PIL.Image.open(tmp_path / "l.png") as picture:
            np.testing.assert_array_equal(np.asarray(picture), labels(dtype))


# ---- tile by tile --------------------------------------------------------------------------------


def test_tiles_in_any_order(tmp_path):
    array = labels()
    with create_output(tmp_path / "l.tif", shape=SHAPE) as output:
        for index in (3, 0, 2, 1):
            window = TileGrid(SHAPE, output.tile).core(index)
            output.write(window, array[window.slices])
        assert not (tmp_path / "l.tif").exists()
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "l.tif"), array)
    assert [p.name for p in tmp_path.iterdir()] == ["l.tif"]


def test_an_error_leaves_nothing(tmp_path):
    def fail():
        with create_output(tmp_path / "l.tif", shape=SHAPE) as output:
            output.write(Window(0, 0, 1024, 1024), labels()[:1024, :1024])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_bad_tiles(tmp_path):
    with create_output(tmp_path / "l.npy", shape=SHAPE) as output:
        with pytest.raises(InvalidInput, match="multiples of 1024"):
            output.write(Window(0, 0, 100, 1024), labels()[:100, :1024])
        with pytest.raises(InvalidInput, match="uint16"):
            output.write(Window(0, 0, 1024, 1024), labels("uint16")[:1024, :1024])
    with pytest.raises(InvalidInput, match="exists"):
        create_output(tmp_path / "l.npy", shape=SHAPE)
    with pytest.raises(InvalidInput, match="shape="):
        create_output(tmp_path / "m.npy")
    with pytest.raises(InvalidInput, match=r"\.jpg"):
        create_output(tmp_path / "m.jpg", shape=SHAPE)


def test_a_writer_that_fails_leaves_nothing(tmp_path):
    class Broken(Labels):
        def read(self, window):
            if window.top > 500:
                raise InvalidInput("no more")
            return super().read(window)

    for suffix in (".tif", ".npy", ".png", ".zarr", ".cog.tif"):
        with pytest.raises(InvalidInput, match="no more"):
            create_labels(tmp_path / f"l{suffix}", Broken(labels(shape=(5000, 600))), None, True)
        assert list(tmp_path.iterdir()) == []


def test_a_store_is_replaced_on_request_only(tmp_path):
    pytest.importorskip("zarr")
    path = tmp_path / "l.zarr"
    create_labels(path, Labels(labels()), None, overwrite=False)
    with pytest.raises(InvalidInput, match="appeared"):
        create_labels(path, Labels(labels()), None, overwrite=False)
    create_labels(path, Labels(labels() + np.uint8(1)), None, overwrite=True)
    with open_image(path) as found:
        assert found.read(Window(0, 0, 1, 1))[0, 0, 0] == labels()[0, 0] + 1
    assert [p.name for p in tmp_path.iterdir()] == ["l.zarr"]


@pytest.mark.parametrize("name", ["a.npy", "a.tif", "a.png", "a.zarr"])
def test_an_output_too_wide_for_memory_is_refused(tmp_path, name):
    """Before anything is made: files are written in strips of full width."""
    with pytest.raises(InvalidInput, match=rf"output .*{name}.* 31 rows .* write narrower files"):
        create_output(tmp_path / name, shape=(31, 1 << 40))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("labels", [(0, 70007), (-1, 3)])
def test_no_writer_sees_labels_that_its_format_cannot_hold(labels, tmp_path, monkeypatch):
    """Whatever the writer of a format does; the message names the output."""
    seen = []

    def careless(path, source, georeference):
        seen.append(source.read(whole(source.shape)))
        path.write_bytes(b"")

    monkeypatch.setattr(create, "loaded", lambda address: careless)
    path = tmp_path / "out.png"
    output = create_output(path, shape=(1, 2), dtype=np.int64)
    output.write(Window(0, 0, 1, 2), np.array([labels], np.int64))
    with pytest.raises(InvalidInput, match=rf"output {path}: PNG holds labels from 0 to 65535"):
        output.close()
    assert (seen, list(tmp_path.iterdir())) == ([], [])
    with create_output(path, shape=(1, 2), dtype=np.int64) as output:
        output.write(Window(0, 0, 1, 2), np.array([[0, 65535]], np.int64))
    assert seen[0].tolist() == [[0, 65535]]
