"""PNG and JPEG, by Pillow."""

import warnings
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import RefinementWarning
from hdseg_gpu.io.paths import decoding
from hdseg_gpu.io.picture import Picture

_ORIENTATION = 0x0112  # EXIF tag; 1 is upright


def read_picture(path: Path, as_labels: bool = False) -> Picture:
    """Return the pixels of a PNG or JPEG file; `as_labels` returns a palette's indices."""
    from PIL import Image

    # Large pictures are the purpose here, so the guard against them is lifted while reading.
    guard, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with decoding(path), Image.open(path) as picture:
            picture.load()
            mode = picture.mode
            warn_if_turned(path, picture)
            if mode == "P":
                return Picture(_palette_values(picture, as_labels), False)
            if mode not in ("1", "L", "LA", "RGB", "RGBA", "I", "I;16", "I;16B", "F"):
                return Picture(np.asarray(picture.convert("RGB")), False)  # CMYK, YCbCr
            pixels = np.asarray(picture)
    finally:
        Image.MAX_IMAGE_PIXELS = guard
    if mode in ("LA", "RGB", "RGBA") and _is_16_bit_png(path):
        from hdseg_gpu.io.deep_png import read_deep_png

        return read_deep_png(path)  # Pillow cuts these down to 8 bits
    if mode == "I" and pixels.min() >= 0 and pixels.max() <= np.iinfo(np.uint16).max:
        pixels = pixels.astype(np.uint16)  # older Pillow opens 16-bit PNGs as 32-bit
    return Picture(pixels, mode in ("LA", "RGBA"))


def size_of_picture(path: Path) -> tuple[int, int]:
    """Return (H, W) without decoding the pixels."""
    from PIL import Image

    guard, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with decoding(path), Image.open(path) as picture:
            return picture.height, picture.width
    finally:
        Image.MAX_IMAGE_PIXELS = guard


def warn_if_turned(path: Path, picture: Any) -> None:
    """Say that a wish to be turned is not followed; a picture whose head alone is read will do."""
    from PIL import Image

    # PNG's own method would decode the picture first.
    turned = Image.Image.getexif(picture).get(_ORIENTATION, 1)
    if turned != 1:
        warnings.warn(
            f"{path} asks to be turned (EXIF orientation {turned}); its pixels are used "
            "as they are stored.",
            RefinementWarning,
            stacklevel=3,
        )


def palette_table(picture: Any) -> NDArray[np.uint8]:
    """Return 256 grey values where the palette is all grey, else 256 colours.

    The whole palette decides, not the colours in use: in that of PASCAL VOC class 7 is a grey, and
    a picture of background and buses is not a grey picture.
    """
    table = np.zeros((256, 3), np.uint8)
    colours = np.asarray(picture.getpalette("RGB"), np.uint8).reshape(-1, 3)
    table[: len(colours)] = colours
    if (np.ptp(colours, axis=1) == 0).all():
        return table[:, 0].copy()
    return table


def _palette_values(picture: Any, as_labels: bool) -> NDArray[np.uint8]:
    """Return grey values where the palette is all grey; else colours, or indices as labels."""
    indices: NDArray[np.uint8] = np.asarray(picture)
    table = palette_table(picture)
    values: NDArray[np.uint8] = indices if as_labels and table.ndim == 2 else table[indices]
    return values


def _is_16_bit_png(path: Path) -> bool:
    with path.open("rb") as stream:
        header = stream.read(25)
    return header.startswith(b"\x89PNG") and header[24] == 16


def write_png(stream: BinaryIO, pixels: NDArray[Any]) -> None:
    """Write grey (bool, uint8, uint16) or RGB pixels."""
    from PIL import Image

    Image.fromarray(pixels).save(stream, format="PNG")
