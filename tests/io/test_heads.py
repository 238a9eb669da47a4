"""Headers that we and decoders may read differently, and headers without end."""

import itertools
import lzma
import struct
import sys
import threading
import time
import warnings
import zlib

import numpy as np
import PIL.Image
import pytest
import tifffile
from file_samples import GREY, RGB, memory_of, refused
from PIL import Image

from hdseg_gpu import open_image
from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.memory import budget_of, resident
from hdseg_gpu.core.windows import whole
from hdseg_gpu.io import codestreams, read_image, tiff_head
from hdseg_gpu.io.boxes import Unclear, boxes
from hdseg_gpu.io.jp2_head import decoding_of
from hdseg_gpu.io.paths import check_output
from hdseg_gpu.io.png_jpeg import read_head
from hdseg_gpu.io.stored import Stored
from hdseg_gpu.io.unpack import from_lzma

MIB = 1 << 20


def box(kind, content, form=0):
    """Return a box whose length has 32 bits, 64 bits (1), or reaches to the end of the file (2)."""
    if form == 1:
        return struct.pack(">I4sQ", 1, kind, 16 + len(content)) + content
    return struct.pack(">I4s", 0 if form == 2 else 8 + len(content), kind) + content


def codestream(height, width, components=1):
    """Return what a JPEG 2000 code of one tile begins with."""
    sizes = struct.pack(">HH8IH", 41, 0, width, height, 0, 0, width, height, 0, 0, components)
    return b"\xff\x4f\xff\x51" + sizes + b"\7\1\1" * components


def jp2(*parts):
    return box(b"jP  ", b"\r\n\x87\n") + box(b"ftyp", b"jp2 \0\0\0\0jp2 ") + b"".join(parts)


def jpegxl(*parts):
    return box(b"JXL ", b"\r\n\x87\n") + box(b"ftyp", b"jxl \0\0\0\0jxl ") + b"".join(parts)


# ---- boxes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [0, 1, 2])
def test_the_codestream_is_that_of_its_box(form):
    decoy = box(b"uuid", bytes(16) + codestream(64, 64))
    found = codestreams.of_jpeg2000(jp2(decoy, box(b"jp2c", codestream(3000, 5000, 3), form)))
    assert found == (3000, 5000, 3)
    assert codestreams.of_jpeg2000(codestream(3000, 5000, 3)) == (3000, 5000, 3)


def test_a_codestream_far_from_the_beginning(tmp_path):
    path = tmp_path / "a.jp2"
    path.write_bytes(jp2(box(b"free", bytes(3 * MIB), 1), box(b"jp2c", codestream(300, 500))))
    with Stored(path) as file:
        assert decoding_of(file) == 300 * 500 * (8 + 1)  # OpenJPEG's samples, GDAL's bytes


@pytest.mark.parametrize(
    "content",
    [
        codestream(64, 64)[:30], b"no codestream at all", b"pad" + codestream(64, 64), jp2(),
        jp2(box(b"free", codestream(64, 64))), jp2(box(b"jp2c", bytes(99))),
        # GDAL takes JP2C for jp2c, OpenJPEG does not
        jp2(box(b"JP2C", codestream(64, 64)), box(b"jp2c", codestream(64, 64))),
        jp2(struct.pack(">I4s", 7, b"free"), box(b"jp2c", codestream(64, 64))),
        jp2(struct.pack(">I4sQ", 1, b"free", 15), box(b"jp2c", codestream(64, 64))),
        jp2(box(b"free", b"") * 10_001, box(b"jp2c", codestream(64, 64))),
    ],
    ids=lambda content: f"{len(content)} bytes",
)  # fmt: skip
def test_what_is_no_jpeg_2000_is_refused(tmp_path, content):
    with pytest.raises(Unclear):
        codestreams.of_jpeg2000(content)
    path = tmp_path / "a.jp2"
    path.write_bytes(content)
    with Stored(path) as file, refused(path, "damaged"):
        decoding_of(file)


@pytest.mark.parametrize("where", [lambda p: box(b"jp2h", p), bytes], ids=["jp2h", "alone"])
def test_a_palette_within_a_tiff_is_refused(where):
    """OpenJPEG would make up to 255 components of the one that the codestream has."""
    content = jp2(where(box(b"pclr", bytes(9))), box(b"jp2c", codestream(64, 64)))
    with pytest.raises(Unclear, match="palette"):
        codestreams.of_jpeg2000(content)


def test_few_bytes_are_read_from_box_to_box():
    content = jp2(box(b"free", bytes(MIB)), box(b"jp2c", codestream(64, 64)))
    counted = []

    def read(at, count):
        counted.append(count)
        return content[at : at + count]

    kinds = [each.kind for each in boxes(read, 0, len(content))]
    assert kinds == [b"jP  ", b"ftyp", b"free", b"jp2c"]
    assert sum(counted) < 100


def test_the_jpeg_xl_is_that_of_its_box():
    imagecodecs = pytest.importorskip("imagecodecs")
    if not imagecodecs.JPEGXL.available:
        pytest.skip("no JPEG XL here")
    codes = []
    for shape in ((300, 500), (64, 64)):
        data = imagecodecs.jpegxl_encode(np.zeros(shape, np.uint8), usecontainer=False)
        codes.append(data[data.index(b"\xff\x0a") :])
    large, small = codes
    rest = large[20:]
    decoy = box(b"free", small)
    for content in (
        large, jpegxl(decoy, box(b"jxlc", large)), jpegxl(decoy, box(b"jxlc", large, 2)),
        jpegxl(decoy, box(b"jxlp", bytes(4) + large[:20]), box(b"jxlp", b"\x80\0\0\1" + rest)),
    ):  # fmt: skip
        assert codestreams.of_jpegxl(content)[:2] == (300, 500)
    for content in (
        small[1:], b"pad" + small, jpegxl(decoy), jpegxl(box(b"jxlc", b"\0" + small)),
        jpegxl(box(b"jxlp", b"\0\0\0\1" + small), box(b"jxlp", bytes(4) + large)),
    ):  # fmt: skip
        with pytest.raises(Unclear):
            codestreams.of_jpegxl(content)


# ---- chunks, segments, tags without end ------------------------------------------------------


def chunk(kind, content=b""):
    return struct.pack(">I4s", len(content), kind) + content + struct.pack(
        ">I", zlib.crc32(kind + content)
    )  # fmt: skip


@pytest.fixture
def png(tmp_path):
    """Return a function that writes a PNG with something before its pixels, and behind."""
    path = tmp_path / "a.png"
    Image.fromarray(GREY).save(path)
    content = path.read_bytes()

    def written(before=b"", behind=b""):
        path.write_bytes(content[:33] + before + content[33:-12] + behind + content[-12:])
        return path

    return written


@pytest.mark.parametrize("read", [open_image, read_image])
def test_a_png_of_zeros(tmp_path, png, read):
    path = png()
    path.write_bytes(path.read_bytes()[:33] + bytes(10_000))
    with refused(path, "at byte 33 there is no chunk"):
        read(path)


@pytest.mark.parametrize("read", [open_image, read_image])
def test_chunks_without_end(png, read):
    few, many = chunk(b"prVt") * 9000, chunk(b"prVt") * 10_001
    read(png(few))
    for path in (png(many), png(b"", many)):
        with refused(path, "more than 10000 chunks"):
            read(path)
    path = png(chunk(b"IDAT") * 20_000)
    with refused(path, "more than .* chunks of pixels"):
        read(path)


def test_what_follows_the_pixels_of_a_png_counts(png):
    """Pillow holds it until the picture is closed."""
    path = png(b"", chunk(b"prVt", bytes(9 * MIB)))
    with Stored(path) as file:
        assert read_head(path, file).peak > 27 * MIB
    np.testing.assert_array_equal(read_image(path).pixels, GREY)


@pytest.mark.parametrize(
    "filler",
    [b"\xff\xe0\0\2", b"\xff\xd8", b"\xff\xff\xe0\0\2", b"\0\xff\xe0\0\2", b"\xff\1"],
    ids=bytes.hex,
)
def test_segments_without_end(tmp_path, filler):
    path = tmp_path / "a.jpg"
    Image.fromarray(GREY).save(path)
    content = path.read_bytes()
    path.write_bytes(content[:2] + filler * 20_000 + content[2:])
    for read in (open_image, read_image):
        with refused(path, "more than 10000 segments"):
            read(path)


def test_bytes_that_fill_the_place_between_segments(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(GREY).save(path)
    expected, content = read_image(path).pixels, path.read_bytes()
    path.write_bytes(content[:2] + b"\xff" * 100_000 + content[2:])
    np.testing.assert_array_equal(read_image(path).pixels, expected)


def test_pages_that_share_their_tags(tmp_path):
    """A thousand children, all of them the first page."""
    path, count = tmp_path / "a.tif", 4096
    tags = [(256, 4, 1, 57)] * (count - 1) + [(330, 4, 1000, 60_000)]
    page = struct.pack("<H", count) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    content = b"II*\0" + struct.pack("<I", 8) + page + bytes(4)
    path.write_bytes(content.ljust(60_000, b"\0") + struct.pack("<I", 8) * 1000)
    with Stored(path) as file:
        found = tiff_head.tiff_head(file, budget_of(None))
    assert len(found.children) < 100


# ---- LERC ------------------------------------------------------------------------------------


@pytest.mark.parametrize("packing", ["LERC", "LERC_DEFLATE", "LERC_ZSTD"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize(("bands", "interleave"), [(1, "band"), (3, "band"), (3, "pixel")])
def test_lerc_as_gdal_writes_it(tmp_path, packing, dtype, bands, interleave):
    rasterio = pytest.importorskip("rasterio")
    pytest.importorskip("imagecodecs")
    rng, path = np.random.default_rng(7), tmp_path / "a.tif"
    pixels = rng.integers(0, 255, (bands, 150, 170)).astype(dtype)
    pixels[:, :70, :70] = np.arange(70)
    options = {
        "driver": "GTiff", "width": 170, "height": 150, "count": bands, "dtype": dtype,
        "tiled": True, "blockxsize": 64, "blockysize": 64, "interleave": interleave,
        "compress": packing, "transform": rasterio.Affine(1, 0, 5, 0, -1, 7),
    }  # fmt: skip
    try:
        with rasterio.open(path, "w", **options) as raster:
            raster.write(pixels)
    except (rasterio.errors.RasterioError, ValueError):
        pytest.skip(f"this GDAL writes no {packing}")
    with open_image(path) as source:
        found = source.read(whole((150, 170)))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, np.moveaxis(pixels, 0, -1))


@pytest.mark.parametrize("packing", ["deflate", "zstd"])
def test_lerc_that_unpacks_to_more(tmp_path, packing):
    imagecodecs = pytest.importorskip("imagecodecs")
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY, compression="lerc", compressionargs={"compression": packing})
    np.testing.assert_array_equal(read_image(path).pixels, GREY)
    with tifffile.TiffFile(path) as tiff:
        tag = tiff.pages.first.tags
        offset = tag[279].valueoffset
    bomb = imagecodecs.lerc_encode(GREY) + bytes(64 * MIB)
    bomb = zlib.compress(bomb) if packing == "deflate" else imagecodecs.zstd_encode(bomb)
    content = bytearray(path.read_bytes())
    at = len(content)
    content[offset : offset + 4] = struct.pack("<I", len(bomb))
    content[tag[273].valueoffset : tag[273].valueoffset + 4] = struct.pack("<I", at)
    path.write_bytes(bytes(content) + bomb)
    with open_image(path) as source, refused(path, "decompresses to more than"):
        source.read(whole((41, 57)))


def test_bands_of_lerc_that_follow_one_another_count():
    imagecodecs = pytest.importorskip("imagecodecs")
    code = imagecodecs.lerc_encode(GREY)
    assert codestreams.of_lerc(code) == (41, 57, 1)
    assert codestreams.of_lerc(code * 9) == (41, 57, 9)
    small = imagecodecs.lerc_encode(np.zeros((41, 57), np.uint8))
    for content in (code[:30], b"none" * 9, small * 70_000):
        with pytest.raises(Unclear):
            codestreams.of_lerc(content)


# ---- LZMA's dictionary -----------------------------------------------------------------------


def packed(data, dictionary):
    """Return data whose header names a dictionary of 192 or 384 MiB, which no encoder has used."""
    code = bytearray(lzma.compress(data, lzma.FORMAT_XZ))
    end = 12 + 4 * code[12]  # of the block's header, before its checksum
    assert code[14:16] == b"\x21\1"
    code[16] = {192 * MIB: 31, 384 * MIB: 33}[dictionary]
    code[end : end + 4] = struct.pack("<I", zlib.crc32(code[12:end]))
    return bytes(code)


def test_a_dictionary_is_bounded():
    data = packed(GREY.tobytes(), 192 * MIB)
    assert from_lzma(data, GREY.size) == GREY.tobytes()
    with pytest.raises(ValueError, match="dictionary has more than"):
        from_lzma(data, GREY.size, memory=100 * MIB)
    with pytest.raises(ValueError, match="dictionary has more than"):
        from_lzma(packed(GREY.tobytes(), 384 * MIB), GREY.size)


def tiff_of_lzma(path, data):
    tifffile.imwrite(path, GREY, compression="lzma")
    with tifffile.TiffFile(path) as tiff:
        tags = tiff.pages.first.tags
        places = [(tags[code].valueoffset, tags[code].dtype) for code in (273, 279)]
    content = bytearray(path.read_bytes())
    for (at, _), value in zip(places, (len(content), len(data)), strict=True):
        content[at : at + 4] = struct.pack("<I", value)
    path.write_bytes(bytes(content) + data)


def test_a_tiff_with_a_large_dictionary(tmp_path):
    pytest.importorskip("imagecodecs")
    path = tmp_path / "a.tif"
    tiff_of_lzma(path, packed(GREY.tobytes(), 192 * MIB))
    np.testing.assert_array_equal(read_image(path).pixels, GREY)
    tiff_of_lzma(path, packed(GREY.tobytes(), 384 * MIB))
    with open_image(path) as source, refused(path, "dictionary has more than"):
        source.read(whole((41, 57)))


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in")
def test_a_chunk_with_a_large_dictionary(tmp_path, version):
    zarr = pytest.importorskip("zarr")
    numcodecs = pytest.importorskip("numcodecs")
    plain, path = tmp_path / "plain.zarr", tmp_path / "a.zarr"
    options = {"shape": (41, 57), "chunks": (41, 57), "dtype": "u1", "zarr_format": version}
    zarr.create_array(plain, compressors=None, **options)[...] = GREY
    if version == 2:
        codec = numcodecs.LZMA()
    else:
        with warnings.catch_warnings(action="ignore"):
            from numcodecs.zarr3 import LZMA

            codec = LZMA()
    zarr.create_array(path, compressors=codec, **options)[...] = GREY
    (file,) = (p for p in path.rglob("*") if p.name in ("0.0", "0") and p.is_file())
    with open_image(plain) as without, open_image(path) as source:
        assert source.decoding >= without.decoding + GREY.size  # of the dictionary
        np.testing.assert_array_equal(source.read(whole((41, 57)))[..., 0], GREY)
    file.write_bytes(packed(GREY.tobytes(), 192 * MIB))
    with open_image(path, max_memory=memory_of(4 << 30)) as source:
        np.testing.assert_array_equal(source.read(whole((41, 57)))[..., 0], GREY)
    with (
        open_image(path, max_memory=resident() + 100 * MIB) as source,
        refused(path, "dictionary has more than"),
    ):
        source.read(whole((41, 57)))


# ---- state shared by all threads -------------------------------------------------------------


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_threads_leave_the_guard_of_others_as_it_is(tmp_path, monkeypatch, kind):
    """Two threads open at once, and end in the order in which they began."""
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 100)
    path = tmp_path / f"a.{kind}"
    Image.fromarray(RGB).save(path)
    opening, inside, turn = PIL.Image.open, threading.Semaphore(0), itertools.count()

    def slow(*args, **options):
        first = next(turn) == 0
        inside.release()
        if first:  # until the other one is there, if it can be
            inside.acquire()
            inside.acquire(timeout=0.2)
        return opening(*args, **options)

    monkeypatch.setattr(PIL.Image, "open", slow)
    errors = []

    def read():
        try:
            read_image(path)
        except InvalidInput as error:
            errors.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
        time.sleep(0.01)
    for thread in threads:
        thread.join()
    assert not errors
    assert PIL.Image.MAX_IMAGE_PIXELS == 100


def test_the_guard_is_there_while_a_picture_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 1000)
    Image.fromarray(RGB).save(tmp_path / "a.png")
    seen, load = [], PIL.PngImagePlugin.PngImageFile.load_prepare
    monkeypatch.setattr(
        PIL.PngImagePlugin.PngImageFile,
        "load_prepare",
        lambda self: (seen.append(PIL.Image.MAX_IMAGE_PIXELS), load(self))[1],
    )
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").pixels, RGB)
    assert seen == [1000]


# ---- what messages say -----------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="links")
def test_a_circle_of_links(tmp_path):
    one, other = tmp_path / "a.tif", tmp_path / "b.tif"
    one.symlink_to(other)
    other.symlink_to(one)
    with refused(one, "circle of links|is no file"):
        check_output(one, overwrite=True)
