"""Refusals for large files that are damaged, missing, in the way or in use."""

import fcntl
import os
import re
import shutil

import numpy as np
import pytest
import tifffile
from gallery import blobs, photograph, reduced
from large_files import OPTIONS as PLAN
from large_files import SHAPE, STORED, beside, build, finish, folder_of

from hdseg_gpu import InvalidInput, RefinementWarning, backends, refine, refine_file
from hdseg_gpu.core.windows import all_of

OPTIONS = {**PLAN, "ignore_index": 255, "interpolation": "nearest"}
SIGMA = 0.2  # passed, as statistics would include the damage, and all labels depend on them


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    found = build(tmp_path_factory.mktemp("large"))
    coarse = np.load(found.coarse)
    coarse[7:12, 9:20] = 255  # ignored pixels keep their label in any tile
    np.save(found.coarse, coarse)
    return found


@pytest.fixture(scope="module")
def undisturbed(inputs, tmp_path_factory):
    output = tmp_path_factory.mktemp("undisturbed") / "out.tif"
    report = refine_file(*inputs, output, sigma=SIGMA, **OPTIONS)
    return tifffile.imread(output), report


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out.tif"


class Stop(Exception):
    """Raised in the middle of a run."""


@pytest.fixture(scope="module")
def unfinished(inputs, tmp_path_factory):
    """Return the folder of a run that was stopped after a few tiles."""
    output = tmp_path_factory.mktemp("unfinished") / "out.tif"

    def stop(now):
        if now.phase == "seeds0":
            raise Stop

    with pytest.raises(Stop):
        refine_file(*inputs, output, sigma=SIGMA, progress=stop, **OPTIONS)
    return folder_of(output)


def enlarged(coarse):
    place = all_of(SHAPE, coarse.shape)
    return backends.load("reference").upsample_labels(coarse, place)


# ---- damaged images --------------------------------------------------------------------------


def with_garbage(inputs, folder, row, column):
    """Return the inputs with garbage in place of a tile of the file."""
    image = folder / "garbage.tif"
    shutil.copy(inputs.image, image)
    with tifffile.TiffFile(image) as tiff:
        page = tiff.pages.first
        index = row * -(-page.imagewidth // STORED) + column
        offset, size = page.dataoffsets[index], page.databytecounts[index]
    with image.open("r+b") as stream:
        stream.seek(offset)
        stream.write(b"\x99" * size)
    return inputs._replace(image=image)


def test_garbage_in_the_image(inputs, undisturbed, output, tmp_path):
    damaged = with_garbage(inputs, tmp_path, 1, 2)
    where = r"garbage\.tif: the tile at rows 256 to 511, columns 512 to 767"
    with pytest.raises(InvalidInput, match=where) as caught:
        refine_file(*damaged, output, sigma=SIGMA, **OPTIONS)
    assert "\n" not in str(caught.value)
    assert not output.exists()
    # Finished tiles are kept for resuming without that part.
    with pytest.warns(RefinementWarning, match="tile.s. keep the labels of the coarse map"):
        report = refine_file(*damaged, output, sigma=SIGMA, on_error="skip", resume=True, **OPTIONS)
    fresh = tmp_path / "fresh.tif"
    with pytest.warns(RefinementWarning, match="keep the labels of the coarse map"):
        again = refine_file(*damaged, fresh, sigma=SIGMA, on_error="skip", **OPTIONS)
    assert fresh.read_bytes() == output.read_bytes()
    assert report.skipped == again.skipped
    assert list(report.skipped) == ["rows 0 to 2047, columns 0 to 2047"]
    assert re.search(where, *report.skipped.values())
    labels, expected = tifffile.imread(output), undisturbed[0]
    coarse = np.load(inputs.coarse)
    np.testing.assert_array_equal(labels[:2048, :2048], enlarged(coarse)[:2048, :2048])
    assert 255 in labels[:2048, :2048]
    # Beyond the halos of its neighbours nothing is different.
    assert report.doubt == undisturbed[1].doubt
    np.testing.assert_array_equal(labels[3072:], expected[3072:])
    np.testing.assert_array_equal(labels[:, 3072:], expected[:, 3072:])
    assert (labels != expected)[2048:].mean() < 1e-4


def test_tiles_that_need_the_garbage_around_them(inputs, undisturbed, output, tmp_path):
    """All that are skipped are as the coarse map has them, in whatever phase that was seen."""
    damaged = with_garbage(inputs, tmp_path, 9, 9)  # in the tile in the middle, close to others
    with pytest.warns(RefinementWarning, match="keep the labels of the coarse map"):
        report = refine_file(*damaged, output, sigma=SIGMA, on_error="skip", **OPTIONS)
    assert len(report.skipped) > 1
    labels, coarse = tifffile.imread(output), np.load(inputs.coarse)
    expected = enlarged(coarse)
    for place in report.skipped:
        top, bottom, left, right = map(int, re.findall(r"\d+", place))
        there = slice(top, bottom + 1), slice(left, right + 1)
        np.testing.assert_array_equal(labels[there], expected[there])


@pytest.mark.parametrize("share", [0.5, 0.999])
def test_image_that_is_cut_short(share, inputs, output, tmp_path):
    content = inputs.image.read_bytes()
    cut = tmp_path / "cut.tif"
    cut.write_bytes(content[: int(len(content) * share)])
    code, said = finish(inputs._replace(image=cut).line(output))
    assert code == 2
    last = said.splitlines()[-1]
    assert re.match(r"error: .*cut\.tif: the tile at rows \d+ to \d+, columns \d+ to \d+", last)
    assert not output.exists()


# ---- outputs ---------------------------------------------------------------------------------


def test_folder_that_cannot_be_written(inputs, output, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    with pytest.raises(InvalidInput, match="is not writable"):
        refine_file(*inputs, output, **OPTIONS)
    assert list(output.parent.iterdir()) == []


def test_output_that_is_there(inputs, output):
    output.write_bytes(b"old")
    with pytest.raises(InvalidInput, match=r"out\.tif exists; name another file, or pass over"):
        refine_file(*inputs, output, **OPTIONS)
    with pytest.raises(InvalidInput, match="exists"):
        refine_file(*inputs, output, resume=True, **OPTIONS)
    assert output.read_bytes() == b"old"
    assert beside(output) == []


def test_unfinished_run_is_in_the_way(inputs, unfinished, undisturbed, output):
    shutil.copytree(unfinished, folder_of(output))
    with pytest.raises(InvalidInput, match=r"unfinished run .*resume=True .*overwrite=True"):
        refine_file(*inputs, output, sigma=SIGMA, **OPTIONS)
    refine_file(*inputs, output, sigma=0.25, overwrite=True, **OPTIONS)  # discards that run
    assert beside(output) == []


CHANGES = {
    "beta": {"beta": 77.0},
    "sigma": {"sigma": 0.3},
    "tile": {"tile": 4096},
    "passes": {"passes": 9},
    "coarse": {},
}


@pytest.mark.parametrize("changed", CHANGES)
def test_resuming_something_else(changed, inputs, unfinished, output, tmp_path):
    shutil.copytree(unfinished, folder_of(output))
    image, coarse = inputs
    if changed == "coarse":
        coarse = tmp_path / "other.npy"
        np.save(coarse, np.load(inputs.coarse)[::-1])
    options = {**OPTIONS, "sigma": SIGMA, **CHANGES[changed]}
    with pytest.raises(InvalidInput, match=f"cannot be resumed: {changed} was .*overwrite=True"):
        refine_file(image, coarse, output, resume=True, **options)
    assert not output.exists()
    assert (folder_of(output) / "run.json").exists()


def test_skipped_parts_stay_skipped(inputs, unfinished, output):
    """A run that may leave parts out cannot be resumed as one that may not."""
    shutil.copytree(unfinished, folder_of(output))

    def stop(now):
        raise Stop

    options = {"sigma": SIGMA, "resume": True, "progress": stop, **OPTIONS}
    with pytest.raises(Stop):
        refine_file(*inputs, output, on_error="skip", **options)
    with pytest.raises(InvalidInput, match="on_error was 'skip' and is 'fail' now"):
        refine_file(*inputs, output, **options)


def test_two_runs_at_once(inputs, unfinished, output):
    shutil.copytree(unfinished, folder_of(output))
    with (folder_of(output) / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for options in ({"resume": True}, {"overwrite": True}):
            with pytest.raises(InvalidInput, match="is being written by another run"):
                refine_file(*inputs, output, sigma=SIGMA, **options, **OPTIONS)
    assert (folder_of(output) / "run.json").exists()  # nobody's work is thrown away


# ---- places ----------------------------------------------------------------------------------


def placed(path, pixels, corner, size, crs="EPSG:32632"):
    """Write a GeoTIFF."""
    rasterio = pytest.importorskip("rasterio")
    profile = {
        "driver": "GTiff", "height": pixels.shape[0], "width": pixels.shape[1], "count": 1,
        "dtype": pixels.dtype.name, "crs": crs, "tiled": True, "blockxsize": 256,
        "blockysize": 256,
        "transform": rasterio.Affine(size[1], 0, corner[0], 0, -size[0], corner[1]),
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as stream:
        stream.write(pixels, 1)
    return path


def test_places(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    labels = blobs((600, 520))
    grey, coarse = photograph(labels, channels=1)[..., 0], reduced(labels, 8)
    corner, size = (500000.0, 5400000.0), (600 * 0.5 / 75, 520 * 0.5 / 65)
    image = placed(tmp_path / "image.tif", grey, corner, (0.5, 0.5))
    there = placed(tmp_path / "there.tif", coarse, corner, size)
    away = placed(tmp_path / "away.tif", coarse, (510000.0, 5400000.0), size)
    zone = placed(tmp_path / "zone.tif", coarse, corner, size, "EPSG:32633")
    output = tmp_path / "out.tif"
    with pytest.raises(InvalidInput, match=r"away\.tif covers .*image\.tif .*do not overlap"):
        refine_file(image, away, output, tile=2048)
    with pytest.raises(
        InvalidInput, match=r"zone\.tif is in EPSG:32633 .*image\.tif in EPSG:32632"
    ):
        refine_file(image, zone, output, tile=2048)
    assert not output.exists()
    assert not folder_of(output).exists()
    refine_file(image, there, output, tile=2048)
    with rasterio.open(output) as found, rasterio.open(image) as expected:
        assert found.crs == expected.crs
        assert found.transform == expected.transform
        np.testing.assert_array_equal(found.read(1), refine(grey, coarse))
