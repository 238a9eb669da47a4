"""Reading PNG, JPEG, TIFF, .npy and .npz."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput

PICTURES = (".png", ".jpg", ".jpeg")
TIFFS = (".tif", ".tiff")
ARRAYS = (".npy", ".npz")
READABLE = PICTURES + TIFFS + ARRAYS


@dataclass(frozen=True)
class Picture:
    """Pixels, channels last, and whether the file says that the last channel is alpha."""

    pixels: NDArray[Any]  # (H, W) or (H, W, C)
    alpha: bool | None  # None: the file cannot tell


def read_image(path: Path, key: str | None = None) -> Picture:
    """Return an image file's pixels as stored; a palette's colours."""
    suffix = _suffix(path)
    if suffix in ARRAYS:
        return Picture(read_array(path, key), None)
    if suffix in TIFFS:
        return _read_tiff(path)
    return _read_picture(path)


def read_labels(path: Path, key: str | None = None) -> NDArray[Any]:
    """Return a label map (h, w). A colour palette's indices are labels; a grey one is grey."""
    suffix = _suffix(path)
    if key is not None and suffix != ".npz":
        raise InvalidInput(f"{path} is no .npz file, so it holds no array {key!r}; pass no key.")
    if suffix in PICTURES:
        pixels = _read_picture(path, as_labels=True).pixels
    else:
        pixels = read_image(path, key).pixels
    if pixels.ndim != 2:
        raise InvalidInput(
            f"{path}: a label map has one channel, this file has shape {pixels.shape}; "
            "save the labels as a grey or palette picture, or as .npy."
        )
    return pixels


def read_coarse(path: Path, key: str | None = None) -> NDArray[Any]:
    """Return labels (h, w), or probabilities with three dimensions (.npy, .npz)."""
    if _suffix(path) in ARRAYS and (key is None or path.suffix.lower() == ".npz"):
        return read_array(path, key)
    return read_labels(path, key)


def read_array(path: Path, key: str | None = None) -> NDArray[Any]:
    """Return the array of a .npy file, or of a .npz file that holds one or is asked for `key`."""
    with path.open("rb") as stream, _decoding(path):
        found = np.load(stream, allow_pickle=False)
        if not isinstance(found, np.lib.npyio.NpzFile):
            array: NDArray[Any] = found
            return array
        with found:
            names = list(found.files)
            if key is None and len(names) != 1:
                raise InvalidInput(
                    f"{path} holds {len(names)} arrays; choose one of {names} as the key, "
                    "or save it alone."
                )
            if key is not None and key not in names:
                raise InvalidInput(f"{path} holds no array {key!r}; choose one of {names}.")
            return np.asarray(found[key or names[0]])


def _suffix(path: Path) -> str:
    """Return the lower-case extension of a file that exists and can be read by its extension."""
    suffix = path.suffix.lower()
    if not path.exists():
        raise InvalidInput(f"{path} does not exist.")
    if not path.is_file():
        raise InvalidInput(f"{path} is not a file.")
    if suffix not in READABLE:
        raise InvalidInput(
            f"{path} has the extension {suffix!r}; files ending in {', '.join(READABLE)} "
            "can be read."
        )
    return suffix


@contextmanager
def _decoding(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises in the body into one line that names the file."""
    try:
        yield
    except (InvalidInput, MemoryError):
        raise
    except Exception as error:  # decoders pass on anything, from zlib.error to TokenError
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        if "imagecodecs" in reason:
            raise InvalidInput(
                f"{path}: {reason}; run `pip install 'hdseg_gpu[io]'` for this compression."
            ) from error
        if "pickle" in reason:
            reason = "it holds Python objects, or is no NumPy file"
        raise InvalidInput(
            f"{path} cannot be read, it may be damaged or cut short: {reason}"
        ) from error


def _read_picture(path: Path, as_labels: bool = False) -> Picture:
    from PIL import Image

    # Large pictures are the purpose here, so the guard against them is lifted while reading.
    guard, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with _decoding(path), Image.open(path) as picture:
            picture.load()
            mode = picture.mode
            if mode == "P":
                return Picture(_palette_values(picture, as_labels), False)
            if mode not in ("1", "L", "LA", "RGB", "RGBA", "I", "I;16", "I;16B", "F"):
                return Picture(np.asarray(picture.convert("RGB")), False)  # CMYK, YCbCr
            pixels = np.asarray(picture)
    finally:
        Image.MAX_IMAGE_PIXELS = guard
    if mode in ("RGB", "RGBA") and _is_16_bit_png(path):
        return _read_16_bit_colours(path)
    if mode == "I" and pixels.min() >= 0 and pixels.max() <= np.iinfo(np.uint16).max:
        pixels = pixels.astype(np.uint16)  # older Pillow opens 16-bit PNGs as 32-bit
    return Picture(pixels, mode in ("LA", "RGBA"))


def _palette_values(picture: Any, as_labels: bool) -> NDArray[np.uint8]:
    """Return grey values where all colours used are grey; else colours, or indices as labels."""
    indices: NDArray[np.uint8] = np.asarray(picture)
    table = np.zeros((256, 3), np.uint8)
    colours = np.asarray(picture.getpalette("RGB"), np.uint8).reshape(-1, 3)
    table[: len(colours)] = colours
    if (np.ptp(table[np.unique(indices)], axis=1) == 0).all():
        grey: NDArray[np.uint8] = table[:, 0][indices]
        return grey
    return indices if as_labels else table[indices]


def _is_16_bit_png(path: Path) -> bool:
    with path.open("rb") as stream:
        header = stream.read(25)
    return header.startswith(b"\x89PNG") and header[24] == 16


def _read_16_bit_colours(path: Path) -> Picture:
    """Return what Pillow would cut down to 8 bits."""
    try:
        import imagecodecs
    except ImportError as error:
        raise InvalidInput(
            f"{path} is a 16-bit colour PNG; run `pip install 'hdseg_gpu[io]'` to read it, "
            "or save it as TIFF."
        ) from error
    with _decoding(path):
        pixels = np.asarray(imagecodecs.png_decode(path.read_bytes()))
    return Picture(pixels, pixels.shape[2] == 4)


def _read_tiff(path: Path) -> Picture:
    import tifffile

    with _decoding(path), tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        pixels = np.asarray(page.asarray())
        axes, extra = page.axes, tuple(int(e) for e in page.extrasamples)
    if axes == "SYX":  # planar samples
        pixels = np.moveaxis(pixels, 0, -1)
    elif axes not in ("YX", "YXS"):
        raise InvalidInput(f"{path}: the first page has the axes {axes}; expected YX or YXS.")
    # 1 and 2 are associated and unassociated alpha; 0 is data of another kind, near infrared say.
    return Picture(pixels, any(e in (1, 2) for e in extra))
