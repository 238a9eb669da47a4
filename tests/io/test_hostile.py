"""Malicious files: they try to reach other files or the network, or to hang the reader."""

import ctypes
import json
import os
import pickle
import socket
import struct
import sys
import threading
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from file_samples import GREY, RGB, refused
from PIL import Image

from hdseg_gpu import InvalidInput, Window, open_image
from hdseg_gpu.core.memory import budget_of, resident
from hdseg_gpu.core.windows import whole
from hdseg_gpu.io import read_image, read_labels, slide_source, vrt
from hdseg_gpu.io.formats import format_of
from hdseg_gpu.io.members import members_of
from hdseg_gpu.io.stored import Stored
from hdseg_gpu.io.zarr_source import open_zarr

# ---- windows of all kinds of sources ---------------------------------------------------------


def save_zarr(path, pixels=GREY, **options):
    zarr = pytest.importorskip("zarr")
    options = {"chunks": (16, 16, 3)[: pixels.ndim], **options}
    array = zarr.create_array(path, shape=pixels.shape, dtype=pixels.dtype, **options)
    array[...] = pixels
    return path


def save_raster(path, driver, pixels=GREY, **options):
    rasterio = pytest.importorskip("rasterio")
    options = {"transform": rasterio.Affine(1, 0, 5, 0, -1, 7), **options}
    with rasterio.open(path, "w", driver=driver, width=pixels.shape[1], height=pixels.shape[0],
                       count=1, dtype=pixels.dtype, **options) as raster:  # fmt: skip
        raster.write(pixels, 1)


def save_mosaic(path, source="a.tif", extra="", **attributes):
    told = "".join(f' {name}="{value}"' for name, value in attributes.items())
    path.write_text(
        f'<VRTDataset rasterXSize="57" rasterYSize="41">{extra}<VRTRasterBand dataType="Byte" '
        f'band="1"{told}><SimpleSource><SourceFilename relativeToVRT="1">{source}</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )


def save_mosaic_and_tiff(path):
    tifffile.imwrite(path.with_name("a.tif"), GREY)
    save_mosaic(path)


SOURCES = {
    "a.png": lambda path: Image.fromarray(GREY).save(path),
    "a.jpg": lambda path: Image.fromarray(GREY).save(path),
    "a.tif": lambda path: tifffile.imwrite(path, GREY, tile=(16, 16), compression="zlib"),
    "plain.tif": lambda path: tifffile.imwrite(path, GREY),
    "a.npy": lambda path: np.save(path, GREY),
    "a.zarr": save_zarr,
    "a.jp2": lambda path: save_raster(path, "JP2OpenJPEG"),
    "a.img": lambda path: save_raster(path, "HFA"),
    "a.vrt": save_mosaic_and_tiff,
}
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


# ---- rasters that name others ----------------------------------------------------------------


@pytest.fixture
def listener():
    """Yield the port of a server, and the list of what it was asked."""
    asked, server = [], socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            asked.append(connection.recv(99))
            connection.close()

    threading.Thread(target=serve, daemon=True).start()
    yield server.getsockname()[1], asked
    server.close()


def private(tmp_path):
    (tmp_path / "private").mkdir(exist_ok=True)
    tifffile.imwrite(tmp_path / "private" / "secret.tif", np.full((41, 57), 99, np.uint8))
    return tmp_path / "private" / "secret.tif"


@pytest.mark.parametrize("name", ["a.jp2", "a.img", "a.png"])
def test_the_text_of_a_mosaic_elsewhere(tmp_path, listener, name):
    port, asked = listener
    tifffile.imwrite(tmp_path / "beside.tif", GREY)
    far = private(tmp_path), f"/vsicurl/http://127.0.0.1:{port}/a.tif"
    for source in (tmp_path / "beside.tif", "beside.tif", *far):
        save_mosaic(tmp_path / name, source)
        with refused(tmp_path / name):
            open_image(tmp_path / name)
    assert not asked


SIDE_FILES = ["{}.ovr", "{}.msk", "{}.aux.xml", "{}.vrt"]


@pytest.mark.parametrize("name", ["a.jp2", "a.img"])
def test_side_files_are_not_read(tmp_path, listener, name):
    """GDAL opens overviews and masks by whatever they hold."""
    SOURCES[name](tmp_path / name)
    with open_image(tmp_path / name) as source:
        expected, levels = source.read(whole((41, 57))), source.levels
    port, asked = listener
    for side in SIDE_FILES:
        other = tmp_path / side.format(name)
        save_mosaic(other, f"/vsicurl/http://127.0.0.1:{port}/a.tif")
        try:
            with open_image(tmp_path / name) as source:
                assert source.levels == levels
                np.testing.assert_array_equal(source.read(whole((41, 57))), expected)
        except InvalidInput as error:
            assert f"{other.name} beside it, which is not a TIFF" in str(error)  # noqa: PT017
            assert name == "a.img"
        assert not asked
        other.unlink()


def mosaics(tmp_path, port):
    """Yield the ways in which a mosaic may reach out."""
    secret = private(tmp_path)
    folder = tmp_path / "here"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", GREY)
    path = folder / "m.vrt"
    (folder / "link.tif").symlink_to(secret)
    (folder / "wms.tif").write_text(
        f'<GDAL_WMS><Service name="TMS"><ServerUrl>http://127.0.0.1:{port}/</ServerUrl></Service>'
        "</GDAL_WMS>"
    )
    polyglot = b"\x89PNG\r\n\x1a\n" + b"<VRTDataset>" + bytes(99)
    (folder / "both.png").write_bytes(polyglot)
    os.mkfifo(folder / "pipe.tif")
    for source in (
        secret, "../private/secret.tif", "link.tif", "wms.tif", "both.png", "pipe.tif", "none.tif",
        f"/vsicurl/http://127.0.0.1:{port}/a.tif", f"http://127.0.0.1:{port}/a.tif",
        f"/vsicurl_streaming/http://127.0.0.1:{port}/a.tif", "/vsizip/a.zip/a.tif",
        f"WMS:http://127.0.0.1:{port}/?", "GTIFF_RAW:a.tif", 'NETCDF:"a.nc":v', "PG:host=127.0.0.1",
        f"&lt;GDAL_WMS&gt;&lt;Service name='TMS'&gt;&lt;ServerUrl&gt;http://127.0.0.1:{port}/&lt;"
        "/ServerUrl&gt;&lt;/Service&gt;&lt;/GDAL_WMS&gt;", "/dev/zero", "m.vrt", "",
    ):  # fmt: skip
        save_mosaic(path, source)
        yield path
    text = f"<SourceFilename>{secret}</SourceFilename>"
    for extra in (
        f"<GDALWarpOptions><SourceDataset>{secret}</SourceDataset></GDALWarpOptions>",
        f"<PansharpeningOptions><SpectralBand>{text}</SpectralBand></PansharpeningOptions>",
        f"<Input>{text}</Input>",
        f"<Group name='/'><Array name='x'><Source>{text}</Source></Array></Group>",
        f'<VRTRasterBand dataType="Byte" band="1" subClass="VRTRawRasterBand">{text}'
        "</VRTRasterBand>",
        '<VRTRasterBand dataType="Byte" band="1" subClass="VRTDerivedRasterBand">'
        "<PixelFunctionType>f</PixelFunctionType><PixelFunctionLanguage>Python"
        f"</PixelFunctionLanguage>{text}</VRTRasterBand>",
        f'<VRTRasterBand dataType="Byte" band="1"><SimpleSource SourceFilename="{secret}"/>'
        "</VRTRasterBand>",
        f'<VRTRasterBand dataType="Byte" band="1"><simplesource>{text}</simplesource>'
        "</VRTRasterBand>",
        '<VRTRasterBand dataType="Byte" band="1"><SimpleSource><OpenOptions><OOI key="a">b</OOI>'
        "</OpenOptions></SimpleSource></VRTRasterBand>",
    ):
        save_mosaic(path, "a.tif", extra)
        yield path
    save_mosaic(path, "a.tif", subClass="VRTDerivedRasterBand")
    yield path
    inner = folder / "inner.vrt"
    save_mosaic(inner, "../private/secret.tif")
    save_mosaic(path, "inner.vrt")
    yield path
    save_mosaic(inner, "m.vrt")  # and so on, in circles
    yield path


def test_a_mosaic_stays_in_its_folder(tmp_path, listener):
    pytest.importorskip("rasterio")
    port, asked = listener
    count = 0
    for path in mosaics(tmp_path, port):
        count += 1
        with refused(path, "trust_vrt=True|mosaics within mosaics"):
            open_image(path)
    assert count == 31
    assert not asked


def test_a_mosaic_that_is_trusted(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    save_mosaic(tmp_path / "m.vrt", private(tmp_path))
    with open_image(tmp_path / "m.vrt", trust_vrt=True) as source:
        assert (source.read(whole((41, 57))) == 99).all()
    assert rasterio


def test_mosaics_that_are_harmless(tmp_path):
    pytest.importorskip("rasterio")
    (tmp_path / "tiles").mkdir()
    tifffile.imwrite(tmp_path / "tiles" / "a.tif", GREY)
    (tmp_path / "link.tif").symlink_to("tiles/a.tif")  # within the folder
    save_mosaic(tmp_path / "inner.vrt", "tiles/a.tif", "<Metadata><MDI key='a'>b</MDI></Metadata>")
    for source in ("tiles/a.tif", "link.tif", "inner.vrt", tmp_path / "tiles" / "a.tif"):
        save_mosaic(tmp_path / "m.vrt", source)
        with open_image(tmp_path / "m.vrt") as found:
            np.testing.assert_array_equal(found.read(whole((41, 57)))[..., 0], GREY)


def save_placed(path, source='xOff="0" yOff="0" xSize="57" ySize="41"', target=None):
    """Write a mosaic of a.tif that places a rectangle of it."""
    tifffile.imwrite(path.with_name("a.tif"), GREY)
    save_mosaic(path)
    placed = f"<SrcRect {source}/>" + ("" if target is None else f"<DstRect {target}/>")
    path.write_text(path.read_text().replace("</SimpleSource>", f"{placed}</SimpleSource>"))


@pytest.mark.parametrize("number", ["-1", "-57", "0", "nan", "inf", "1e999", "x", "", "0x10"])
@pytest.mark.parametrize("tag", ["SrcRect", "DstRect"])
def test_a_rectangle_that_is_none(tmp_path, tag, number):
    """GDAL takes it, and gives the memory of whoever used it before."""
    pytest.importorskip("rasterio")
    good = 'xOff="0" yOff="0" xSize="57" ySize="41"'
    bad = good.replace("41", number)
    missing = good.replace(' ySize="41"', "")
    for wrong, said in (
        (bad, f'ySize="{number}"' if number else "no ySize"),
        (missing, "no ySize"),
    ):
        save_placed(tmp_path / "m.vrt", *((wrong, good) if tag == "SrcRect" else (good, wrong)))
        with pytest.raises(InvalidInput, match=f"m.vrt: <{tag}> has {said}; rebuild the mosaic"):
            open_image(tmp_path / "m.vrt")


def test_rectangles_as_mosaics_have_them(tmp_path):
    pytest.importorskip("rasterio")
    save_placed(tmp_path / "m.vrt", 'xOff="2.0" yOff="+3" xSize="20" ySize=" 1.0e1"',
                'xOff="-4" yOff="5" xSize="20" ySize="10"')  # fmt: skip
    with open_image(tmp_path / "m.vrt") as source:
        found = source.read(whole(source.shape))[..., 0]
    expected = np.zeros_like(GREY)
    expected[5:15, :16] = GREY[3:13, 6:22]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("size", ['xSize="1e-9" ySize="41"', 'xSize="57" ySize="1e-9"'])
def test_what_a_mosaic_leaves_out_is_0(tmp_path, size):
    """Not what was in memory before, which glibc's M_PERTURB fills."""
    pytest.importorskip("rasterio")
    everywhere = 'xOff="0" yOff="0" xSize="57" ySize="41"'
    save_placed(tmp_path / "m.vrt", f'xOff="0" yOff="0" {size}', everywhere)
    perturb = getattr(ctypes.CDLL(None), "mallopt", None)
    if perturb is None:
        pytest.skip("needs glibc")
    perturb(-6, 0x55)
    try:
        with open_image(tmp_path / "m.vrt") as source:
            found = [source.read(w) for w in (whole(source.shape), Window(3, 5, 16, 16))]
    finally:
        perturb(-6, 0)
    assert not any(part.any() for part in found)


@pytest.mark.timeout(20)
def test_comments_before_a_source(tmp_path):
    """Each could end at many places; a pattern that tries them all does not come to an end."""
    pytest.importorskip("rasterio")
    (tmp_path / "a.tif").write_bytes(b"<!---->" * 9000 + b"x")
    (tmp_path / "b.vrt").write_bytes(b"<!---->" * 500_000 + b"x")
    for name, reason in (("a.tif", "is not, or not only, a TIFF"), ("b.vrt", "it is no XML")):
        save_mosaic(tmp_path / "m.vrt", name)
        with pytest.raises(InvalidInput, match=reason):
            open_image(tmp_path / "m.vrt")


def test_a_mosaic_that_is_within_another_many_times(tmp_path, monkeypatch):
    """Its text stands for each of them, and is counted before it is written."""
    pytest.importorskip("rasterio")
    tifffile.imwrite(tmp_path / "a.tif", GREY)
    save_mosaic(tmp_path / "b.vrt", "a.tif", f"<Description>{'<![CDATA[&]]>' * 5000}</Description>")
    written = []
    monkeypatch.setattr(vrt, "escape", lambda text, quote=True: written.append(text) or text)
    monkeypatch.setattr(vrt, "_LONGEST", 200_000)
    source = '<SimpleSource><SourceFilename relativeToVRT="1">b.vrt</SourceFilename></SimpleSource>'
    (tmp_path / "m.vrt").write_text(
        f'<VRTDataset rasterXSize="57" rasterYSize="41"><VRTRasterBand dataType="Byte" band="1">'
        f"{source * 2000}</VRTRasterBand></VRTDataset>"
    )
    with refused(tmp_path / "m.vrt", "its text has more than 200000 bytes"):
        open_image(tmp_path / "m.vrt")
    assert sum(map(len, written)) < 200_000


def test_elements_within_elements(tmp_path):
    pytest.importorskip("rasterio")
    (tmp_path / "m.vrt").write_text("<VRTDataset>" * 100_000 + "</VRTDataset>" * 100_000)
    with refused(tmp_path / "m.vrt", "elements within elements, more than 100"):
        open_image(tmp_path / "m.vrt")


def test_a_doctype_in_another_encoding(tmp_path):
    pytest.importorskip("rasterio")
    text = '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE a [<!ENTITY b "c">]><VRTDataset/>'
    (tmp_path / "m.vrt").write_bytes(text.encode("utf-16"))
    with refused(tmp_path / "m.vrt", "DOCTYPE"):
        open_image(tmp_path / "m.vrt")


def save_large(path, kind):
    """Save pixels that compress well, and of which one needs all; return their number."""
    pixels = np.zeros((6000, 6000, 3), np.uint8)
    if kind == "tile":
        tifffile.imwrite(path, pixels, photometric="rgb", tile=pixels.shape[:2], compression="zlib")
    elif kind == "strip":
        tifffile.imwrite(path, pixels, photometric="rgb", rowsperstrip=6000, compression="zlib")
    elif kind == "page":  # a later one
        with tifffile.TiffWriter(path) as writer:
            writer.write(GREY)
            writer.write(pixels, photometric="rgb", tile=pixels.shape[:2], compression="zlib")
    elif kind == "jpeg":
        Image.fromarray(pixels).save(path, "JPEG", progressive=True)
    elif kind == "jp2":
        head = struct.pack(">HHH8IH", 0xFF51, 47, 0, 6000, 6000, 0, 0, 6000, 6000, 0, 0, 3)
        path.write_bytes(b"\xff\x4f" + head + bytes(100))
    else:
        header = struct.pack(">IIBBBBB", 6000, 6000, 8, 2, 0, 0, 1)  # interlaced
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b""))
    return pixels.size


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize("kind", ["tile", "strip", "page", "jpeg", "jp2", "png"])
def test_tiles_behind_a_mosaic(tmp_path, kind):
    """What its sources' headers say that a tile takes is held against the budget."""
    pytest.importorskip("rasterio")
    need = save_large(tmp_path / "a.tif", kind)
    save_mosaic(tmp_path / "m.vrt")
    with refused(tmp_path / "m.vrt", r"decoding a tile of \S*a\.tif takes"):
        open_image(tmp_path / "m.vrt", max_memory=resident() + need - 1)
    state = vrt.checked_mosaic(tmp_path / "m.vrt", budget_of(8 << 30))
    assert need <= state.decoding <= 9 * need


def test_a_tile_that_reaches_far_beyond_the_picture(tmp_path):
    """GDAL makes room for all of it."""
    save_raster(tmp_path / "a.jp2", "JP2OpenJPEG")
    content = bytearray((tmp_path / "a.jp2").read_bytes())
    at = content.find(b"\xff\x4f\xff\x51") + 24  # the tiles' width and height
    struct.pack_into(">II", content, at, 1 << 26, 41)
    (tmp_path / "a.jp2").write_bytes(content)
    with refused(tmp_path / "a.jp2", "decoding a tile of 41 x 67108864 pixels takes .* MiB"):
        open_image(tmp_path / "a.jp2", max_memory=1 << 30)
    save_mosaic(tmp_path / "m.vrt", "a.jp2")
    with refused(tmp_path / "m.vrt", r"decoding a tile of \S*a\.jp2 takes .* MiB"):
        open_image(tmp_path / "m.vrt", max_memory=1 << 30)


def test_small_tiles_behind_a_mosaic(tmp_path):
    """Pictures of which a tile, a strip or a line is decoded at once take next to nothing."""
    pytest.importorskip("rasterio")
    pixels = np.zeros((3000, 3000, 3), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", tile=(256, 256))
    tifffile.imwrite(tmp_path / "b.tif", pixels, photometric="rgb", rowsperstrip=16)
    Image.fromarray(pixels).save(tmp_path / "c.jpg")
    Image.fromarray(pixels).save(tmp_path / "d.png")
    for name in ("a.tif", "b.tif", "c.jpg", "d.png"):
        save_mosaic(tmp_path / "m.vrt", name)
        assert vrt.checked_mosaic(tmp_path / "m.vrt", budget_of(None)).decoding < 1 << 20


@pytest.mark.timeout(20)
@pytest.mark.parametrize("side", ["picture9.ige", "picture9.rrd", "another9.rrd"])
def test_pipes_beside_an_img(tmp_path, side):
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "picture9.img"
    save_raster(path, "HFA", np.tile(GREY, (9, 9)), USE_SPILL="YES" if "ige" in side else "NO")
    if "rrd" in side:
        with rasterio.Env(HFA_USE_RRD="YES"), rasterio.open(path, "r+") as raster:
            raster.build_overviews([2])
    with open_image(path) as source:
        assert len(source.levels) == 1 + ("rrd" in side)
    (tmp_path / f"picture9{side[-4:]}").unlink()
    path.write_bytes(path.read_bytes().replace(b"picture9.rrd", b"another9.rrd"))
    os.mkfifo(tmp_path / side)
    for read in (open_image, read_image):
        with refused(path, side):
            read(path)
    assert [name for name, _ in members_of(path)][:1] == [path.name]


def test_an_img_whose_entries_say_that_they_are_longer(tmp_path):
    """GDAL makes room for them before it reads: here up to 2 GB for a file of some KB."""
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "a.img"
    save_raster(path, "HFA")
    with rasterio.open(path, "r+") as raster:
        raster.build_overviews([2, 4])
        raster.update_tags(1, STATISTICS_MEAN="3")
    content = path.read_bytes()
    with open_image(path) as source:
        assert source.read(whole(source.shape))[..., 0].tobytes() == GREY.tobytes()
    refusals, at = 0, struct.unpack_from("<I", content, 16)[0] + 8
    found, left = set(), [struct.unpack_from("<I", content, at)[0]]
    while left:
        place = left.pop()
        if place and place not in found:
            found.add(place)
            following, _, _, child, data, size = struct.unpack_from("<6I", content, place)
            left += following, child
            if not size:
                continue
            damaged = bytearray(content)
            struct.pack_into("<I", damaged, place + 20, 0x5000_0000)
            path.write_bytes(damaged)
            with refused(path, f"the entry at {place} has {0x5000_0000} bytes from {data} on"):
                open_image(path)
            refusals += 1
    assert refusals > 5
    # In a circle, and cut short.
    root = struct.unpack_from("<I", content, at)[0]
    circle = bytearray(content)
    struct.pack_into("<I", circle, root, root)
    for damaged in (circle, content[: root + 10]):
        path.write_bytes(damaged)
        try:
            open_image(path).close()
        except InvalidInput as error:
            assert "a.img" in str(error)  # noqa: PT017


@pytest.mark.parametrize("side", [".ige", ".rrd"])
def test_an_img_whose_other_file_has_another_name(tmp_path, side):
    """It would not be noticed that this file changes."""
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "picture9.img"
    save_raster(path, "HFA", np.tile(GREY, (9, 9)), USE_SPILL="YES" if side == ".ige" else "NO")
    if side == ".rrd":
        with rasterio.Env(HFA_USE_RRD="YES"), rasterio.open(path, "r+") as raster:
            raster.build_overviews([2])
    before, after = (f"{name}{side}".encode() for name in ("picture9", "another9"))
    path.with_suffix(side).rename(tmp_path / after.decode())
    for name in (before, after):
        path.write_bytes(path.read_bytes().replace(name, after))
    with refused(path, "another9"):
        open_image(path)


def test_overviews_in_files_beside_a_raster(tmp_path):
    """Those of an .img are read, belong to it, and are held against the budget."""
    pixels = np.tile(GREY, (9, 9))
    for name, driver in (("a.img", "HFA"), ("a.jp2", "JP2OpenJPEG")):
        save_raster(tmp_path / name, driver, pixels)
        with open_image(tmp_path / name) as source:
            before = source.levels
        side = tmp_path / f"{name}.ovr"
        tifffile.imwrite(side, 255 - pixels[::2, ::2], subfiletype=1)
        read = name == "a.img"
        with open_image(tmp_path / name, level=int(read)) as source:
            assert source.levels == (((369, 513), (185, 257)) if read else before)
            found = source.read(whole(source.shape))[..., 0]
            assert np.array_equal(found, 255 - pixels[::2, ::2]) == read
        assert (side.name in [name for name, _ in members_of(tmp_path / name)]) == read
        side.unlink()
    save_large(tmp_path / "a.img.ovr", "tile")
    with refused(tmp_path / "a.img", r"decoding a tile of a\.img\.ovr takes"):
        open_image(tmp_path / "a.img", max_memory=resident() + 6000 * 6000 * 3)


def test_an_img_that_names_a_file_elsewhere(tmp_path):
    """The pixels of a large .img lie in a second file, whose name is in the first."""
    (tmp_path / "here").mkdir()
    (tmp_path / "ab").mkdir()
    path = tmp_path / "here" / "picture9.img"
    save_raster(path, "HFA", USE_SPILL="YES")
    with open_image(path) as source:
        np.testing.assert_array_equal(source.read(whole((41, 57)))[..., 0], GREY)
    spilled = path.with_suffix(".ige")
    spilled.rename(tmp_path / "ab" / "p.ige")
    name = b"../ab/p.ige\0"
    path.write_bytes(path.read_bytes().replace(b"picture9.ige", name))
    with refused(path, "is not beside it"):
        open_image(path)


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


# ---- codecs ----------------------------------------------------------------------------------


class Trap:
    def __init__(self, flag):
        self.flag = flag

    def __reduce__(self):
        return os.system, (f"touch {self.flag}",)


def write_v2(path, content=b"", **changes):
    path.mkdir(exist_ok=True)
    told = {
        "zarr_format": 2, "shape": [41, 57], "chunks": [41, 57], "dtype": "|u1", "order": "C",
        "compressor": None, "fill_value": 0, "filters": None,
    }  # fmt: skip
    (path / ".zarray").write_text(json.dumps({**told, **changes}))
    (path / "0.0").write_bytes(content)


def write_v3(path, codecs, content=b"", shape=(41, 57), chunk=(41, 57)):
    path.mkdir(exist_ok=True)
    told = {
        "zarr_format": 3, "node_type": "array", "shape": shape, "data_type": "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
        "chunk_key_encoding": {"name": "default"}, "fill_value": 0, "codecs": codecs,
        "attributes": {},
    }  # fmt: skip
    (path / "zarr.json").write_text(json.dumps(told))
    (path / "c/0").mkdir(parents=True, exist_ok=True)
    (path / "c/0/0").write_bytes(content)


def shard(codecs, index=({"name": "bytes", "configuration": {"endian": "little"}},)):
    inner = {"chunk_shape": [41, 57], "codecs": codecs, "index_codecs": list(index)}
    return [{"name": "sharding_indexed", "configuration": inner}]


NUMCODECS = pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in")
BYTES = {"name": "bytes", "configuration": {"endian": "little"}}


@NUMCODECS
@pytest.mark.parametrize("kind", ["pickle", "json2", "msgpack2", "vlen-utf8", "nobody's"])
def test_codecs_that_are_not_known(tmp_path, kind):
    pytest.importorskip("zarr")
    path, flag = tmp_path / "a.zarr", tmp_path / "ran"
    content = pickle.dumps(Trap(flag))
    for changes in (
        {"compressor": {"id": kind}},
        {"filters": [{"id": kind}]},
        {"filters": [{"id": "delta", "dtype": "|u1"}, {"id": kind}], "compressor": {"id": "zlib"}},
    ):
        write_v2(path, content, **changes)
        with refused(path, f"{kind}|StringDType"):
            open_image(path).read(whole((41, 57)))
    write_v2(path, content, filters=[{"id": kind}], dtype="|O")
    with refused(path):
        open_image(path)
    other = tmp_path / "b.zarr"
    for codecs in (
        [BYTES, {"name": f"numcodecs.{kind}"}],
        [BYTES, {"name": kind}],
        shard([BYTES, {"name": f"numcodecs.{kind}"}]),
        shard([BYTES], [BYTES, {"name": f"numcodecs.{kind}"}]),
        [*shard([BYTES]), {"name": f"numcodecs.{kind}"}],
    ):
        write_v3(other, codecs, content)
        with refused(other, f"{kind}|ArrayBytesCodec"):
            open_image(other).read(whole((41, 57)))
    assert not flag.exists()


def test_a_codec_that_zarr_knows_and_we_do_not(tmp_path):
    pytest.importorskip("zarr")
    numcodecs = pytest.importorskip("numcodecs")
    content = numcodecs.Base64().encode(GREY.tobytes())
    for changes in ({"compressor": {"id": "base64"}}, {"filters": [{"id": "base64"}]}):
        write_v2(tmp_path / "a.zarr", content, **changes)
        with refused(tmp_path / "a.zarr", "uses the codec 'base64'"):
            open_image(tmp_path / "a.zarr")


@pytest.mark.parametrize("kind", ["zlib", "gzip", "bz2", "lzma", "zstd", "blosc", "lz4"])
@pytest.mark.parametrize("shuffled", [False, True])
def test_codecs_that_are_known(tmp_path, kind, shuffled):
    zarr = pytest.importorskip("zarr")
    numcodecs = pytest.importorskip("numcodecs")
    codec = numcodecs.get_codec({"id": kind})
    filters = [numcodecs.Delta("i4")] if shuffled else None
    pixels = GREY.astype(np.int32) * 7
    array = zarr.create_array(tmp_path / "a.zarr", shape=(41, 57), chunks=(16, 16), dtype="i4",
                              zarr_format=2, compressors=codec, filters=filters)  # fmt: skip
    array[...] = pixels
    with open_image(tmp_path / "a.zarr") as source:
        np.testing.assert_array_equal(source.read(whole((41, 57)))[..., 0], pixels)


@NUMCODECS
@pytest.mark.parametrize("kind", ["zlib", "gzip", "bz2", "lzma", "zstd", "blosc", "lz4"])
def test_a_chunk_that_unpacks_to_more(tmp_path, kind):
    pytest.importorskip("zarr")
    numcodecs = pytest.importorskip("numcodecs")
    content = bytes(numcodecs.get_codec({"id": kind}).encode(bytes(1 << 26)))
    write_v2(tmp_path / "a.zarr", content, compressor={"id": kind})
    name = kind if kind in ("gzip", "zstd", "blosc") else f"numcodecs.{kind}"
    settings = {
        "gzip": {"level": 1},
        "zstd": {"level": 1, "checksum": False},
        "blosc": {"cname": "lz4", "clevel": 1, "shuffle": "noshuffle", "typesize": 1,
                  "blocksize": 0},
    }.get(kind, {})  # fmt: skip
    codec = {"name": name, "configuration": settings}
    write_v3(tmp_path / "b.zarr", [BYTES, codec], content)
    # the index of a shard says where the chunk is, and how long
    index = struct.pack("<QQ", 0, len(content))
    write_v3(tmp_path / "c.zarr", shard([BYTES, codec]), content + index)
    for name in ("a.zarr", "b.zarr", "c.zarr"):
        with refused(tmp_path / name, "decompresses to more than|has .* bytes, but its content"):
            open_image(tmp_path / name).read(whole((41, 57)))


def test_zstandard_that_does_not_say_its_size(tmp_path):
    pytest.importorskip("zarr")
    pytest.importorskip("imagecodecs")
    # a raw block in a frame with a window and no content size; the last block: 2 bits, size << 3
    block = struct.pack("<I", (GREY.size << 3) | 1)[:3] + GREY.tobytes()
    frame = b"\x28\xb5\x2f\xfd\x00\x58" + block
    write_v2(tmp_path / "a.zarr", frame, compressor={"id": "zstd"})
    with open_image(tmp_path / "a.zarr") as source:
        np.testing.assert_array_equal(source.read(whole((41, 57)))[..., 0], GREY)
    # 64 blocks of 128 KiB, each a byte that is repeated
    blocks = b"".join(
        struct.pack("<I", (1 << 17 << 3) | (1 << 1) | (i == 63))[:3] + b"\0" for i in range(64)
    )
    write_v2(tmp_path / "a.zarr", frame[:6] + blocks, compressor={"id": "zstd"})
    with refused(tmp_path / "a.zarr", "damaged"):
        open_image(tmp_path / "a.zarr").read(whole((41, 57)))


def test_filters_to_types_that_are_no_numbers(tmp_path):
    pytest.importorskip("zarr")
    for config in (
        {"id": "astype", "encode_dtype": "|u1", "decode_dtype": "|S10000000"},
        {"id": "delta", "dtype": "|u1", "astype": "|V100000"},
    ):
        write_v2(tmp_path / "a.zarr", GREY.tobytes(), filters=[config])
        with refused(tmp_path / "a.zarr", config["id"]):
            open_image(tmp_path / "a.zarr")


def growing(kind):
    """Return filters that would yield more than the chunk of bytes that it is for."""
    wide = {"id": "astype", "encode_dtype": "|u1", "decode_dtype": "<f8"}
    return {
        "packbits": [{"id": "packbits"}],
        "packbits, again and again": [{"id": "packbits"}] * 3,
        "astype": [wide],
        "astype, again and again": [wide] * 3,
        "astype of another kind": [{**wide, "decode_dtype": "|i1"}],
        "delta": [{"id": "delta", "dtype": "<f8", "astype": "|u1"}],
        "fixedscaleoffset": [
            {"id": "fixedscaleoffset", "scale": 1, "offset": 0, "dtype": "<f8", "astype": "|u1"}
        ],
        "many offsets": [
            {"id": "fixedscaleoffset", "scale": 1, "offset": [[0]] * 99, "dtype": "|u1",
             "astype": "|u1"}
        ],
        "shuffle twice": [{"id": "shuffle", "elementsize": 1}] * 2,
    }[kind]  # fmt: skip


GROWING = (
    "packbits", "packbits, again and again", "astype", "astype, again and again",
    "astype of another kind", "delta", "fixedscaleoffset", "many offsets", "shuffle twice",
)  # fmt: skip


@NUMCODECS
@pytest.mark.parametrize("kind", GROWING)
@pytest.mark.parametrize("where", ["v2", "v2 compressor", "v3", "shard"])
def test_filters_that_yield_more(tmp_path, kind, where):
    pytest.importorskip("zarr")
    filters, path = growing(kind), tmp_path / "a.zarr"
    if where == "v2 compressor":
        write_v2(path, GREY.tobytes(), filters=filters[1:], compressor=filters[0])
    elif where == "v2":
        write_v2(path, GREY.tobytes(), filters=filters)
    else:
        codecs = [
            {"name": f"numcodecs.{each['id']}",
             "configuration": {k: v for k, v in each.items() if k != "id"}}
            for each in filters
        ]  # fmt: skip
        codecs = [BYTES, *codecs] if "shuffle" in kind else [*codecs, BYTES]
        write_v3(path, codecs if where == "v3" else shard(codecs), GREY.tobytes())
    with refused(path, "which is not supported|Packbits filter requires bool"):
        open_image(path)


BOTH = {
    "packbits": (np.bool_, {}),
    "astype": (np.float64, {"encode_dtype": "<f4", "decode_dtype": "<f8"}),
    "delta": (np.uint16, {"dtype": "<u2", "astype": "<i8"}),
    "fixedscaleoffset": (
        np.float64, {"scale": 2, "offset": -1.5, "dtype": "<f8", "astype": "<u2"}
    ),
    "bitround": (np.float32, {"keepbits": 23}),
}  # fmt: skip


@NUMCODECS
@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("sharded", [False, True])
def test_filters_that_are_known(tmp_path, kind, version, sharded):
    zarr = pytest.importorskip("zarr")
    numcodecs = pytest.importorskip("numcodecs")
    if sharded and version == 2:
        pytest.skip("shards came with version 3")
    dtype, settings = BOTH[kind]
    pixels = (GREY % 2 if kind == "packbits" else GREY).astype(dtype)
    if version == 2:
        filters = [numcodecs.get_codec({"id": kind, **settings})]
        packed = numcodecs.get_codec({"id": "zlib"})
    else:
        own = pytest.importorskip("zarr.codecs.numcodecs")
        names = {each.lower(): each for each in dir(own)}
        filters, packed = [getattr(own, names[kind])(**settings)], own.Zlib()
    options = {"shards": (32, 32)} if sharded else {}
    array = zarr.create_array(tmp_path / "a.zarr", shape=(41, 57), chunks=(16, 16), dtype=dtype,
                              zarr_format=version, filters=filters, compressors=packed,
                              **options)  # fmt: skip
    array[...] = pixels
    with open_image(tmp_path / "a.zarr") as source:
        np.testing.assert_array_equal(source.read(whole((41, 57)))[..., 0], pixels)


def test_what_filters_need_is_counted(tmp_path):
    pytest.importorskip("zarr")
    side = 4096
    about = {"shape": [side, side], "chunks": [side, side]}
    budget = resident() + (250 << 20)
    write_v2(tmp_path / "a.zarr", **about, filters=[{"id": "delta", "dtype": "|u1"}])
    with open_image(tmp_path / "a.zarr", max_memory=budget) as source:
        plain = source.decoding
    wide = [{"id": "delta", "dtype": "|u1", "astype": "<i8"}]
    write_v2(tmp_path / "a.zarr", **about, filters=wide, compressor={"id": "zlib"})
    with open_image(tmp_path / "a.zarr") as source:
        assert source.decoding >= plain + 14 * side**2  # twice, packed and not
    with refused(tmp_path / "a.zarr", "decoding a chunk of shape .* MiB are left"):
        open_image(tmp_path / "a.zarr", max_memory=budget)


@NUMCODECS
def test_filters_are_given_no_more_than_a_chunk(tmp_path):
    pytest.importorskip("zarr")
    filters = [{"id": "delta", "dtype": "|u1", "astype": "<i4"}]
    much = bytes(8 * GREY.size)
    write_v2(tmp_path / "a.zarr", much, filters=filters)
    write_v2(tmp_path / "b.zarr", zlib.compress(much), filters=filters, compressor={"id": "zlib"})
    write_v2(tmp_path / "c.zarr", much, filters=[*filters, {"id": "shuffle"}])
    for name in ("a.zarr", "b.zarr", "c.zarr"):
        assert_too_long(tmp_path / name)


def assert_too_long(path):
    """Check that the store gives no chunk that is too long, and that no codec takes it."""
    for most in (None, 1 << 40):
        with open_zarr(path) as source:
            if most is not None:
                source._store.most = most
            with refused(path, "content takes|decompresses to more than"):
                source.read(whole((41, 57)))


@NUMCODECS
def test_a_filter_of_whose_type_zarr_does_not_know(tmp_path):
    """It takes the stored values for those before the filter, which then are four times as many."""
    pytest.importorskip("zarr")
    settings = {"digits": 1, "dtype": "<f8", "astype": "<f2"}
    codecs = [{"name": "numcodecs.quantize", "configuration": settings}, BYTES]
    path = tmp_path / "a.zarr"
    write_v3(path, codecs, bytes(8 * GREY.size))
    told = json.loads((path / "zarr.json").read_text())
    (path / "zarr.json").write_text(json.dumps({**told, "data_type": "float64"}))
    assert_too_long(path)


def test_chunks_of_a_pixel_are_counted(tmp_path):
    pytest.importorskip("zarr")
    budget = resident() + (500 << 20)
    about = {"shape": [3000, 3000], "chunks": [1, 1]}
    write_v2(tmp_path / "a.zarr", **about)
    with refused(tmp_path / "a.zarr", r"decoding a chunk of shape \(1, 1\)"):
        open_image(tmp_path / "a.zarr", max_memory=budget)
    write_v2(tmp_path / "a.zarr", b"\0", **{**about, "shape": [100, 100]})  # which are few
    with open_image(tmp_path / "a.zarr", max_memory=budget) as source:
        source.read(whole((100, 100)))
    told = shard([BYTES])
    told[0]["configuration"]["chunk_shape"] = [1, 1]
    write_v3(tmp_path / "b.zarr", told, b"", (3000, 3000), (3000, 3000))
    with refused(tmp_path / "b.zarr", r"decoding a chunk of shape \(1, 1\)"):
        open_image(tmp_path / "b.zarr", max_memory=budget + (500 << 20))


def test_an_index_that_names_the_whole_shard_again_and_again(tmp_path):
    pytest.importorskip("zarr")
    told = shard([BYTES])
    told[0]["configuration"]["chunk_shape"] = [4, 4]
    content = bytes(64 * 16)
    index = struct.pack("<QQ", 0, len(content)) * 64
    write_v3(tmp_path / "a.zarr", told, content + index, (32, 32), (32, 32))
    for window in (whole((32, 32)), Window(0, 0, 9, 9)):
        with refused(tmp_path / "a.zarr", "1024 bytes, but its content takes at most 16"):
            open_image(tmp_path / "a.zarr").read(window)


def test_keys_of_many_characters(tmp_path):
    key = "k\n" * 10_000
    np.savez(tmp_path / "a.npz", a=GREY, b=GREY)
    np.save(tmp_path / "a.npy", GREY)
    for name in ("a.npz", "a.npy"):
        with refused(tmp_path / name, r"(has no array |key=)'.*\.\.\.") as caught:
            read_labels(tmp_path / name, key)
        assert len(str(caught.value)) < 500
    save_zarr(tmp_path / "a.zarr")
    with refused(tmp_path / "a.zarr", r"(has|contains) no array '.*\.\.\.") as caught:
        open_image(tmp_path / "a.zarr", key=key)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "attributes",
    [
        {"multiscales": 7}, {"multiscales": [{"axes": 7, "datasets": []}]},
        {"multiscales": [{"axes": ["y", "x"], "datasets": [{"path": ["0"]}]}]},
        {"multiscales": [{"axes": [{"name": "y"}, {"name": ["x"]}], "datasets": []}]},
        {"multiscales": [{"axes": [{"name": "y", "unit": []}, {"name": "x"}],
                          "datasets": [{"path": "0", "coordinateTransformations": 3}]}]},
        {"multiscales": [{"axes": [{"name": "y", "unit": {}}, {"name": "x", "unit": []}],
          "datasets": [{"path": "0", "coordinateTransformations": [
              {"type": "scale", "scale": [10**400, 1]}]}]}]},
        {"multiscales": [{"axes": [{"name": "y", "unit": {}}, {"name": "x", "unit": []}],
          "datasets": [{"path": "0", "coordinateTransformations": [
              {"type": "scale", "scale": [1, 1]}]}]}]},
        {"multiscales": [{"axes": ["y", "x"], "datasets": [{"path": "../../etc"}]}]},
        {"multiscales": [{"axes": ["y", 100_000 * "x"], "datasets": []}]},
    ],
)  # fmt: skip
def test_odd_metadata(tmp_path, attributes):
    pytest.importorskip("zarr")
    path = tmp_path / "a.zarr"
    path.mkdir()
    write_v2(path / "0")
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    (path / ".zattrs").write_text(json.dumps(attributes))
    with refused(path) as caught:
        open_image(path).read(whole((41, 57)))
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("rows", [2**40 + 1, 2**63 - 1, 2**63, 2**64 - 1])
def test_a_side_that_nobody_can_count(tmp_path, rows):
    """Zarr reads nothing there, and says nothing."""
    pytest.importorskip("zarr")
    path = tmp_path / "a.zarr"
    write_v3(path, [BYTES], GREY.tobytes(), shape=(rows, 57))
    with refused(path):
        open_image(path)


def test_metadata_that_are_deep_or_no_picture(tmp_path):
    pytest.importorskip("zarr")
    path = tmp_path / "a.zarr"
    path.mkdir()
    for text in ("[" * 100_000, "{}", "7", "\0", '{"zarr_format": 3, "node_type": "array"}'):
        (path / "zarr.json").write_text(text)
        with refused(path):
            open_image(path)


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


# ---- pages in circles, tables without end ----------------------------------------------------


def directory(entries, following=0):
    """Return a TIFF's page: (code, type, count, value) of each tag, and where the next one is."""
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return struct.pack("<H", len(entries)) + packed + struct.pack("<I", following)


def write_tiff(path, *changes, following=0, more=b"", size=0):
    """Write a page of 41 x 57 grey pixels, at 8, that begin at 4096."""
    tags = {256: (4, 1, 57), 257: (4, 1, 41), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1),
            273: (4, 1, 4096), 277: (3, 1, 1), 278: (4, 1, 41), 279: (4, 1, GREY.size)}  # fmt: skip
    tags.update(changes)
    page = directory([(code, *tags[code]) for code in sorted(tags) if tags[code]], following)
    content = (b"II*\0" + struct.pack("<I", 8) + page).ljust(1024, b"\0") + more
    path.write_bytes(content.ljust(4096, b"\0") + GREY.tobytes())
    if size:
        os.truncate(path, size)  # zeros that take no room


@pytest.mark.parametrize("planes", [1, 2])  # together, or apart
def test_more_channels_than_a_tiff_can_have(tmp_path, planes):
    """Else a column of 41 pixels is an array of 164 GB."""
    path = tmp_path / "a.tif"
    write_tiff(path, (284, (3, 1, planes)), (277, (4, 1, 4_000_000_000)))
    with refused(path, "channels, but a TIFF has at most 65535|MiB"):
        open_image(path, max_memory=1 << 30)


def test_a_tag_that_is_there_twice(tmp_path):
    path = tmp_path / "a.tif"
    write_tiff(path)
    content = bytearray(path.read_bytes())
    content[10 + 12 * 6 : 10 + 12 * 6 + 12] = struct.pack("<HHII", 257, 4, 1, 3)  # for 277
    path.write_bytes(content)
    with open_image(path) as source:
        assert source.levels == (source.shape,)
        assert read_image(path).pixels.shape == source.shape


def test_a_width_that_is_a_fraction(tmp_path):
    path = tmp_path / "a.tif"
    write_tiff(path, (256, (11, 1, 140)))  # 2e-43, as a float
    with refused(path, "41 x 0 pixels"):
        open_image(path)


def test_complex_numbers(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((9, 8), np.complex64))
    with refused(tmp_path / "a.tif", "complex64"):
        open_image(tmp_path / "a.tif")


def test_a_chunk_that_says_it_is_longer_than_its_file(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(GREY).save(path)
    with Stored(path) as file, file.stream() as stream:
        assert stream.read(8) == path.read_bytes()[:8]
        assert stream.read(1 << 62) == path.read_bytes()[8:]  # else there is no room for it


def test_the_page_is_one(tmp_path):
    write_tiff(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").pixels, GREY)


def test_pages_in_circles(tmp_path):
    path = tmp_path / "a.tif"
    write_tiff(path, following=8)
    with pytest.warns(match="more than one page"), open_image(path) as source:
        np.testing.assert_array_equal(source.read(whole((41, 57)))[..., 0], GREY)
    # a page whose children are itself
    write_tiff(path, (330, (4, 1, 8)))
    with open_image(path) as source:
        assert source.levels == ((41, 57),)


def test_a_million_pages(tmp_path):
    path = tmp_path / "a.tif"
    write_tiff(path, following=8192)
    at, pages = 8192, []
    for _ in range(200_000):
        at += 30
        pages.append(directory([(256, 4, 1, 57), (257, 4, 1, 41)], at))
    path.write_bytes(path.read_bytes().ljust(8192, b"\0") + b"".join(pages))
    with pytest.warns(match="more than one page"), open_image(path) as source:
        np.testing.assert_array_equal(source.read(whole((41, 57)))[..., 0], GREY)


@pytest.mark.parametrize("code", [273, 279, 330, 270, 347, 339, 258])
def test_tables_without_end(tmp_path, code):
    path = tmp_path / "a.tif"
    kind = {270: 2, 347: 7, 258: 3, 339: 3}.get(code, 4)
    write_tiff(path, (code, (kind, 900_000_000, 8)), size=1 << 32)
    with refused(path, "MiB|damaged"):
        open_image(path, max_memory=1 << 30)


@pytest.mark.parametrize(
    "changes",
    [
        [(322, (4, 1, 0)), (323, (4, 1, 16)), (324, (4, 1, 4096)), (325, (4, 1, 256))],
        [(322, (4, 1, 16)), (323, (4, 1, 0)), (324, (4, 1, 4096)), (325, (4, 1, 256))],
        [(278, (4, 1, 0))], [(256, (4, 1, 0))], [(257, (4, 1, 0))], [(258, (3, 1, 12))],
        [(258, (3, 1, 0))], [(258, (3, 1, 77))], [(277, (3, 1, 0))], [(339, (3, 1, 9))],
        [(339, (3, 1, 3))], [(262, (3, 1, 3))], [(259, (3, 1, 7))], [(259, (3, 1, 6))],
        [(259, (3, 1, 33003))], [(259, (3, 1, 50002))], [(259, (3, 1, 34887))],
        [(259, (3, 1, 22610))], [(259, (3, 1, 50001))], [(259, (3, 1, 34933))],
        [(259, (3, 1, 8))], [(259, (3, 1, 5))], [(259, (3, 1, 50000))], [(259, (3, 1, 34925))],
        [(259, (3, 1, 999))], [(317, (3, 1, 9))], [(284, (3, 1, 2)), (277, (3, 1, 60000))],
        [(273, None)], [(279, None)], [(273, None), (279, None)], [(266, (3, 1, 2))],
        [(262, (3, 1, 3)), (320, (3, 9, 8))], [(262, (3, 1, 3)), (320, (3, 300, 8))],
        [(257, (4, 1, 2**32 - 1)), (278, (4, 1, 1))], [(530, (3, 1, 9))], [(338, (3, 1, 77))],
        [(257, (4, 1, 2**32 - 1)), (256, (4, 1, 2**32 - 1)), (278, (4, 1, 2**32 - 1))],
    ],
)  # fmt: skip
def test_odd_pages_are_read_or_refused(tmp_path, changes):
    path = tmp_path / "a.tif"
    write_tiff(path, *changes)
    for read in (
        lambda: open_image(path, max_memory=1 << 30).read(Window(0, 0, 1, 1)),
        lambda: read_image(path),
        lambda: read_labels(path),
    ):
        try:
            read()
        except InvalidInput as error:
            assert "a.tif" in str(error)  # noqa: PT017
            assert "\n" not in str(error)  # noqa: PT017


def short_palette(path):
    write_tiff(path, (262, (3, 1, 3)), (320, (3, 300, 1024)), more=bytes(range(200)) * 3)


def test_a_short_palette(tmp_path):
    """Indices beyond it are black."""
    short_palette(tmp_path / "a.tif")
    found = read_image(tmp_path / "a.tif").pixels
    assert (found[GREY >= 100] == 0).all()
    assert found[GREY == 7].any() or not (GREY == 7).any()


# ---- what unpacks to more than its place has -------------------------------------------------


def bombs():
    imagecodecs = pytest.importorskip("imagecodecs")
    large = np.zeros((6000, 6000), np.uint8)
    yield 8, zlib.compress(bytes(1 << 26))
    yield 5, imagecodecs.lzw_encode(bytes(1 << 24))
    yield 50000, imagecodecs.zstd_encode(bytes(1 << 26))
    yield 34925, imagecodecs.lzma_encode(bytes(1 << 26))
    yield 32773, b"\x81\0" * 100_000
    yield 7, imagecodecs.jpeg8_encode(large)
    yield 33005, imagecodecs.jpeg2k_encode(large)
    yield 34933, imagecodecs.png_encode(large)
    yield 50001, imagecodecs.webp_encode(np.zeros((6000, 6000, 3), np.uint8), lossless=True)
    yield 50002, imagecodecs.jpegxl_encode(large)
    yield 34887, imagecodecs.lerc_encode(large)


def test_segments_that_hold_more_than_their_place(tmp_path):
    path = tmp_path / "a.tif"
    for compression, content in bombs():
        write_tiff(path, (259, (3, 1, compression)), (279, (4, 1, len(content))))
        path.write_bytes(path.read_bytes()[:4096] + content)
        with open_image(path) as source:
            before = peak()
            try:
                source.read(whole((41, 57)))
            except InvalidInput:
                pass
            else:
                assert compression in (5, 8, 32773, 34925)  # those are cut off
            assert peak() - before < 30 << 20, compression


def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))


def test_deflate_without_imagecodecs(tmp_path, monkeypatch):
    path, content = tmp_path / "a.tif", zlib.compress(bytes(1 << 24))
    write_tiff(path, (259, (3, 1, 8)), (279, (4, 1, len(content))))
    path.write_bytes(path.read_bytes()[:4096] + content)
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with open_image(path) as source, refused(path, "decompresses to more than the 2337 bytes"):
        source.read(whole((41, 57)))


def test_pictures_of_the_right_size_in_tiffs(tmp_path):
    imagecodecs = pytest.importorskip("imagecodecs")
    smooth = np.add.outer(np.arange(41), np.arange(57)).astype(np.uint8)
    for compression, content in (
        (7, imagecodecs.jpeg8_encode(smooth, level=100)),
        (33005, imagecodecs.jpeg2k_encode(smooth, level=0)),
        (34933, imagecodecs.png_encode(smooth)),
        (50002, imagecodecs.jpegxl_encode(smooth, lossless=True)),
        (34887, imagecodecs.lerc_encode(smooth)),
    ):
        path = tmp_path / f"{compression}.tif"
        write_tiff(path, (259, (3, 1, compression)), (279, (4, 1, len(content))))
        path.write_bytes(path.read_bytes()[:4096] + content)
        found = read_image(path).pixels
        np.testing.assert_allclose(found.astype(int), smooth, atol=2)


def test_a_jpeg_of_a_thousand_scans(tmp_path):
    """Each scan goes over all pixels, and takes some bytes."""
    path = tmp_path / "a.jpg"
    Image.fromarray(GREY).save(path, progressive=True)
    content = path.read_bytes()
    start = content.rindex(b"\xff\xda")
    path.write_bytes(content[:start] + content[start:-2] * 1000 + content[-2:])
    for read in (open_image, read_image):
        with refused(path, "more than 100 scans"):
            read(path)


def test_a_zip_whose_member_holds_more(tmp_path):
    """As much as the array's header says is taken, whatever follows."""
    path = tmp_path / "a.npz"
    np.savez(tmp_path / "b.npz", a=GREY)
    with zipfile.ZipFile(tmp_path / "b.npz") as stored:
        content = stored.read("a.npy")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a.npy", content + bytes(1 << 26))
    before = peak()
    np.testing.assert_array_equal(read_image(path).pixels, GREY)
    assert peak() - before < 30 << 20
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with zipfile.ZipFile(path, "w", method) as packed:
            packed.writestr("a.npy", content)
        with refused(path, "compressed by method"):
            read_image(path)


def test_headers_of_arrays(tmp_path):
    path = tmp_path / "a.npy"
    for start, text in (
        (b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1), "{" * 99),
        (b"\x93NUMPY\x01\x00" + struct.pack("<H", 65535), "(" * 65535),
        (b"\x93NUMPY\x01\x00" + struct.pack("<H", 9000), "(" * 9000),
        (b"\x93NUMPY\x03\x00" + struct.pack("<I", 100), " " * 100),
        (b"\x93NUMPY\x01\x00" + struct.pack("<H", 74),
         "{'descr': '|u1', 'fortran_order': False, 'shape': (-41, -57), }".ljust(74)),
        (b"\x93NUMPY\x01\x00" + struct.pack("<H", 74),
         "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000, 9999999), }".ljust(74)),
        (b"\x93NUMPY\x01\x00" + struct.pack("<H", 74),
         "{'descr': '|V9', 'fortran_order': False, 'shape': (4, 4), }".ljust(74)),
    ):  # fmt: skip
        path.write_bytes(start + text.encode() + bytes(500))
        with refused(path):
            open_image(path)
        if "|V9" not in text:
            with refused(path):
                read_image(path)


def test_a_level_of_another_aspect():
    full = (150, 140)
    for here in ((75, 70), (38, 35), (37, 35), (19, 18), (1, 1)):
        slide_source._check_aspect(Path("a.svs"), full, here, 1)
    with refused(Path("a.svs"), "another aspect"):
        slide_source._check_aspect(Path("a.svs"), full, (28295, 35), 1)
