"""Windows of PNG and JPEG images; large ones are transcoded strip by strip."""

import errno
import io
import os
import struct
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from file_samples import RGB, RNG, refused
from PIL import Image

from hdseg_gpu import InvalidInput, RefinementWarning, open_image
from hdseg_gpu.core.memory import budget_of
from hdseg_gpu.core.windows import Window, whole
from hdseg_gpu.io import picture_source, png_rows
from hdseg_gpu.io.picture_source import PictureLater, open_picture
from hdseg_gpu.io.png_jpeg import decoded, read_head
from hdseg_gpu.io.stored import Stored

HEIGHT, WIDTH = 133, 217
WINDOWS = [Window(*sides) for sides in ((0, 0, 1, 1), (17, 31, 64, 99), (132, 0, 1, 217))]
WINDOWS.append(Window(9, 216, 99, 1))


@pytest.fixture
def small_limits(monkeypatch):
    """Make every picture a large one, of many strips."""
    pytest.importorskip("rasterio")
    pytest.importorskip("imagecodecs")
    monkeypatch.setattr(picture_source, "_KEPT_PIXELS", 0)
    monkeypatch.setattr(png_rows, "_STRIP_BYTES", 30 * WIDTH)


def smooth(channels, dtype=np.uint8):
    """Return pixels that a JPEG keeps to some degree, without symmetry."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    waves = [np.sin(x / (9 + c)) * np.cos(y / (13 - c)) + x / WIDTH / 2 for c in range(channels)]
    noise = RNG.random((HEIGHT, WIDTH, channels)) / 4
    top = np.iinfo(dtype).max / 3
    pixels = ((np.stack(waves, -1) + 1 + noise) * top).astype(dtype)
    return pixels[:, :, 0] if channels == 1 else pixels


def save_png(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)


def save_palette(path, grey, colours=256):
    table = RNG.integers(0, 256, (colours, 3), np.uint8)
    if grey:
        table[:] = table[:, :1]
    picture = Image.fromarray(smooth(1) & np.uint8(colours - 1))
    picture.putpalette(table.tobytes())
    picture.save(path, bits={256: 8, 16: 4, 4: 2, 2: 1}[colours])


def save_deep(path, channels):
    imagecodecs = pytest.importorskip("imagecodecs")
    path.write_bytes(imagecodecs.png_encode(smooth(channels, np.uint16)))


def save_jpeg(path, channels, **options):
    Image.fromarray(smooth(channels)).save(path, quality=80, **options)


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(
        ">I", zlib.crc32(kind + content)
    )  # fmt: skip


def save_few_bits(path, depth):
    """Write grey samples of 1, 2 or 4 bits."""
    packed = RNG.bytes(HEIGHT * -(-WIDTH * depth // 8))
    row = -(-WIDTH * depth // 8)
    rows = b"".join(b"\0" + packed[i * row : (i + 1) * row] for i in range(HEIGHT))
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )  # fmt: skip


def save_ycck(path):
    """Write inks as luminance and two colours, and black, as Photoshop does."""
    imagecodecs = pytest.importorskip("imagecodecs")
    path.write_bytes(imagecodecs.jpeg8_encode(smooth(4), colorspace="CMYK", outcolorspace="YCCK"))


FILES = {
    "grey.png": lambda path: save_png(path, smooth(1)),
    "grey-alpha.png": lambda path: save_png(path, smooth(2)),
    "rgb.png": lambda path: save_png(path, smooth(3)),
    "rgba.png": lambda path: save_png(path, smooth(4)),
    "transparent.png": lambda path: save_png(path, smooth(3), transparency=(1, 2, 3)),
    "grey16.png": lambda path: save_png(path, smooth(1, np.uint16)),
    "grey-alpha16.png": lambda path: save_deep(path, 2),
    "rgb16.png": lambda path: save_deep(path, 3),
    "rgba16.png": lambda path: save_deep(path, 4),
    "palette.png": lambda path: save_palette(path, False),
    "grey-palette.png": lambda path: save_palette(path, True),
    "grey.jpg": lambda path: save_jpeg(path, 1),
    "rgb.jpg": lambda path: save_jpeg(path, 3),
    "full-colour.jpeg": lambda path: save_jpeg(path, 3, subsampling=0),
    "progressive.jpg": lambda path: save_jpeg(path, 3, progressive=True),
    "bool.png": lambda path: save_png(path, smooth(1) > 99),
    "palette16.png": lambda path: save_palette(path, False, 16),
    "palette2.png": lambda path: save_palette(path, False, 2),
    "grey-palette4.png": lambda path: save_palette(path, True, 4),
    "grey1.png": lambda path: save_few_bits(path, 1),
    "grey2.png": lambda path: save_few_bits(path, 2),
    "grey4.png": lambda path: save_few_bits(path, 4),
    "cmyk.jpg": lambda path: Image.fromarray(smooth(3)).convert("CMYK").save(path),
    "cmyk-adobe.jpg": save_ycck,
}


def by_pillow(path):
    with Stored(path) as file:
        return decoded(path, file, read_head(path, file))


def check(path, workspace=None):
    expected = by_pillow(path)
    pixels = expected.pixels.reshape(*expected.pixels.shape[:2], -1)
    with open_picture(path, workspace) as source:
        assert source.name == str(path)
        assert (*source.shape, source.channels) == pixels.shape
        assert source.levels == (source.shape,)
        assert source.dtype == pixels.dtype
        assert source.alpha == expected.alpha
        assert source.bytes_read == path.stat().st_size
        np.testing.assert_array_equal(source.read(whole(source.shape)), pixels)
        for window in WINDOWS if source.shape == (HEIGHT, WIDTH) else ():
            found = source.read(window)
            assert found.dtype == pixels.dtype
            assert found.flags.c_contiguous
            np.testing.assert_array_equal(found, pixels[window.slices])
        return type(source).__name__


@pytest.mark.parametrize("name", FILES)
def test_windows_are_parts_of_the_picture(tmp_path, name):
    FILES[name](tmp_path / name)
    assert check(tmp_path / name) == "_Kept"


@pytest.mark.parametrize("name", FILES)
def test_large_pictures_have_the_same_pixels(tmp_path, small_limits, name):
    FILES[name](tmp_path / name)
    assert check(tmp_path / name, tmp_path) == "_Transcoded"
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("shape", [(1, 1), (1, 77), (77, 1)])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("large", [False, True])
def test_narrow_pictures(tmp_path, request, shape, suffix, large):
    if large:
        request.getfixturevalue("small_limits")
    Image.fromarray(RNG.integers(0, 256, (*shape, 3), np.uint8)).save(tmp_path / f"a.{suffix}")
    assert check(tmp_path / f"a.{suffix}") == ("_Transcoded" if large else "_Kept")


@pytest.mark.parametrize(
    ("name", "library", "extra"), [("rgb.png", "rasterio", "geo"), ("rgb.jpg", "imagecodecs", "io")]
)
def test_the_missing_library_is_named(tmp_path, small_limits, monkeypatch, name, library, extra):
    monkeypatch.setitem(sys.modules, library, None)
    FILES[name](tmp_path / name)
    with pytest.warns(RefinementWarning, match=rf"{name}.*pip install 'hdseg_gpu\[{extra}\]'"):
        assert check(tmp_path / name) == "_Kept"


def test_the_limit_is_64_megapixels(tmp_path, monkeypatch):
    assert picture_source._KEPT_PIXELS == 64 << 20
    monkeypatch.setattr(picture_source, "_KEPT_PIXELS", HEIGHT * WIDTH)
    FILES["grey.png"](tmp_path / "a.png")
    assert check(tmp_path / "a.png") == "_Kept"


def raw_files(folder):
    links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    names = [os.readlink(link) for link in links if os.path.lexists(link)]
    return [name for name in names if name.startswith(str(folder))]


def test_the_room_is_given_back(tmp_path, small_limits):
    FILES["rgb.png"](tmp_path / "a.png")
    source = open_picture(tmp_path / "a.png", tmp_path)
    assert len(raw_files(tmp_path)) == 1
    assert os.listdir(tmp_path) == ["a.png"]  # it has no name, so a killed process leaves nothing
    source.close()
    source.close()
    assert not raw_files(tmp_path)


@pytest.mark.parametrize("name", ["rgb.png", "rgb16.png", "palette.png", "rgb.jpg", "grey.jpg"])
@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("kept", [0.98, 0.5, 0.01])
def test_a_picture_cut_short(tmp_path, request, name, large, kept):
    path = tmp_path / ("a." + name.split(".")[1])
    FILES[name](path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    if large:
        request.getfixturevalue("small_limits")
    with refused(path):
        open_picture(path, tmp_path)
    assert not raw_files(tmp_path)
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("limit", [0, 1 << 26])
def test_a_damaged_picture(tmp_path, small_limits, monkeypatch, limit):
    monkeypatch.setattr(picture_source, "_KEPT_PIXELS", limit)
    FILES["rgb.png"](tmp_path / "a.png")
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[len(content) // 2] ^= 255
    (tmp_path / "a.png").write_bytes(content)
    with refused(tmp_path / "a.png", "damaged"):
        open_picture(tmp_path / "a.png", tmp_path)


def test_no_room_for_the_pixels(tmp_path, small_limits, monkeypatch):
    FILES["grey.png"](tmp_path / "a.png")
    with refused(tmp_path / "a.png", "nowhere", "another workspace"):
        open_picture(tmp_path / "a.png", tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["grey.png", "grey.jpg"])
def test_a_full_disk(tmp_path, small_limits, monkeypatch, name):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    class Full(io.FileIO):
        write = full

    FILES[name](tmp_path / name)
    monkeypatch.setattr("os.posix_fallocate", full)
    with Full(tmp_path / "raw", "w+") as raw:
        monkeypatch.setattr(picture_source.tempfile, "TemporaryFile", lambda **_: raw)
        with refused(tmp_path / name, "No space left", "another workspace"):
            open_picture(tmp_path / name, tmp_path)
        assert raw.closed


def test_the_wish_to_be_turned_is_told_once(tmp_path, small_limits):
    for suffix in "png", "jpg":
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(smooth(3)).save(tmp_path / f"a.{suffix}", exif=exif)
        with warnings.catch_warnings(record=True) as notes:
            warnings.simplefilter("always")
            open_picture(tmp_path / f"a.{suffix}").close()
        assert ["orientation 6" in str(one.message) for one in notes] == [True]


def test_threads_read_at_once(tmp_path, small_limits):
    FILES["rgb16.png"](tmp_path / "a.png")
    pixels = by_pillow(tmp_path / "a.png").pixels

    def look(window):
        found = [source.read(window) for _ in range(50)]
        return all(np.array_equal(one, pixels[window.slices]) for one in found)

    with open_picture(tmp_path / "a.png") as source, ThreadPoolExecutor(len(WINDOWS)) as pool:
        assert all(pool.map(look, WINDOWS))


# ---- decoded when they are first read ------------------------------------------------------------

PICTURES = sorted(p for p in (Path(__file__).parents[1] / "data").iterdir()
                  if p.suffix in (".png", ".jpg", ".jpeg"))  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*EXIF orientation")
@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("path", PICTURES, ids=lambda p: p.name)
def test_a_header_tells_what_a_picture_is(path, kept, monkeypatch):
    monkeypatch.setattr(picture_source, "_KEPT_PIXELS", 1 << 26 if kept else 0)
    with open_image(path) as expected, PictureLater(path, budget_of(None)) as source:
        assert (source.shape, source.channels) == (expected.shape, expected.channels)
        assert (source.dtype, source.alpha) == (expected.dtype, expected.alpha)
        window = whole(source.shape)
        np.testing.assert_array_equal(source.read(window), expected.read(window))


def test_a_picture_is_decoded_once_and_not_before_it_is_read(tmp_path, monkeypatch):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    calls = []
    decode = picture_source._decoded
    monkeypatch.setattr(picture_source, "_decoded", lambda *a: calls.append(a) or decode(*a))
    with PictureLater(tmp_path / "a.png", budget_of(None)) as source:
        assert calls == []
        (tmp_path / "a.png").unlink()  # the file that was opened is read, whatever its name
        for _ in range(2):
            np.testing.assert_array_equal(source.read(whole(source.shape)), RGB)
        assert len(calls) == 1
    source = PictureLater(PICTURES[0], budget_of(None))
    source.close()
    with pytest.raises(InvalidInput, match="is closed"):
        source.read(Window(0, 0, 1, 1))
