"""Georeferences read without GDAL, compared with GDAL's."""

import numpy as np
import pytest
import tifffile

from hdseg_gpu import InvalidInput, create_output, open_image
from hdseg_gpu.core.windows import whole
from hdseg_gpu.io.georeference import check_same_place

rasterio = pytest.importorskip("rasterio")
Affine = rasterio.transform.Affine
NORTH_UP = Affine(0.5, 0, 500000, 0, -0.25, 5e6)


def raster(path, transform=NORTH_UP, crs="EPSG:32632", shape=(600, 800), overviews=(), **more):
    with rasterio.open(
        path, "w", driver="GTiff", height=shape[0], width=shape[1], count=1, dtype="uint8",
        crs=crs, transform=transform, tiled=True, blockxsize=256, blockysize=256, **more,
    ) as picture:  # fmt: skip
        picture.write(np.zeros(shape, np.uint8), 1)
        if overviews:
            picture.build_overviews(overviews)
    return path


@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:4326", "EPSG:3857"])
@pytest.mark.parametrize(
    "transform", [NORTH_UP, Affine(0.3, 0.1, 7, 0.2, -0.4, 9)], ids=["north up", "turned"]
)
def test_place_is_what_gdal_says(tmp_path, transform, crs):
    with open_image(raster(tmp_path / "a.tif", transform, crs)) as source:
        assert source.georeference.crs == crs
        assert source.georeference.transform == pytest.approx(tuple(transform)[:6])


def test_pixels_as_points(tmp_path):
    path = tmp_path / "a.tif"
    with rasterio.Env(GTIFF_POINT_GEO_IGNORE=False):
        raster(path)
        with rasterio.open(path, "r+") as picture:
            picture.update_tags(AREA_OR_POINT="Point")
        with rasterio.open(path) as picture, open_image(path) as source:
            expected = tuple(picture.transform)[:6]
            assert source.georeference.transform == pytest.approx(expected)


def test_levels_lie_in_the_same_place(tmp_path):
    path = raster(tmp_path / "a.tif", overviews=[2, 4])
    with open_image(path) as full, open_image(path, level=2) as level:
        assert level.shape == (150, 200)
        assert level.georeference.transform == pytest.approx((2, 0, 500000, 0, -1, 5e6))
        check_same_place(full, level)


def test_size_of_pixels(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((9, 9), np.uint8), resolution=(40000, 20000),
                     resolutionunit="CENTIMETER")  # fmt: skip
    with open_image(path) as source:
        assert source.georeference.pixel_size == pytest.approx((0.5, 0.25))
    for resolution in ((72, 72), (300, 300)):  # of a screen, of a printer
        tifffile.imwrite(path, np.zeros((9, 9), np.uint8), resolution=resolution,
                         resolutionunit="INCH")  # fmt: skip
        with open_image(path) as source:
            assert source.georeference is None


@pytest.mark.parametrize(
    ("transform", "crs", "shape", "said"),
    [
        (Affine(4, 0, 500000, 0, -2, 5e6), "EPSG:32632", (75, 100), None),
        (Affine(4, 0, 500000, 0, -2, 5e6), "EPSG:32633", (75, 100), "EPSG:32633"),
        (Affine(4, 0, 600000, 0, -2, 5e6), "EPSG:32632", (75, 100), "do not overlap"),
        (
            Affine(4, 0, 500000, 0, -2, 5e6),
            "EPSG:32632",
            (75, 90),
            "agree to within a coarse pixel",
        ),
        (Affine(4, 0, 500003, 0, -2, 5e6), "EPSG:32632", (75, 100), None),
        (Affine(4, 0, 500009, 0, -2, 5e6), "EPSG:32632", (75, 100), "to within a coarse pixel"),
    ],
)
def test_the_coarse_map_covers_the_image(tmp_path, transform, crs, shape, said):
    image, coarse = raster(tmp_path / "i.tif"), tmp_path / "c.tif"
    raster(coarse, transform, crs, shape)
    with open_image(image) as a, open_image(coarse) as b:
        if said is None:
            check_same_place(a, b)
            return
        with pytest.raises(InvalidInput, match=said) as caught:
            check_same_place(a, b)
    for word in ("i.tif", "c.tif", "gdalwarp"):
        assert word in str(caught.value)


@pytest.mark.parametrize("text", ["Zürich", "Z\xfcrich".encode("cp1252"), b"\xc0\xc1 x"])
def test_names_that_are_not_ascii(tmp_path, text):
    """A TIFF's texts are ASCII: others become question marks, each byte in its place."""
    content = text.encode() if isinstance(text, str) else text
    keys = (1, 1, 0, 2, 1024, 0, 1, 2, 1026, 34737, len(content) + 1, 0)
    tags = [
        (33550, "d", 3, (2.0, 2.0, 0.0), True), (33922, "d", 6, (0, 0, 0, 5.0, 7.0, 0), True),
        (34735, "H", len(keys), keys, True), (34737, "s", 0, content + b"|", True),
    ]  # fmt: skip
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((40, 50), np.uint8), extratags=tags)
    with open_image(tmp_path / "a.tif") as source:
        where = source.georeference
        with create_output(tmp_path / "b.tif", like=source) as output:
            output.write(whole(source.shape), np.ones(source.shape, np.uint8))
    with tifffile.TiffFile(tmp_path / "b.tif") as found:
        written = found.pages[0].tags[34737].value
    expected = bytes(b if b < 128 else 63 for b in content).decode() + "|"
    assert written == expected
    with open_image(tmp_path / "b.tif") as source:
        assert source.georeference.transform == where.transform
