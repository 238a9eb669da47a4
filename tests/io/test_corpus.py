"""The small files of tests/data: every reader returns the pixels of the formulas."""

import warnings

import corpus
import numpy as np
import pytest

from hdseg_gpu import RefinementWarning, Window, open_image
from hdseg_gpu.io import read_image, read_labels
from hdseg_gpu.io.paths import is_zarr

SAMPLES = corpus.samples()
WINDOW = Window(2, 3, 14, 21)
JPEGS = [n for n in SAMPLES if n.endswith((".jpg", ".jpeg"))]


@pytest.fixture
def sample(request):
    """Return a sample and its path; skipped without the library that reads it."""
    found = SAMPLES[request.param]
    if found.library is not None:
        pytest.importorskip(found.library)
    if is_zarr(corpus.FOLDER / found.name):
        pytest.importorskip("zarr")
    return found, corpus.FOLDER / found.name


def expecting(sample, jpeg_labels=False):
    """Return a context in which the sample's warning is expected, and no other."""
    said = "does not keep labels exactly" if jpeg_labels else sample.warns
    if said is None:
        return warnings.catch_warnings(action="error")
    return pytest.warns(RefinementWarning, match=said)


def compare(sample, found, expected):
    assert found.shape == expected.shape
    assert found.dtype.newbyteorder("=") == expected.dtype
    difference = abs(found.astype(np.float64) - expected.astype(np.float64))
    assert difference.max() <= sample.tolerance


def planes(pixels):
    return pixels if pixels.ndim == 3 else pixels[..., None]


def test_every_file_has_a_formula():
    found = {p.name for p in corpus.FOLDER.iterdir() if p.is_file()}
    assert found - {"make.py", "second.ome.tif"} == set(SAMPLES)
    assert sum(p.stat().st_size for p in corpus.FOLDER.iterdir() if p.is_file()) < 300_000


@pytest.mark.parametrize("sample", SAMPLES, indirect=True)
def test_windows(sample):
    sample, path = sample
    expected = planes(sample.pixels)
    with expecting(sample), open_image(path, key=sample.key) as source:
        assert source.shape == sample.pixels.shape[:2]
        assert source.levels == (source.shape, *sample.levels)
        compare(sample, source.read(Window(0, 0, *source.shape)), expected)
        window = WINDOW.intersection(Window(0, 0, *source.shape))
        compare(sample, source.read(window), expected[window.slices])


@pytest.mark.parametrize("sample", [n for n in SAMPLES if SAMPLES[n].levels], indirect=True)
def test_reduced_resolutions(sample):
    sample, path = sample
    for level, shape in enumerate(sample.levels, 1):
        with open_image(path, level=level, key=sample.key) as source:
            assert source.shape == shape
            found = source.read(Window(0, 0, *shape)).astype(np.float64)
        # whatever was averaged, a ramp's values are within a reduced pixel of its corner's
        step = round(sample.pixels.shape[0] / shape[0])
        corner = planes(sample.pixels)[::step, ::step].astype(np.float64)
        assert abs(found - corner).max() <= 7 * step + sample.tolerance


@pytest.mark.parametrize("sample", SAMPLES, indirect=True)
def test_whole_pictures(sample):
    sample, path = sample
    with expecting(sample):
        compare(sample, read_image(path, sample.key).pixels, sample.pixels)


@pytest.mark.parametrize(
    "sample", [n for n in SAMPLES if np.ndim(SAMPLES[n].labels) == 2], indirect=True
)
def test_labels_of_palettes(sample):
    sample, path = sample
    with expecting(sample):
        compare(sample, read_labels(path), sample.labels)


@pytest.mark.parametrize("sample", JPEGS, indirect=True)
def test_labels_of_a_grey_jpeg(sample):
    sample, path = sample
    if sample.pixels.ndim == 2:
        with expecting(sample, jpeg_labels=True):
            compare(sample, read_labels(path), sample.pixels)


def test_georeferences():
    with open_image(corpus.FOLDER / "geo.tif") as geo, open_image(corpus.FOLDER / "cog.tif") as cog:
        for place in (geo.georeference, cog.georeference):
            assert place.transform == (2, 0, 500000, 0, -2, 5400000)
            assert place.crs == "EPSG:32632"


@pytest.mark.parametrize("name", ["ome04.zarr.zip", "ome05.zarr.zip", "ome.ome.tif"])
def test_pixel_sizes(name):
    with open_image(corpus.FOLDER / name) as source:
        expected = (0.5, 0.25) if "zarr" in name else (0.25, 0.5)
        assert source.georeference.pixel_size == pytest.approx(expected)
