"""What a run over files writes: the labels that were found, whatever a format makes of them."""

import re

import numpy as np
import pytest
import tifffile
import two_roads
from engine_internals import small_world
from gallery import blobs, photograph, reduced
from PIL import Image

from hdseg_gpu import Window, refine, refine_file
from hdseg_gpu.io import formats
from hdseg_gpu.io.formats import FORMATS, Format

pytestmark = pytest.mark.filterwarnings("ignore::hdseg_gpu.RefinementWarning")

SHAPE = (700, 300)
TRUTH = blobs(SHAPE, 3, 8)
TRUTH[:160] = 0  # no boundary in the first tiles
IMAGE, COARSE = photograph(TRUTH), reduced(TRUTH, 4)


@pytest.mark.parametrize("order", ["columns", "random"])
def test_writers_may_ask_for_any_windows(order, monkeypatch, tmp_path):
    def write(path, labels, _georeference):
        found = np.full(labels.shape, 255, labels.dtype)
        for top, left in places:
            bottom, right = min(top + 96, SHAPE[0]), min(left + 144, SHAPE[1])
            found[top:bottom, left:right] = labels.read(
                Window(top, left, bottom - top, right - left)
            )
        with path.open("xb") as stream:
            np.save(stream, found)

    places = [(top, left) for top in range(0, SHAPE[0], 96) for left in range(0, SHAPE[1], 144)]
    if order == "columns":
        places.sort(key=lambda place: place[::-1])
    else:
        np.random.default_rng(67).shuffle(places)
    monkeypatch.setattr(formats, "FORMATS", (*FORMATS, Format("tiles", (".tiles",), write=write)))
    small_world(monkeypatch)
    report = refine_file(IMAGE, COARSE, tmp_path / "labels.tiles", tile=128, passes=4)
    assert 0 < report.decided_tiles < report.tiles
    expected = refine(IMAGE, COARSE, passes=4)
    np.testing.assert_array_equal(np.load(tmp_path / "labels.tiles"), expected)


@pytest.mark.parametrize("tile", [None, 2048])
@pytest.mark.parametrize("ignored", [200, 300])
def test_a_png_has_bits_for_the_ignored_label(ignored, tile, tmp_path):
    image, coarse = IMAGE[160:280, 80:240], COARSE[40:70, 20:60].astype(np.int32)
    coarse[3:6, 20:30] = ignored
    options = {"ignore_index": ignored, "passes": 4}
    refine_file(image, coarse, tmp_path / "labels.png", tile=tile, **options)
    found = np.array(Image.open(tmp_path / "labels.png"))
    np.testing.assert_array_equal(found, refine(image, coarse, **options))
    np.testing.assert_array_equal(found == ignored, np.kron(coarse == ignored, np.ones((4, 4))))


def test_tiles_that_cannot_be_read_are_those_of_the_map(monkeypatch, tmp_path):
    """With what is ignored there, too."""
    small_world(monkeypatch)
    image, coarse, options = two_roads.half_doubted(4, 2, 60, 2, "ignored")
    coarse[5:9, 10:14] = 255
    tifffile.imwrite(tmp_path / "image.tif", image, tile=(64, 64), compression="zlib")
    with tifffile.TiffFile(tmp_path / "image.tif") as tiff:
        offset, size = tiff.pages.first.dataoffsets[0], tiff.pages.first.databytecounts[0]
    with (tmp_path / "image.tif").open("r+b") as stream:
        stream.seek(offset)
        stream.write(b"\x99" * size)
    report = refine_file(
        tmp_path / "image.tif", coarse, tmp_path / "labels.npy", tile=128, on_error="skip",
        interpolation="nearest", **options,
    )  # fmt: skip
    assert "rows 0 to 127, columns 0 to 127" in report.skipped
    labels, expected = np.load(tmp_path / "labels.npy"), np.kron(coarse, np.ones((2, 2)))
    for place in report.skipped:
        top, bottom, left, right = map(int, re.findall(r"\d+", place))
        there = slice(top, bottom + 1), slice(left, right + 1)
        np.testing.assert_array_equal(labels[there], expected[there])
    assert (labels[:128, :128] == 255).sum() > 60
