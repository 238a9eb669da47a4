"""Outputs of hdseg refine for a small GeoTIFF, and for one that is refined tile by tile.

Labels are compared with those of refine() in memory, georeferences with rasterio's for the image.
"""

import json
import re

import numpy as np
import pytest
import tifffile
from small_runs import COARSE, IMAGE

from hdseg_gpu import files, refine, refine_file
from hdseg_gpu.cli import main
from hdseg_gpu.engine import whole_file

rasterio = pytest.importorskip("rasterio")
pytest.importorskip("rasterio.shutil")
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

NORTH_UP = rasterio.Affine(0.5, 0, 500000, 0, -0.25, 5400000)
TURNED = rasterio.Affine(0.3, 0.1, 7, 0.2, -0.4, 9)
CUSTOM = "+proj=laea +lat_0=51.3 +lon_0=9.7 +x_0=0 +y_0=0 +ellps=bessel +units=m +no_defs"
PLACES = {
    "north up": (NORTH_UP, "EPSG:32632"),
    "turned": (TURNED, "EPSG:3857"),
    "degrees": (rasterio.Affine(1e-5, 0, 11.5, 0, -1e-5, 48.1), "EPSG:4326"),
    "its own projection": (NORTH_UP, CUSTOM),
}
TIFFS = ["out.tif", "out.cog.tif", "out.ome.tif"]
OUTPUTS = [*TIFFS, "out.zarr", "out.png", "out.npy", "out.npz"]
HEIGHT, WIDTH = IMAGE.shape[:2]
LEVELS = [(HEIGHT, WIDTH), (HEIGHT // 2, WIDTH // 2)]


@pytest.fixture(scope="module")
def expected():
    return refine(IMAGE, COARSE)


def save(path, transform=NORTH_UP, crs="EPSG:32632"):
    with rasterio.open(
        path, "w", driver="GTiff", height=HEIGHT, width=WIDTH, count=3, dtype="uint8", crs=crs,
        transform=transform, photometric="rgb",
    ) as picture:  # fmt: skip
        picture.write(np.moveaxis(IMAGE, -1, 0))
    np.save(path.with_name("coarse.npy"), COARSE)
    return path


def run(image, output, *options):
    line = [str(image), str(image.with_name("coarse.npy")), "-o", str(output), "-q", *options]
    assert main(["refine", *line]) == 0
    return output


def labels_of(path):
    if path.suffix == ".zarr":
        zarr = pytest.importorskip("zarr")
        return zarr.open_group(path)["0"][...]
    if path.suffix == ".npz":
        return np.load(path)["arr_0"]
    if path.suffix == ".npy":
        return np.load(path)
    with rasterio.open(path) as found:
        assert found.count == 1
        return found.read(1)


@pytest.mark.parametrize("name", OUTPUTS)
def test_labels_are_those_of_refine(name, tmp_path, expected):
    path = run(save(tmp_path / "image.tif"), tmp_path / name)
    np.testing.assert_array_equal(labels_of(path), expected, strict=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["image.tif", "coarse.npy", name])


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", TIFFS)
def test_tiffs_lie_where_the_image_lies(name, place, tmp_path):
    image = save(tmp_path / "image.tif", *PLACES[place])
    with rasterio.open(image) as source, rasterio.open(run(image, tmp_path / name)) as found:
        assert found.crs == source.crs
        assert found.crs is not None
        assert found.transform == pytest.approx(source.transform, rel=1e-12)
        assert found.bounds == pytest.approx(source.bounds, rel=1e-12)


@pytest.mark.parametrize("kind", ["vrt", "zarr"])
@pytest.mark.parametrize("name", TIFFS)
def test_places_that_do_not_come_from_a_tiff(name, kind, tmp_path):
    image = save(tmp_path / "image.tif")
    other = image.with_suffix(f".{kind}")
    if kind == "vrt":
        rasterio.shutil.copy(image, other, driver="VRT")
    else:
        pytest.importorskip("zarr")
        run(image, other)  # labels are a picture, too
    with rasterio.open(image) as source, rasterio.open(run(other, tmp_path / name)) as found:
        assert (found.crs, found.transform) == (source.crs, source.transform)


@pytest.mark.parametrize("name", TIFFS)
def test_tiffs_have_tiles_and_a_pyramid(name, tmp_path, expected):
    path = run(save(tmp_path / "image.tif"), tmp_path / name)
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        assert (page.tilelength, page.tilewidth) == (512, 512)
        levels = tiff.series[0].levels
        assert [level.shape for level in levels] == LEVELS
        for step, level in zip((1, 2), levels, strict=True):
            # Every second row and column: labels are never averaged.
            np.testing.assert_array_equal(level.asarray(), expected[::step, ::step])
        assert tiff.is_ome == (".ome." in name)
        assert (page.description or "").startswith("<?xml") == (".ome." in name)
    if ".cog." in name:
        with rasterio.open(path) as found:
            assert found.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


def test_a_zarr_lies_where_the_image_lies(tmp_path, expected):
    zarr = pytest.importorskip("zarr")
    path = run(save(tmp_path / "image.tif"), tmp_path / "out.zarr")
    attributes = json.loads((path / "zarr.json").read_text())["attributes"]
    kept = attributes["hdseg_gpu"]
    assert kept == {"crs": "EPSG:32632", "transform": list(NORTH_UP)[:6]}
    np.testing.assert_array_equal(zarr.open_group(path)["1"][...], expected[::2, ::2])


@pytest.mark.parametrize("name", ["out.png", "out.npy", "out.npz"])
def test_a_lost_place_is_noted(name, tmp_path, capsys):
    image = save(tmp_path / "image.tif")
    line = [str(image), str(tmp_path / "coarse.npy"), "-o", str(tmp_path / name)]
    assert main(["refine", *line]) == 0
    assert "has a georeference, which" in capsys.readouterr().err
    tifffile.imwrite(tmp_path / "nowhere.tif", IMAGE, photometric="rgb")
    line[0] = str(tmp_path / "nowhere.tif")
    assert main(["refine", *line, "--overwrite"]) == 0
    assert capsys.readouterr().err == ""


def files_of(path):
    """Return the content of a file or folder, but for the number that each OME-TIFF has."""
    if path.is_dir():
        return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}
    return re.sub(rb"urn:uuid:[0-9a-f-]{36}", b"", path.read_bytes())


@pytest.mark.parametrize("name", OUTPUTS)
def test_files_are_the_same_at_once_and_tile_by_tile(name, tmp_path, monkeypatch):
    image = save(tmp_path / "image.tif")
    (tmp_path / "tiles").mkdir()
    at_once = run(image, tmp_path / name)
    monkeypatch.setattr(whole_file, "MOST", HEIGHT * WIDTH - 1)
    calls = []
    monkeypatch.setattr(files, "refine_whole", lambda *_: calls.append(1))
    in_tiles = run(image, tmp_path / "tiles" / name)
    assert calls == []
    assert files_of(at_once) == files_of(in_tiles)


def test_what_is_refined_at_once_tells_its_stages(tmp_path, capsys):
    updates = []
    image = save(tmp_path / "image.tif")
    refine_file(image, COARSE, tmp_path / "out.tif", progress=updates.append)
    assert {now.phase for now in updates} >= {"statistics", "evidence", "solve", "writing"}
    assert {now.tiles for now in updates} == {0}
    assert "writing: " in str(updates[-1])
    main(["refine", str(image), str(tmp_path / "coarse.npy"), "-o", str(tmp_path / "b.tif")])
    assert capsys.readouterr().err == ""  # no terminal: nothing is said of a second's work


@pytest.mark.parametrize("dtype", ["int64", "uint16", "bool", ">i4"])
def test_labels_of_other_types_are_stored_alike(dtype, tmp_path):
    image = save(tmp_path / "image.tif")
    np.save(tmp_path / "coarse.npy", COARSE.astype(dtype))
    (tmp_path / "tiles").mkdir()
    for name in ("out.png", "out.tif", "out.npy"):
        at_once = run(image, tmp_path / name)
        in_tiles = run(image, tmp_path / "tiles" / name, "--tile", "2048")
        assert files_of(at_once) == files_of(in_tiles), name
