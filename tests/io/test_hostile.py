"""Malicious files: they try to reach other files or the network, or to hang the reader."""

import os

import numpy as np
import pytest
import tifffile
from file_samples import GREY, RGB, refused
from PIL import Image
from source_files import SOURCES, save_zarr

from hdseg_gpu import InvalidInput, Window, open_image
from hdseg_gpu.core.windows import whole
from hdseg_gpu.io import read_image, read_labels
from hdseg_gpu.io.formats import format_of

# ---- windows of all kinds of sources ---------------------------------------------------------


OUTSIDE = [
    (-1, 0, 2, 2), (0, -1, 2, 2), (40, 0, 2, 1), (0, 56, 1, 2), (0, 0, 42, 1), (0, 0, 1, 58),
    (41, 0, 1, 1), (0, 57, 1, 1), (0, 0, 0, 1), (0, 0, 1, 0), (0, 0, -3, 5), (5, 5, 5, -5),
    (2**63, 0, 1, 1), (0, 0, 2**70, 1), (0.0, 0, 1, 1), (0, 0, 1.5, 1),
    (0, 0, 1, None), (0, "0", 1, 1), (float("nan"), 0, 1, 1),
]  # fmt: skip


@pytest.mark.parametrize("name", [*SOURCES, "array"])
def test_every_window_is_checked(tmp_path, name):
    if name == "array":
        source = open_image(GREY)
    else:
        SOURCES[name](tmp_path / name)
        source = open_image(tmp_path / name)
    with source:
        expected = source.read(whole(GREY.shape))
        for sides in OUTSIDE:
            with pytest.raises(InvalidInput, match="not inside the image of 41 rows"):
                source.read(Window(*sides))
        for other in (None, (0, 0, 1, 1), "all", slice(0, 3)):
            with pytest.raises(InvalidInput, match="not inside"):
                source.read(other)
        window = Window(*(np.int32(n) for n in (40, 55, 1, 2)))  # the last ones
        np.testing.assert_array_equal(source.read(window), expected[40:41, 55:57])


# ---- the extension decides -------------------------------------------------------------------

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Put programs first in the path that leave a trace when they are run."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ("gs", "gswin64c", "ffmpeg", "convert", "sh-trace"):
        (folder / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\nexit 1\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return tmp_path / "ran"


@pytest.mark.parametrize("name", ["photo.png", "photo.jpg", "photo.jpeg", "PHOTO.PNG"])
@pytest.mark.parametrize("read", [open_image, read_image, read_labels])
def test_no_program_is_run(tmp_path, programs, name, read):
    (tmp_path / name).write_bytes(POSTSCRIPT)
    with refused(tmp_path / name, "looks like PostScript"):
        read(tmp_path / name)
    assert not programs.exists()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "PPM", "WEBP", "EPS"])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_picture_of_another_kind(tmp_path, kind, suffix):
    path = tmp_path / f"a.{suffix}"
    with path.open("wb") as stream:
        Image.fromarray(RGB).save(stream, kind)
    if (kind, suffix) in (("PNG", "png"), ("JPEG", "jpg")):
        assert open_image(path).shape == (41, 57)
        return
    with refused(path, f"holds no {'PNG' if suffix == 'png' else 'JPEG'}"):
        open_image(path)


def test_other_kinds_of_rasters_and_slides(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GREY, tile=(16, 16))
    content = (tmp_path / "a.tif").read_bytes()
    names = ["a.jp2", "a.img", "a.vrt", "a.ndpi", "a.mrxs", "a.scn", "a.bif", "a.dcm", "a.npy"]
    for name in names:
        (tmp_path / name).write_bytes(content)
        pytest.importorskip("openslide" if name[2:] not in ("jp2", "img", "vrt") else "rasterio")
        slide = format_of(tmp_path / name).extra == "wsi"
        with refused(tmp_path / name, "matching extension" if slide else ""):
            open_image(tmp_path / name)


# ---- pipes, links and other files ------------------------------------------------------------


@pytest.mark.parametrize("name", [*SOURCES, "a.svs", "a.ndpi", "a.npz", "a.zarr.zip"])
def test_pipes_and_devices(tmp_path, name):
    path = tmp_path / name
    os.mkfifo(path)
    for read in (open_image, read_image):
        with refused(path, "not a file|no file|can be read"):
            read(path)
    path.unlink()
    path.symlink_to("/dev/zero")
    with refused(path):
        open_image(path)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("where", ["metadata", "chunk"])
@pytest.mark.parametrize("what", ["pipe", "outside", "device"])
def test_what_a_zarr_folder_may_hold(tmp_path, version, where, what):
    path = save_zarr(tmp_path / "a.zarr", zarr_format=version)
    names = {"metadata": (".zarray", "zarr.json"), "chunk": ("1.1", "c/1/1")}
    place = path / names[where][version - 2]
    other = tmp_path / "other"
    place.rename(other)
    if what == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to(other if what == "outside" else "/dev/zero")
    with refused(path, "not a file" if what == "pipe" else "leads out of the folder"):
        open_image(path).read(whole((41, 57)))


def test_links_within_a_zarr_folder(tmp_path):
    path = save_zarr(tmp_path / "a.zarr")
    (path / "c/1/1").rename(path / "chunk")
    (path / "c/1/1").symlink_to("../../chunk")
    (tmp_path / "b.zarr").symlink_to(path)
    for name in ("a.zarr", "b.zarr"):
        with open_image(tmp_path / name) as source:
            np.testing.assert_array_equal(source.read(whole((41, 57)))[..., 0], GREY)


def test_an_ome_tiff_that_names_a_pipe(tmp_path):
    """And any other file: none is opened."""
    os.mkfifo(tmp_path / "pipe.ome.tif")
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, GREY, metadata={"axes": "YX"})
    with tifffile.TiffFile(path) as tiff:
        text = tiff.pages.first.description
    planes = "".join(
        f'<TiffData IFD="0" FirstZ="{i}"><UUID FileName="{name}">urn:uuid:{i}</UUID></TiffData>'
        for i, name in enumerate(("a.ome.tif", "pipe.ome.tif"))
    )
    start, end = text.index("<TiffData"), text.index("</Pixels>")
    text = (text[:start] + planes + text[end:]).replace('SizeZ="1"', 'SizeZ="2"')
    tifffile.imwrite(path, GREY, description=text, metadata=None)
    with pytest.warns(match="more than one page"), open_image(path) as source:
        np.testing.assert_array_equal(source.read(whole((41, 57)))[..., 0], GREY)
    with pytest.warns(match="more than one page"):
        np.testing.assert_array_equal(read_labels(path), GREY)


SLIDE_INDEX = "[HIERARCHICAL]\nINDEXFILE = {}\n[DATAFILE]\nFILE_0 = {}\n"


@pytest.mark.parametrize(
    ("index", "data"), [("../x", "b"), ("a", "../../x"), ("a", "/etc/passwd"), ("pipe", "b")]
)
def test_a_slide_whose_index_names_other_files(tmp_path, index, data):
    pytest.importorskip("openslide")
    path = tmp_path / "a.mrxs"
    path.write_bytes(b"\xff\xd8")
    (tmp_path / "a").mkdir()
    os.mkfifo(tmp_path / "a" / "pipe")
    (tmp_path / "a" / "Slidedat.ini").write_text(SLIDE_INDEX.format(index, data))
    with refused(path, "names '"):
        open_image(path)


def test_pipes_beside_a_slide(tmp_path):
    pytest.importorskip("openslide")
    (tmp_path / "a.dcm").write_bytes(bytes(128) + b"DICM")
    os.mkfifo(tmp_path / "b.dcm")
    with refused(tmp_path / "a.dcm", "b.dcm"):
        open_image(tmp_path / "a.dcm")


# ---- files that change while they are open ---------------------------------------------------


@pytest.mark.parametrize("name", ["a.npy", "a.tif", "plain.tif"])
def test_a_file_that_changes_while_it_is_open(tmp_path, name):
    path = tmp_path / name
    SOURCES[name](path)
    with open_image(path) as source:
        np.save(tmp_path / "other", np.zeros((3, 3)))
        (tmp_path / "other.npy").replace(path)  # another file under this name
        np.testing.assert_array_equal(source.read(whole((41, 57)))[..., 0], GREY)
    path.unlink()
    SOURCES[name](path)
    with open_image(path) as source, path.open("ab") as stream:
        stream.write(b"more")
        stream.flush()
        np.testing.assert_array_equal(source.read(whole((41, 57)))[..., 0], GREY)
    with open_image(path) as source:
        os.truncate(path, 300)
        with refused(path, "cut short"):
            source.read(whole((41, 57)))
