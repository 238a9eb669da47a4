"""Windows of PNG and JPEG pictures, which offer no random access of their own."""

import os
import tempfile
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput, RefinementWarning
from hdseg_gpu.core.windows import Shape, Window
from hdseg_gpu.io.jpeg_rows import decode_jpeg
from hdseg_gpu.io.paths import decoding
from hdseg_gpu.io.png_jpeg import palette_table, read_picture, warn_if_turned
from hdseg_gpu.io.png_rows import decode_png
from hdseg_gpu.io.source import ImageSource

_KEPT_PIXELS = 1 << 26  # up to here, a picture is held in memory
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the header's type of colour
_JPEG_CHANNELS = {"L": 1, "RGB": 3}  # by Pillow's mode


def open_picture(path: Path, workspace: Path | None = None) -> ImageSource:
    """Return a PNG or JPEG of which windows can be read.

    Up to 64 megapixels are held in memory. A larger picture is decoded once, row by row, into a
    raw file without a name in `workspace` (or the folder for temporary files): its room is given
    back in ``close``, however the process ends.
    """
    head = _read_head(path)
    if head.shape[0] * head.shape[1] <= _KEPT_PIXELS:
        return _Kept(path)
    remedy = "save it as a tiled TIFF"
    if head.channels:
        try:
            return _transcode(path, head, workspace)
        except ImportError:
            remedy = f"run `pip install 'hdseg_gpu[{'geo' if head.png else 'io'}]'`"
    warnings.warn(
        f"{path} is held in memory whole, {head.shape[0]} x {head.shape[1]} pixels; {remedy} to "
        "read it in parts.",
        RefinementWarning,
        stacklevel=2,
    )
    return _Kept(path)


@dataclass(frozen=True)
class _Head:
    """What is known before decoding."""

    shape: Shape
    png: bool
    channels: int  # as stored; 0 where Pillow alone gives the pixels that are expected
    table: NDArray[np.uint8] | None  # what the indices of a palette mean


def _read_head(path: Path) -> _Head:
    from PIL import Image

    guard, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with decoding(path), Image.open(path) as picture:
            png, channels = picture.format == "PNG", 0
            if png:
                channels = _png_channels(path)
            elif picture.format in ("JPEG", "MPO"):
                channels = _JPEG_CHANNELS.get(picture.mode, 0)
            if channels and picture.width * picture.height > _KEPT_PIXELS:
                warn_if_turned(path, picture)
            table = palette_table(picture) if picture.mode == "P" else None
            return _Head((picture.height, picture.width), png, channels, table)
    finally:
        Image.MAX_IMAGE_PIXELS = guard


def _png_channels(path: Path) -> int:
    with path.open("rb") as stream:
        depth, colour = stream.read(26)[24:]
    return _PNG_CHANNELS[colour] if depth >= 8 else 0  # Pillow scales those of less to 8 bits


class _Kept(ImageSource):
    """A picture in memory."""

    def __init__(self, path: Path):
        picture = read_picture(path)
        pixels = picture.pixels
        self._pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
        self.name = str(path)
        self.shape = pixels.shape[:2]
        self.channels = self._pixels.shape[2]
        self.dtype = pixels.dtype
        self.alpha = picture.alpha
        self.storage = (1, 1)
        self.levels = (self.shape,)
        self.bytes_read = path.stat().st_size

    def _read(self, window: Window) -> NDArray[Any]:
        return self._pixels[window.slices].copy()


class _Transcoded(ImageSource):
    """A picture whose decoded rows lie in a file, one after the other."""

    def __init__(self, path: Path, head: _Head, raw: BinaryIO, dtype: np.dtype[Any]):
        self._raw, self._table = raw, head.table
        self._stored = head.channels
        coloured = head.table is not None and head.table.ndim == 2
        self.name = str(path)
        self.shape = head.shape
        self.channels = 3 if coloured else self._stored
        self.dtype = dtype
        self.alpha = head.channels in (2, 4)
        self.storage = (1, 1)  # nothing is decoded any more
        self.levels = (head.shape,)
        self.bytes_read = path.stat().st_size

    def _read(self, window: Window) -> NDArray[Any]:
        # Not mapped: around each page that is touched, the system would map some of its neighbours.
        pixels = np.empty((*window.shape, self._stored), self.dtype)
        pixel = self._stored * self.dtype.itemsize
        for row, values in enumerate(pixels.reshape(window.height, -1).view(np.uint8), window.top):
            start = (row * self.shape[1] + window.left) * pixel
            if os.preadv(self._raw.fileno(), [values.data], start) != values.size:
                raise InvalidInput(f"{self.name}: the temporary file of its pixels is cut short.")
        if self._table is None:
            return pixels
        looked_up: NDArray[Any] = self._table[pixels if self._table.ndim == 1 else pixels[..., 0]]
        return looked_up

    def close(self) -> None:
        self._raw.close()


def _transcode(path: Path, head: _Head, workspace: Path | None) -> _Transcoded:
    folder = str(workspace or tempfile.gettempdir())
    decode = decode_png if head.png else decode_jpeg
    raw: Any = None
    try:
        raw = tempfile.TemporaryFile(prefix="hdseg-", dir=folder)  # noqa: SIM115
        return _Transcoded(path, head, raw, decode(path, raw, head.shape, head.channels))
    except BaseException as error:
        if raw is not None:
            with suppress(OSError):  # on a full disk, what is still to be written
                raw.close()
        if isinstance(error, OSError):
            raise InvalidInput(
                f"{path} needs a temporary file for its pixels, and {folder} does not take it: "
                f"{error.strerror}; name another workspace."
            ) from error
        raise
