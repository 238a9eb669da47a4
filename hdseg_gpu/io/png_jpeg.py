"""PNG and JPEG, by Pillow."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput, RefinementWarning
from hdseg_gpu.core.locks import RLock
from hdseg_gpu.core.windows import Shape
from hdseg_gpu.io.formats import format_of, instead
from hdseg_gpu.io.jpeg_head import jpeg_head
from hdseg_gpu.io.paths import decoding, quiet
from hdseg_gpu.io.picture import Picture
from hdseg_gpu.io.png_head import png_head
from hdseg_gpu.io.stored import Stored

REMEDY = f"save it in tiles, as {instead(lambda f: f.pyramid)}"  # of what is too large
_ORIENTATION = 0x0112  # EXIF tag; 1 is upright
# Pillow goes by content, and some of its formats start other programs. So it is restricted to the
# format of the extension.
_DECODERS = {"PNG": ("PNG",), "JPEG": ("JPEG", "MPO")}
_OTHERS = (  # by their first bytes
    (b"\x89PNG", "a PNG"), (b"\xff\xd8\xff", "a JPEG"), (b"II*\0", "a TIFF"), (b"MM\0*", "a TIFF"),
    (b"II+\0", "a BigTIFF"), (b"MM\0+", "a BigTIFF"), (b"GIF8", "a GIF"), (b"BM", "a BMP"),
    (b"%!", "PostScript"), (b"%PDF", "a PDF"), (b"PK\x03\x04", "a zip file"), (b"<", "XML"),
    (b"RIFF", "a WebP or another RIFF file"), (b"\x93NUMPY", "a NumPy array"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000"),
)  # fmt: skip
_STRIP = 1 << 20  # pixels copied at a time
_READ = 6 << 20  # bytes of memory of Pillow and its decoders beside the pixels


@dataclass(frozen=True)
class Head:
    """Properties of an image known before decoding."""

    shape: Shape
    png: bool
    depth: int  # bits per sample
    channels: int  # as stored: palette indices are one
    palette: bytes | None  # red, green, blue of each index
    complete_at_end: bool  # interlaced or progressive
    coefficients: int  # bytes held while a progressive JPEG is decoded
    aside: int  # bytes of other data, such as profiles

    @property
    def deep(self) -> bool:
        """Return whether Pillow would reduce its samples to 8 bits."""
        return self.png and self.depth == 16 and self.channels > 1

    @property
    def decoded(self) -> int:
        """Return the bytes per pixel of the result: colours if there is a palette."""
        if self.palette is not None or (self.channels == 4 and not self.png):
            return 3
        return self.channels * max(1, self.depth // 8)

    @property
    def peak(self) -> int:
        """Return an upper bound of the bytes needed to decode all pixels."""
        if self.deep:
            within = 0  # decoded directly into the result
        elif self.channels == 1:
            within = max(1, self.depth // 8)
        else:
            within = 4  # Pillow's pixels
        pixels = self.shape[0] * self.shape[1]
        return pixels * (within + self.decoded) + self.coefficients + 3 * self.aside + _READ


def read_head(path: Path, file: Stored) -> Head:
    """Return the header of a file; raises InvalidInput if it is of another format."""
    start = file.start(16)
    if _kind(path) == "PNG":
        _check_format(path, start, start.startswith(b"\x89PNG"), "PNG")
        png = png_head(file)
        return Head(
            png.shape, True, png.depth, png.channels, png.palette, png.interlaced, 0, png.aside
        )
    _check_format(path, start, start.startswith(b"\xff\xd8"), "JPEG")
    jpeg = jpeg_head(str(path), file.some, file.size)
    if 0 in jpeg.shape or jpeg.channels == 0:
        raise InvalidInput(
            f"{path} cannot be read, it may be damaged or cut short: its header has no size."
        )
    return Head(
        jpeg.shape, False, jpeg.depth, jpeg.channels, None, jpeg.progressive, jpeg.coefficients,
        jpeg.before,
    )  # fmt: skip


def _kind(path: Path) -> str:
    """Return the name of the format of a file's extension."""
    found = format_of(path)
    return "" if found is None else found.name


def _check_format(path: Path, start: bytes, known: bool, kind: str) -> None:
    if known:
        return
    looks = next((name for magic, name in _OTHERS if start.startswith(magic)), None)
    raise InvalidInput(
        f"{path} cannot be read, it may be damaged or cut short: it holds no {kind}"
        + (f", but looks like {looks}; give it the matching extension." if looks else ".")
    )


@contextmanager
def opened(path: Path, file: Stored) -> Iterator[Any]:
    """Open an image with Pillow, in the format of its extension, without decoding pixels yet."""
    from PIL import Image

    with decoding(path), file.stream() as stream:
        with quiet(), _any_size():
            picture = Image.open(stream, formats=_DECODERS[_kind(path)])
        with picture:
            yield picture


_guard = RLock()


@contextmanager
def _any_size() -> Iterator[None]:
    """Disable Pillow's limit on the size of images, since large images are the purpose here.

    The limit is global: without the lock, one thread could take another's disabled limit for the
    user's setting, and restore that.
    """
    from PIL import Image

    with _guard:
        guard, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = guard


def described(path: Path, head: Head) -> str:
    """Return the operation that needs the memory, for messages."""
    return f"{path}: decoding {head.shape[0]} x {head.shape[1]} pixels"


def decoded(path: Path, file: Stored, head: Head, as_labels: bool = False) -> Picture:
    """Return the pixels of an open file."""
    with opened(path, file) as picture:
        if (picture.height, picture.width) != head.shape:
            raise InvalidInput(f"{path} cannot be read, it may be damaged: it has two sizes.")
        if not head.deep:
            picture.load()
            return _taken(picture, head, as_labels)
    from hdseg_gpu.io.deep_png import read_deep_png

    return read_deep_png(path, file)


def _taken(picture: Any, head: Head, as_labels: bool) -> Picture:
    """Return the pixels of a Pillow image, copied strip by strip."""
    mode = picture.mode
    if mode == "P" and head.palette is not None:
        table = palette_table(head.palette)
        values = None if as_labels and table.ndim == 2 else table
        return Picture(_copied(picture, None, values), False)
    if mode not in ("1", "L", "LA", "RGB", "RGBA", "I", "I;16", "I;16B", "F"):
        return Picture(_copied(picture, "RGB", None), False)  # CMYK, YCbCr
    pixels = _copied(picture, None, None)
    if mode == "I" and pixels.min() >= 0 and pixels.max() <= np.iinfo(np.uint16).max:
        pixels = pixels.astype(np.uint16)  # older Pillow opens 16-bit PNGs as 32-bit
    return Picture(pixels, mode in ("LA", "RGBA"))


def _copied(picture: Any, mode: str | None, table: NDArray[Any] | None) -> NDArray[Any]:
    """Return an array of an image's pixels, converted to `mode` or looked up in `table`."""
    pixels: NDArray[Any] | None = None
    step = max(1, _STRIP // picture.width)
    for top in range(0, picture.height, step):
        bottom = min(top + step, picture.height)
        with _any_size():
            strip = picture.crop((0, top, picture.width, bottom))
        values = np.asarray(strip if mode is None else strip.convert(mode))
        if table is not None:
            values = table[values]
        if pixels is None:
            pixels = np.empty((picture.height, *values.shape[1:]), values.dtype)
        pixels[top:bottom] = values
    assert pixels is not None
    return pixels


def warn_if_turned(path: Path, file: Stored) -> None:
    """Warn that the EXIF orientation is ignored."""
    from PIL import Image

    # The method of PNG images would decode the image first.
    with opened(path, file) as picture, quiet():
        turned = Image.Image.getexif(picture).get(_ORIENTATION, 1)
    if turned != 1:
        warnings.warn(
            f"{path} has EXIF orientation {turned}, which is ignored; its pixels are used "
            "as they are stored.",
            RefinementWarning,
            stacklevel=3,
        )


def palette_table(palette: bytes) -> NDArray[np.uint8]:
    """Return 256 grey values if the whole palette is grey, else 256 colours.

    The whole palette decides, not the colours in use: in the palette of PASCAL VOC class 7 is grey,
    but an image of background and class 7 is not a grey image.
    """
    table = np.zeros((256, 3), np.uint8)
    colours = np.frombuffer(palette[: len(palette) // 3 * 3], np.uint8).reshape(-1, 3)
    table[: len(colours)] = colours
    if (np.ptp(colours, axis=1) == 0).all():
        return table[:, 0].copy()
    return table


def write_png(stream: BinaryIO, pixels: NDArray[Any]) -> None:
    """Write grey (bool, uint8, uint16) or RGB pixels."""
    from PIL import Image

    Image.fromarray(pixels).save(stream, format="PNG")
