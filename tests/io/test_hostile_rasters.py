"""Malicious rasters: they name other files, or addresses, that must not be opened."""

import ctypes
import os
import socket
import struct
import threading
import zlib

import numpy as np
import pytest
import tifffile
from file_samples import GREY, memory_of, refused
from PIL import Image
from source_files import SOURCES, save_mosaic, save_raster

from hdseg_gpu import InvalidInput, Window, open_image
from hdseg_gpu.core.memory import budget_of, resident
from hdseg_gpu.core.windows import whole
from hdseg_gpu.io import read_image, vrt
from hdseg_gpu.io.members import members_of


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
    state = vrt.checked_mosaic(tmp_path / "m.vrt", budget_of(memory_of(8 << 30)))
    assert need <= state.decoding <= 9 * need


def test_a_tile_that_reaches_far_beyond_the_picture(tmp_path):
    """GDAL makes room for all of it."""
    save_raster(tmp_path / "a.jp2", "JP2OpenJPEG")
    content = bytearray((tmp_path / "a.jp2").read_bytes())
    at = content.find(b"\xff\x4f\xff\x51") + 24  # the tiles' width and height
    struct.pack_into(">II", content, at, 1 << 26, 41)
    (tmp_path / "a.jp2").write_bytes(content)
    with refused(tmp_path / "a.jp2", "decoding a tile of 41 x 67108864 pixels takes .* MiB"):
        open_image(tmp_path / "a.jp2", max_memory=memory_of(1 << 30))
    save_mosaic(tmp_path / "m.vrt", "a.jp2")
    with refused(tmp_path / "m.vrt", r"decoding a tile of \S*a\.jp2 takes .* MiB"):
        open_image(tmp_path / "m.vrt", max_memory=memory_of(1 << 30))


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
