"""Reading files: stored values come back, invalid files are refused in one line."""

import io as stdio
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import tifffile
from file_samples import DEEP, FLOAT, GREY, RGB, RGBA, RNG, random_labels, refused

from hdseg_gpu import InvalidInput, RefinementWarning
from hdseg_gpu.io import (
    read_coarse,
    read_image,
    read_labels,
    write_labels,
    write_picture,
)

# ---- labels: written and read again ----------------------------------------------------------

LABELS = {
    "bool": (random_labels(0, 1, bool), "bool", "uint8"),  # -> dtype from PNG, from TIFF
    "uint8": (random_labels(0, 255, np.uint8), "uint8", "uint8"),
    "uint16": (random_labels(0, 65535, np.uint16), "uint16", "uint16"),
    "uint16 small": (random_labels(0, 20, np.uint16), "uint16", "uint16"),
    "int32 small": (random_labels(0, 255, np.int32), "uint8", "int32"),
    "int32": (random_labels(0, 256, np.int32), "uint16", "int32"),
    "int64": (random_labels(3, 65535, np.int64), "uint16", "int64"),
    "int8 negative": (random_labels(-128, 127, np.int8), None, "int8"),
    "int32 negative": (random_labels(-70000, 70000, np.int32), None, "int32"),
    "int64 huge": (random_labels(-(2**40), 2**40, np.int64), None, "int64"),
    "uint32": (random_labels(0, 2**32 - 1, np.uint32), None, "uint32"),
    "one row": (np.arange(57, dtype=np.uint8)[None], "uint8", "uint8"),
    "one pixel": (np.full((1, 1), 9, np.int32), "uint8", "int32"),
    "transposed": (random_labels(0, 255, np.uint8).T, "uint8", "uint8"),
}


@pytest.mark.parametrize("name", LABELS)
@pytest.mark.parametrize("extension", [".png", ".PNG", ".tif", ".TIFF", ".npy", ".npz"])
def test_labels_come_back(name, extension, tmp_path):
    labels, png_dtype, tiff_dtype = LABELS[name]
    path = tmp_path / f"labels{extension}"
    kind = extension.lower()
    if kind == ".png" and png_dtype is None:
        low, high = int(labels.min()), int(labels.max())
        remedy = r"write \.tif, .* or \.npz\."
        with refused(path, "from 0 to 65535", f"from {low} to {high}", remedy):
            write_labels(path, labels)
        assert list(tmp_path.iterdir()) == []
        return
    write_labels(path, labels)
    assert list(tmp_path.iterdir()) == [path]
    dtype = {".png": png_dtype, ".tif": tiff_dtype, ".tiff": tiff_dtype}.get(kind, labels.dtype)
    np.testing.assert_array_equal(read_labels(path), labels.astype(dtype), strict=True)
    np.testing.assert_array_equal(read_coarse(path), labels.astype(dtype), strict=True)


@pytest.mark.parametrize("label", [-1, 65536])
def test_png_refuses_one_label_out_of_range(label, tmp_path):
    path = tmp_path / "labels.png"
    path.write_bytes(b"old")
    labels = np.zeros((5, 7), np.int32)
    labels[3, 2] = label
    with refused(path, "PNG", str(label), "write"):
        write_labels(path, labels)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("pixels", [GREY, RGB])
def test_pictures_come_back(pixels, tmp_path):
    write_picture(tmp_path / "p.png", pixels)
    found = read_image(tmp_path / "p.png")
    np.testing.assert_array_equal(found.pixels, pixels, strict=True)
    assert found.alpha is False


# ---- images ----------------------------------------------------------------------------------


def pillow(mode, **options):
    """Return a writer of a picture in that mode, and what Pillow itself says it holds."""

    def write(path):
        picture = PIL.Image.fromarray(RGB).convert(mode)
        picture.save(path, **options)
        return np.asarray(PIL.Image.open(path).convert("RGB" if mode == "CMYK" else mode))

    return write


def array(pixels, **options):
    """Return a writer of an array as PNG, TIFF, .npy or .npz."""

    def write(path):
        if path.suffix == ".tif":
            tifffile.imwrite(path, pixels, **options)
        elif path.suffix == ".npz":
            np.savez(path, pixels)
        elif path.suffix == ".npy":
            np.save(path, pixels)
        else:
            PIL.Image.fromarray(pixels).save(path)
        if options.get("planarconfig") == "separate":
            return np.moveaxis(pixels, 0, -1)
        return pixels

    return write


COLOUR = {"photometric": "rgb"}
SINGLE = {"photometric": "minisblack"}
IMAGES = {
    "L.png": (array(GREY), False),
    "RGB.png": (array(RGB), False),
    "RGBA.png": (array(RGBA), True),
    "LA.png": (array(RGBA[..., :2]), True),
    "16-bit.png": (array(DEEP[..., 0]), False),
    "16-bit dark.png": (array(DEEP[..., 0] >> 9), False),
    "1-bit.png": (pillow("1"), False),
    "grey.jpg": (pillow("L"), False),
    "RGB.jpeg": (pillow("RGB"), False),
    "CMYK.jpg": (pillow("CMYK"), False),
    "UPPER.JPG": (pillow("RGB"), False),
    "grey.tif": (array(GREY, **SINGLE), False),
    "RGB.tif": (array(RGB, **COLOUR), False),
    "alpha.tif": (array(RGBA, extrasamples=["unassalpha"], **COLOUR), True),
    "premultiplied.tif": (array(RGBA, extrasamples=["assocalpha"], **COLOUR), True),
    "near infrared.tif": (array(RGBA, extrasamples=["unspecified"], **COLOUR), False),
    "channels.tif": (array(DEEP, planarconfig="contig", **SINGLE), False),
    "float.tif": (array(FLOAT, **SINGLE), False),
    "big-endian.tif": (array(DEEP[..., 0], byteorder=">", **SINGLE), False),
    "tiled.tif": (array(RGB, tile=(16, 32), **COLOUR), False),
    "planar RGB.tif": (
        array(RGB.transpose(2, 0, 1).copy(), planarconfig="separate", **COLOUR),
        False,
    ),
    "planar.tif": (
        array(DEEP.transpose(2, 0, 1).copy(), planarconfig="separate", **SINGLE),
        False,
    ),
    "zlib.tif": (array(RGB, compression="zlib", **COLOUR), False),
    "zlib predictor.tif": (array(DEEP[..., 0], compression="zlib", **SINGLE), False),
    "packbits.tif": (pillow("RGB", compression="packbits"), False),
    "image.npy": (array(DEEP), None),
    "image.npz": (array(FLOAT), None),
}


@pytest.mark.parametrize("name", IMAGES)
def test_images_are_read_as_stored(name, tmp_path):
    write, alpha = IMAGES[name]
    expected = write(tmp_path / name)
    found = read_image(tmp_path / name)
    np.testing.assert_array_equal(found.pixels, expected)
    assert (found.pixels.dtype.name, found.alpha) == (expected.dtype.name, alpha)


def test_lzw_tiff_with_imagecodecs(tmp_path):
    pytest.importorskip("imagecodecs")
    expected = pillow("RGB", compression="tiff_lzw")(tmp_path / "lzw.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "lzw.tif").pixels, expected, strict=True)


def test_compressed_tiff_without_its_codec_says_what_to_install(tmp_path, monkeypatch):
    path = tmp_path / "lzw.tif"
    pillow("RGB", compression="tiff_lzw")(path)

    def missing(self, *_args, **_kwargs):
        raise ValueError("<COMPRESSION.LZW: 5> requires the 'imagecodecs' package")

    monkeypatch.setattr(tifffile.TiffPage, "decode", missing)
    with refused(path, "LZW", r"pip install 'hdseg_gpu\[io\]'"):
        read_image(path)


@pytest.mark.parametrize("extension", ["png", "jpg", "tif"])
def test_very_large_pictures_are_not_taken_for_an_attack(extension, tmp_path, monkeypatch):
    # Pillow warns above this number of pixels and refuses above its double: 179 million pixels.
    path = tmp_path / f"large.{extension}"
    expected = pillow("L")(path)
    for limit in (expected.size - 1, expected.size // 4):
        monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", limit)
        np.testing.assert_array_equal(read_image(path).pixels, expected)
        assert limit == PIL.Image.MAX_IMAGE_PIXELS  # others' guard stays as it was


@pytest.mark.parametrize(
    ("palette", "expected"),
    [
        ([(200, 0, 0), (0, 90, 0), (0, 0, 30)], [0, 1, 2]),  # colours: the index is the label
        ([(0, 0, 0), (128, 128, 128), (255, 255, 255)], [0, 128, 255]),  # greys: values
        ([(0, 0, 0), (128, 128, 128), (255, 255, 254)], [0, 1, 2]),  # one colour is enough
    ],
)
def test_palette(palette, expected, tmp_path):
    indices = RNG.integers(0, 3, (41, 57)).astype(np.uint8)
    picture = PIL.Image.fromarray(indices, "L")
    picture.putpalette([value for colour in palette for value in colour])
    picture.save(tmp_path / "p.png")
    wanted = np.array(expected, np.uint8)[indices]
    np.testing.assert_array_equal(read_labels(tmp_path / "p.png"), wanted, strict=True)
    # As an image, a palette stands for its colours.
    if expected == [0, 1, 2]:
        wanted = np.array(palette, np.uint8)[indices]
    np.testing.assert_array_equal(read_image(tmp_path / "p.png").pixels, wanted, strict=True)


def test_grey_colours_of_a_colour_palette_are_labels(tmp_path):
    # PASCAL VOC: 0 is black, 7 (bus) is the grey 128; a picture may hold only these two.
    indices = (np.arange(35, dtype=np.uint8) % 2 * 7).reshape(5, 7)
    picture = PIL.Image.fromarray(indices, "L")
    voc = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128)]
    voc += [(0, 128, 128), (128, 128, 128)]
    picture.putpalette([value for colour in voc for value in colour])
    picture.save(tmp_path / "p.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "p.png"), indices)


@pytest.mark.parametrize(
    ("name", "pixels"), [("c.png", RGB), ("a.png", RGBA), ("c.npy", FLOAT[0]), ("c.npz", DEEP)]
)
def test_label_map_with_other_than_two_dimensions(name, pixels, tmp_path):
    array(pixels)(tmp_path / name)
    shape = str(pixels.shape).replace("(", r"\(").replace(")", r"\)")
    with refused(tmp_path / name, "one channel", shape, "save the labels"):
        read_labels(tmp_path / name)


@pytest.mark.parametrize(("channels", "alpha"), [(2, True), (3, False), (4, True)])
def test_16_bit_png_of_several_channels_keeps_its_bits(channels, alpha, tmp_path):
    # Pillow would cut it down to 8 bits without a word.
    imagecodecs = pytest.importorskip("imagecodecs")
    path = tmp_path / "deep.png"
    path.write_bytes(imagecodecs.png_encode(DEEP[..., :channels].copy()))
    picture = read_image(path)
    np.testing.assert_array_equal(picture.pixels, DEEP[..., :channels], strict=True)
    assert picture.alpha is alpha


def test_tiff_of_several_pages_says_that_one_is_read(tmp_path):
    stack = np.stack([GREY, 255 - GREY, GREY // 2])
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack")
    with pytest.warns(RefinementWarning, match="only the first is read"):
        pixels = read_image(tmp_path / "stack.tif").pixels
    np.testing.assert_array_equal(pixels, GREY, strict=True)


def test_palette_tiff(tmp_path):
    indices = (GREY % 3).astype(np.uint8)
    colours = np.zeros((3, 256), np.uint16)
    colours[:, :3] = np.array([[200, 0, 0], [0, 90, 0], [0, 0, 30]], np.uint16).T * 257
    tifffile.imwrite(tmp_path / "p.tif", indices, photometric="palette", colormap=colours)
    np.testing.assert_array_equal(read_labels(tmp_path / "p.tif"), indices, strict=True)
    wanted = (colours[:, :3] // 257).T.astype(np.uint8)[indices]
    np.testing.assert_array_equal(read_image(tmp_path / "p.tif").pixels, wanted, strict=True)


# ---- .npz ------------------------------------------------------------------------------------


def test_npz_with_several_arrays(tmp_path):
    path = tmp_path / "two.npz"
    np.savez(path, logits=FLOAT, mask=GREY)
    for read in (read_coarse, read_labels, read_image):
        with refused(path, "2 arrays", "choose", "'logits'", "'mask'"):
            read(path)
        with refused(path, "'masks'", "choose", "'logits'", "'mask'"):
            read(path, "masks")
    np.testing.assert_array_equal(read_coarse(path, "logits"), FLOAT, strict=True)
    np.testing.assert_array_equal(read_coarse(path, "mask"), GREY, strict=True)
    np.testing.assert_array_equal(read_labels(path, "mask"), GREY, strict=True)
    np.testing.assert_array_equal(read_image(path, "mask").pixels, GREY, strict=True)


def test_npz_with_one_array_needs_no_key(tmp_path):
    np.savez_compressed(tmp_path / "one.npz", mask=GREY)
    for key in (None, "mask"):
        np.testing.assert_array_equal(read_coarse(tmp_path / "one.npz", key), GREY, strict=True)
    with refused(tmp_path / "one.npz", "'arr_0'", "'mask'"):
        read_coarse(tmp_path / "one.npz", "arr_0")


def test_empty_npz(tmp_path):
    np.savez(tmp_path / "none.npz")
    with refused(tmp_path / "none.npz", "0 arrays"):
        read_coarse(tmp_path / "none.npz")


def test_key_for_a_file_that_has_none(tmp_path):
    np.save(tmp_path / "a.npy", GREY)
    with refused(tmp_path / "a.npy", "no named arrays", r"\.npz", "'mask'"):
        read_coarse(tmp_path / "a.npy", "mask")


# ---- what cannot be read ---------------------------------------------------------------------

READERS = [read_image, read_labels, read_coarse]
EXTENSIONS = ["png", "jpg", "tif", "npy", "npz"]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_missing_file_and_folder(read, extension, tmp_path):
    path = tmp_path / f"x.{extension}"
    with refused(path, "does not exist"):
        read(path)
    path.mkdir()
    with refused(path, "not a file"):
        read(path)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("name", ["x.bmp", "x", "x.png.txt", ".png"])
def test_unknown_extension(read, name, tmp_path):
    (tmp_path / name).write_bytes(b"content")
    with refused(tmp_path / name, r"\.png", r"\.npz", "can be read"):
        read(tmp_path / name)


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("content", [b"", b"only text\n" * 50], ids=["empty", "text"])
def test_text_under_another_name(extension, content, tmp_path):
    path = tmp_path / f"x.{extension}"
    path.write_bytes(content)
    with refused(path, "cannot be read"):
        read_image(path)


DAMAGED = {
    **{name: IMAGES[name][0] for name in ("RGB.png", "16-bit.png", "RGB.jpeg", "CMYK.jpg")},
    **{name: IMAGES[name][0] for name in ("RGB.tif", "zlib.tif", "image.npy", "image.npz")},
    "compressed.npz": lambda path: np.savez_compressed(path, GREY // 32),
}


@pytest.mark.parametrize("share", [0.005, 0.3, 0.97])
@pytest.mark.parametrize("name", DAMAGED)
def test_truncated_file(name, share, tmp_path):
    path = tmp_path / name
    DAMAGED[name](path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with refused(path, "cannot be read", "damaged or cut short"):
        read_image(path)


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_file_is_read_or_refused(name, tmp_path):
    """Whatever byte is hit, the decoder's own exceptions do not get out."""
    path = tmp_path / name
    DAMAGED[name](path)
    content = path.read_bytes()
    # A TIFF's header is left alone: its sizes are believed, and would be gigabytes of zeros.
    header = [] if path.suffix == ".tif" else range(0, 160, 3)
    positions = [*header, *np.linspace(len(content) // 3, len(content) - 1, 60).astype(int)]
    escaped = {}
    for position in positions:
        damaged = bytearray(content)
        damaged[position] ^= 0x01 if position % 2 else 0xFF
        path.write_bytes(damaged)
        try:
            read_image(path)
        except InvalidInput as error:
            assert path.name in str(error)  # noqa: PT017
        except Exception as error:
            escaped[type(error).__name__] = f"byte {position}: {error}"
    assert escaped == {}


@pytest.mark.parametrize("extension", ["npy", "npz"])
def test_pickled_objects_are_refused(extension, tmp_path):
    path = tmp_path / f"objects.{extension}"
    objects = np.array([{"a": 3}, None], object)
    np.save(path, objects) if extension == "npy" else np.savez(path, objects)
    with refused(path, "cannot be read"):
        read_coarse(path)


def test_pickle_is_never_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    stream = stdio.BytesIO()
    np.lib.format.write_array(stream, np.array([Trap()], object), allow_pickle=True)
    (tmp_path / "trap.npy").write_bytes(stream.getvalue())
    with refused(tmp_path / "trap.npy"):
        read_coarse(tmp_path / "trap.npy")
    assert not (tmp_path / "sprung").exists()
