"""Windows of PNG and JPEG images, which have no random access."""

import os
import sys
import tempfile
import warnings
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput, RefinementWarning
from hdseg_gpu.core.locks import Lock
from hdseg_gpu.core.memory import Budget, budget_of
from hdseg_gpu.core.windows import Window
from hdseg_gpu.io import jpeg_rows, png_rows
from hdseg_gpu.io.paths import decoding
from hdseg_gpu.io.png_jpeg import (
    REMEDY,
    Head,
    decoded,
    described,
    palette_table,
    read_head,
    warn_if_turned,
)
from hdseg_gpu.io.source import ImageSource
from hdseg_gpu.io.stored import Stored

_KEPT_PIXELS = 1 << 26  # an image of up to this size is held in memory,
_KEPT_SHARE = 4  # if it takes at most 1 / this of what is left of the budget


def open_picture(
    path: Path,
    workspace: Path | None = None,
    budget: Budget | None = None,
    *,
    later: bool = False,
    as_labels: bool = False,
) -> ImageSource:
    """Return a PNG or JPEG as a source of windows.

    Up to 64 megapixels are held in memory, if that takes at most a quarter of what the budget
    leaves. A larger image is decoded once, row by row, into an unnamed raw file in `workspace` (or
    the folder for temporary files), whose space is released by ``close`` or the end of the process.
    An image that fits neither way is refused before anything is decoded.

    later: whether it is decoded only at the first read. as_labels: whether palette indices are
    returned unchanged.
    """
    if later:
        return PictureLater(path, budget or budget_of(None), as_labels)
    with decoding(path), Stored(path) as file:
        head = read_head(path, file)
        whole = _is_kept(path, head, file.size, budget or budget_of(None))
        warn_if_turned(path, file)
        return _decoded(path, file, head, whole, workspace, as_labels)


class PictureLater(ImageSource):
    """An image decoded at its first read; its header has been checked against the budget."""

    def __init__(self, path: Path, budget: Budget, as_labels: bool = False) -> None:
        with decoding(path), ExitStack() as stack:
            file = stack.enter_context(Stored(path))
            head = read_head(path, file)
            whole = _is_kept(path, head, file.size, budget)
            warn_if_turned(path, file)
            self._waiting: tuple[Stored, Head, bool] | None = (file, head, whole)
            stack.pop_all()
        self._path, self._lock, self._as_labels = path, Lock(), as_labels
        self._decoded: ImageSource | None = None
        stored = _stored_as(head, as_labels)
        self.name, self.shape = str(path), head.shape
        self.channels, self.dtype, self.alpha = stored.channels, stored.dtype, stored.alpha
        self.storage, self.levels, self.bytes_read = (1, 1), (head.shape,), file.size
        if whole:
            self.held = head.peak

    def _read(self, window: Window) -> NDArray[Any]:
        return self._there().read(window)

    def take(self) -> NDArray[Any]:
        """Return all pixels."""
        return self._there().take()

    def _there(self) -> ImageSource:
        with self._lock:
            if self._decoded is None:
                self._decoded = self._decode()
        return self._decoded

    def _decode(self) -> ImageSource:
        if self._waiting is None:
            raise InvalidInput(f"{self.name} is closed; open it again to read it.")
        file, head, whole = self._waiting
        with decoding(self._path):
            found = _decoded(self._path, file, head, whole, None, self._as_labels)
        if (found.channels, found.dtype) != (self.channels, self.dtype):
            found.close()
            raise InvalidInput(
                f"{self.name} has {self.channels} channels of {self.dtype} by its header, but is "
                f"decoded as {found.channels} of {found.dtype}; {REMEDY}."
            )
        self._let_go()
        return found

    def _let_go(self) -> None:
        """Close the file, which is not needed once its pixels are decoded."""
        if self._waiting is not None:
            self._waiting[0].close()
            self._waiting = None

    def close(self) -> None:
        """Close the file and release the decoded pixels."""
        with self._lock:
            self._let_go()
            if self._decoded is not None:
                self._decoded.close()
                self._decoded = None  # releases the pixels


def _is_kept(path: Path, head: Head, size: int, budget: Budget) -> bool:
    """Return whether an image is held in memory; otherwise its rows are decoded into a file.

    Raises InvalidInput if there is too little memory for both.
    """
    what = described(path, head)
    small = head.shape[0] * head.shape[1] <= _KEPT_PIXELS
    if small and head.peak <= budget.left // _KEPT_SHARE:
        return True
    need = png_rows.need_of(head) if head.png else jpeg_rows.need_of(head, size)
    missing = _missing(head)
    if missing is None and (need < head.peak or not small):
        budget.require(need, what, REMEDY)
        return False
    remedy = REMEDY if missing is None else f"run `pip install 'hdseg_gpu[{missing}]'`"
    budget.require(head.peak, what, remedy)
    if not small:
        warnings.warn(
            f"{path} is held in memory as a whole, {head.shape[0]} x {head.shape[1]} pixels; "
            f"{remedy} to read it in parts.",
            RefinementWarning,
            stacklevel=3,
        )
    return True


def _decoded(
    path: Path, file: Stored, head: Head, whole: bool, workspace: Path | None, as_labels: bool
) -> ImageSource:
    if whole:
        return _Kept(path, file, head, as_labels)
    return _transcode(path, file, head, workspace, as_labels)


def _missing(head: Head) -> str | None:
    """Return the missing extra that is needed to decode an image row by row, if any."""
    library, extra = ("rasterio", "geo") if head.png else ("imagecodecs", "io")
    # Importing it just to check would take 20 MiB of the budget.
    there = sys.modules[library] if library in sys.modules else find_spec(library)
    return extra if there is None else None


class _Facts(NamedTuple):
    """Properties of the decoded image, from its header."""

    channels: int
    dtype: np.dtype[Any]
    alpha: bool
    table: NDArray[Any] | None  # stored sample -> value
    inks: bool  # whether channels are cyan, magenta, yellow and black


def _stored_as(head: Head, as_labels: bool) -> _Facts:
    table = None if head.palette is None else palette_table(head.palette)
    if as_labels and table is not None and table.ndim == 2:
        table = None  # indices are labels
    if head.png and head.depth < 8 and head.palette is None:
        table = _grey_table(head.depth)
    inks = not head.png and head.channels == 4
    coloured = inks or (table is not None and table.ndim == 2)
    dtype = np.dtype(np.uint16 if head.depth == 16 else np.uint8) if table is None else table.dtype
    alpha = head.png and head.channels in (2, 4)
    return _Facts(3 if coloured else head.channels, dtype, alpha, table, inks)


class _Kept(ImageSource):
    """An image in memory."""

    def __init__(self, path: Path, file: Stored, head: Head, as_labels: bool) -> None:
        picture = decoded(path, file, head, as_labels)
        pixels = picture.pixels
        self._pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
        self.name = str(path)
        self.shape = pixels.shape[:2]
        self.channels = self._pixels.shape[2]
        self.dtype = pixels.dtype
        self.alpha = picture.alpha
        self.storage = (1, 1)
        self.levels = (self.shape,)
        self.bytes_read = file.size

    def _read(self, window: Window) -> NDArray[Any]:
        return self._pixels[window.slices].copy()

    def take(self) -> NDArray[Any]:
        """Return all pixels and hand over the array."""
        return self._pixels


class _Transcoded(ImageSource):
    """An image whose decoded rows are in a temporary file, one after another."""

    def __init__(
        self, path: Path, size: int, head: Head, raw: BinaryIO, dtype: np.dtype[Any],
        as_labels: bool,
    ) -> None:  # fmt: skip
        stored = _stored_as(head, as_labels)
        self._raw, self._stored = raw, dtype
        self._samples, self._table, self._inks = head.channels, stored.table, stored.inks
        self.name, self.shape = str(path), head.shape
        self.channels, self.dtype, self.alpha = stored.channels, stored.dtype, stored.alpha
        self.storage = (1, 1)  # already decoded
        self.levels = (head.shape,)
        self.bytes_read = size
        self.decoding = 3 * head.shape[1] * head.channels * dtype.itemsize  # a row

    def _read(self, window: Window) -> NDArray[Any]:
        # Not mapped: for each page touched, the system would also map neighbouring pages.
        pixels = np.empty((*window.shape, self.channels), self.dtype)
        stored = np.empty((window.width, self._samples), self._stored)
        alike = self._table is None and not self._inks
        size = stored.itemsize * self._samples
        for row in range(window.height):
            values = pixels[row] if alike else stored
            start = ((window.top + row) * self.shape[1] + window.left) * size
            target = values.reshape(-1).view(np.uint8)
            if os.preadv(self._raw.fileno(), [target.data], start) != target.size:
                raise InvalidInput(
                    f"{self.name}: the temporary file of its pixels is cut short; open it again."
                )
            if self._table is not None:
                pixels[row] = self._table[values].reshape(pixels[row].shape)
            elif self._inks:
                pixels[row] = _colours(values)
        return pixels

    def close(self) -> None:
        self._raw.close()


def _colours(inks: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return RGB from CMYK, which JPEGs store inverted, as Pillow converts it."""
    from PIL import Image

    row = Image.fromarray(~inks[None], "CMYK").convert("RGB")
    colours: NDArray[np.uint8] = np.asarray(row)[0]
    return colours


def _grey_table(depth: int) -> NDArray[Any]:
    """Return the values of samples of less than 8 bits; one bit becomes bool, as in Pillow."""
    table = np.arange(256) % (1 << depth)
    return table.astype(bool) if depth == 1 else (table * (255 // ((1 << depth) - 1))).astype("u1")


def _transcode(
    path: Path, file: Stored, head: Head, workspace: Path | None, as_labels: bool
) -> _Transcoded:
    folder = str(workspace or tempfile.gettempdir())
    decode = png_rows.decode_png if head.png else jpeg_rows.decode_jpeg
    raw: Any = None
    try:
        raw = tempfile.TemporaryFile(prefix="hdseg-", dir=folder)  # noqa: SIM115
        dtype = decode(path, file, raw, head, folder)
        return _Transcoded(path, file.size, head, raw, dtype, as_labels)
    except BaseException as error:
        if raw is not None:
            with suppress(OSError):  # on a full disk, from flushing the rest
                raw.close()
        if isinstance(error, OSError):
            raise InvalidInput(
                f"{path} needs a temporary file for its pixels, which cannot be written in "
                f"{folder}: {error.strerror}; name another workspace."
            ) from error
        raise
