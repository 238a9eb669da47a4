"""Reading PNG, JPEG, TIFF, .npy and .npz."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

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
    """Return an image file's pixels as stored."""
    suffix = _suffix(path)
    if suffix in ARRAYS:
        return Picture(read_array(path, key), None)
    if suffix in TIFFS:
        return _read_tiff(path)
    return _read_picture(path)


def read_labels(path: Path, key: str | None = None) -> NDArray[Any]:
    """Return a label map (h, w). A colour palette's indices are labels; a grey one is grey."""
    pixels = read_image(path, key).pixels
    if pixels.ndim != 2:
        raise InvalidInput(
            f"{path}: a label map has one channel, this file has shape {pixels.shape}; "
            "save the labels as a grey or palette picture, or as .npy."
        )
    return pixels


def read_coarse(path: Path, key: str | None = None) -> NDArray[Any]:
    """Return labels (h, w), or probabilities with three dimensions (.npy, .npz)."""
    return read_array(path, key) if _suffix(path) in ARRAYS else read_labels(path)


def read_array(path: Path, key: str | None = None) -> NDArray[Any]:
    """Return the array of a .npy file, or of a .npz file that holds one or is asked for `key`."""
    try:
        found = np.load(path, allow_pickle=False)
        if not isinstance(found, np.lib.npyio.NpzFile):
            array: NDArray[Any] = found
            return array
        with found:
            names = list(found.files)
            if key is None and len(names) != 1:
                raise InvalidInput(f"{path} holds {len(names)} arrays; choose one of {names}.")
            if key is not None and key not in names:
                raise InvalidInput(f"{path} holds no array {key!r}; choose one of {names}.")
            return np.asarray(found[key or names[0]])
    except (OSError, EOFError, ValueError, BadZipFile) as error:
        raise _unreadable(path, error) from error


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


def _unreadable(path: Path, error: Exception) -> InvalidInput:
    if isinstance(error, InvalidInput):
        return error
    reason = " ".join(str(error).split()) or type(error).__name__
    return InvalidInput(f"{path} cannot be read, it may be damaged or cut short: {reason}")


def _read_picture(path: Path) -> Picture:
    from PIL import Image

    try:
        with warnings.catch_warnings(), Image.open(path) as picture:
            # Large pictures are the purpose here, so the guard against them is lifted locally.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture.load()
            mode = picture.mode
            if mode == "P":
                return Picture(_palette_values(picture), False)
            if mode not in ("1", "L", "LA", "RGB", "RGBA", "I", "I;16", "I;16B", "F"):
                return Picture(np.asarray(picture.convert("RGB")), False)  # CMYK, YCbCr
            pixels = np.asarray(picture)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _unreadable(path, error) from error
    if mode == "I" and pixels.min() >= 0 and pixels.max() <= np.iinfo(np.uint16).max:
        pixels = pixels.astype(np.uint16)  # older Pillow opens 16-bit PNGs as 32-bit
    return Picture(pixels, mode in ("LA", "RGBA"))


def _palette_values(picture: Any) -> NDArray[np.uint8]:
    """Return indices, the convention of label maps; but grey values where all colours are grey."""
    indices: NDArray[np.uint8] = np.asarray(picture)
    colours = np.asarray(picture.getpalette("RGB"), np.uint8).reshape(-1, 3)
    used = np.unique(indices)
    if used[-1] < len(colours) and (np.ptp(colours[used], axis=1) == 0).all():
        grey: NDArray[np.uint8] = colours[:, 0][indices]
        return grey
    return indices


def _read_tiff(path: Path) -> Picture:
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages.first
            pixels = np.asarray(page.asarray())
            axes, extra = page.axes, tuple(page.extrasamples)
    except Exception as error:  # tifffile passes on whatever its codecs raise
        if "imagecodecs" in str(error):
            raise InvalidInput(
                f"{path}: {error}; run `pip install 'hdseg_gpu[io]'` for this compression."
            ) from error
        raise _unreadable(path, error) from error
    if axes == "SYX":  # planar samples
        pixels = np.moveaxis(pixels, 0, -1)
    elif axes not in ("YX", "YXS"):
        raise InvalidInput(f"{path}: the first page has the axes {axes}; expected YX or YXS.")
    alpha = any(int(e) in (1, 2) for e in extra)  # associated or unassociated alpha
    return Picture(pixels, alpha)
