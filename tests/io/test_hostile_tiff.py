"""Malicious TIFFs and archives: endless tables, and segments that decompress to too much."""

import os
import struct
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from file_samples import GREY, memory_of, refused
from PIL import Image

from hdseg_gpu import InvalidInput, Window, open_image
from hdseg_gpu.core.windows import whole
from hdseg_gpu.io import read_image, read_labels, slide_source
from hdseg_gpu.io.stored import Stored

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
        open_image(path, max_memory=memory_of(1 << 30))


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
        open_image(path, max_memory=memory_of(1 << 30))


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
        lambda: open_image(path, max_memory=memory_of(1 << 30)).read(Window(0, 0, 1, 1)),
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
