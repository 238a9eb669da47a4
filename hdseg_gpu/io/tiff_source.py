"""Windows of the TIFF family, GeoTIFF, OME-TIFF and slides among them, by tifffile."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.locks import Lock
from hdseg_gpu.core.windows import Shape, Window
from hdseg_gpu.io.paths import decoding
from hdseg_gpu.io.recent import Recent
from hdseg_gpu.io.source import Georeference, ImageSource
from hdseg_gpu.io.tiff import has_alpha, palette, warn_of_more_pages
from hdseg_gpu.io.tiff_layout import Segment, layout_of

_REMEMBERED = 64 << 20  # bytes of decoded segments
_BLOCK = 8 << 20  # bytes fetched at once of pixels that are stored as they are
# Rows are fetched whole, and columns that nobody asked for thrown away, where this is not more than
# so many times what was asked for, or the row is not longer than a page of memory.
_WASTE, _SHORT_ROW = 4, 4096


def open_tiff(path: Path, level: int = 0, as_labels: bool = False) -> ImageSource:
    """Open the first page of a file, or one of its reduced resolutions.

    `as_labels` leaves a palette's indices as they are; otherwise they become colours.
    """
    import tifffile

    with decoding(path), tifffile.TiffFile(path) as tiff:
        first = tiff.pages.first
        pages = _levels(tiff)
        if not 0 <= level < len(pages):
            known = ", ".join(
                f"{i} ({h} x {w})" for i, (h, w) in enumerate(_size(page) for page in pages)
            )
            raise InvalidInput(f"{path} has no level {level}; its levels are {known}.")
        if level == 0:
            warn_of_more_pages(path, tiff)
        page = pages[level].aspage()
        sizes = tuple(_size(other) for other in pages)
        return TiffSource(path, page, sizes, _place(first, tiff, sizes, level), as_labels)


def _levels(tiff: Any) -> list[Any]:
    """Return the first page and its reduced ones; the first alone where the others are damaged."""
    first = tiff.pages.first
    try:
        levels = [series.pages[0] for series in tiff.series[0].levels]
        if levels[0].parent is not tiff or levels[0].offset != first.offset:
            return [first]  # the first series begins elsewhere
    except Exception:  # the first page can be read, whatever is wrong behind it
        return [first]
    return [first, *levels[1:]]


def _size(page: Any) -> Shape:
    return int(page.keyframe.imagelength), int(page.keyframe.imagewidth)


def _place(first: Any, tiff: Any, sizes: tuple[Shape, ...], level: int) -> Georeference | None:
    from hdseg_gpu.io.georeference import georeference_of, scaled

    place = georeference_of(first, tiff)
    if place is None or level == 0:
        return place
    (rows, columns), (fewer_rows, fewer_columns) = sizes[0], sizes[level]
    return scaled(place, rows / fewer_rows, columns / fewer_columns)


class _Short(Exception):
    """Bytes that should be in the file are not."""


class TiffSource(ImageSource):
    """A page of a TIFF file. Segments are fetched and decoded as windows need them."""

    def __init__(
        self,
        path: Path,
        page: Any,
        levels: tuple[Shape, ...],
        georeference: Georeference | None,
        as_labels: bool,
    ) -> None:
        self.name = str(path)
        self.levels = levels
        self.georeference = georeference
        self._layout = layout = layout_of(page, path)
        self._colours = None if as_labels else palette(page)
        self.shape = layout.shape
        self.channels = layout.channels if self._colours is None else 3
        self._stored = np.dtype(page.dtype)
        self.dtype = self._stored if self._colours is None else np.dtype(np.uint8)
        self.alpha = self._colours is None and has_alpha(page)
        rows_alone = layout.plain is not None and layout.noun == "strip"
        self.storage = (1, layout.segment[1]) if rows_alone else layout.segment
        self._decode = page.decode
        self._headers = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
        self._nodata = page.nodata
        self._recent = Recent(_REMEMBERED)
        self._lock = Lock()
        self._file = path.open("rb", buffering=0)
        self._size = os.fstat(self._file.fileno()).st_size

    def _read(self, window: Window) -> NDArray[Any]:
        """Return the pixels of a window."""
        layout = self._layout
        pixels: NDArray[Any] = np.empty((*window.shape, layout.channels), self._stored)
        for segment in layout.crossing(window):
            part = segment.window.common(window)
            if part is None:
                continue
            channels = slice(segment.channel, segment.channel + layout.samples)
            target = pixels[(*part.seen_from(window).slices, channels)]
            with self._naming(segment):
                self._fill(target, segment, part.seen_from(segment.window))
        return pixels if self._colours is None else self._colours[pixels[..., 0]]

    def close(self) -> None:
        """Close the file; windows can no longer be read."""
        self._file.close()
        self._recent.clear()

    @contextmanager
    def _naming(self, segment: Segment) -> Iterator[None]:
        """Turn whatever goes wrong in the body into one line that names the segment."""
        try:
            yield
        except MemoryError:
            raise
        except Exception as error:  # decoders pass on anything, from zlib.error to TokenError
            if self._file.closed:
                raise InvalidInput(f"{self.name} is closed; open it again to read it.") from error
            kind = "" if isinstance(error, _Short) else f"{type(error).__name__}: "
            reason = " ".join(f"{kind}{error}".split())
            if "imagecodecs" in reason and "requires" in reason:
                raise InvalidInput(
                    f"{self.name}: {reason}; run `pip install 'hdseg_gpu[io]'` for this "
                    "compression."
                ) from error
            part = segment.window
            raise InvalidInput(
                f"{self.name}: the {self._layout.noun} at rows {part.top} to {part.bottom - 1}, "
                f"columns {part.left} to {part.right - 1} cannot be read, the file may be damaged "
                f"or cut short: {reason}"
            ) from error

    def _fill(self, target: NDArray[Any], segment: Segment, part: Window) -> None:
        """Write the part of a segment, seen from its corner, to `target`."""
        layout, index = self._layout, segment.number
        if index >= min(layout.offsets.size, layout.sizes.size):
            raise _Short(f"the tables of the file end before number {index}")
        if layout.sizes[index] == 0 or layout.offsets[index] == 0:  # sparse: it was never written
            target[...] = self._nodata
        elif layout.plain is not None:
            self._fill_plain(target, index, part)
        else:
            decoded = self._recent.get(index, lambda: self._decoded(index))
            if decoded.shape[0] < part.bottom or decoded.shape[1] < part.right:
                raise _Short(f"it holds {decoded.shape[0]} x {decoded.shape[1]} pixels only")
            target[...] = decoded[part.slices]

    def _decoded(self, index: int) -> NDArray[Any]:
        """Return a segment's pixels (rows, columns, samples)."""
        layout = self._layout
        data = self._fetch(int(layout.offsets[index]), int(layout.sizes[index]))
        pixels, _, _ = self._decode(data, index, **self._headers)
        if self._stored == np.bool_:
            pixels = pixels.astype(np.bool_, copy=False)  # fax decoders return 0 and 1
        elif pixels.dtype != self._stored:
            raise _Short(f"it holds {pixels.dtype}, not {self._stored}")
        found: NDArray[Any] = pixels[0]
        return found

    def _fill_plain(self, target: NDArray[Any], index: int, part: Window) -> None:
        """Write rows that are stored as they are, some at a time."""
        layout = self._layout
        stored, row_bytes = layout.plain, layout.row_bytes
        assert stored is not None
        pixel_bytes = stored.itemsize * layout.samples
        left, wanted = part.left * pixel_bytes, part.width * pixel_bytes
        whole_rows = row_bytes <= max(_WASTE * wanted, _SHORT_ROW)
        step = max(_BLOCK // row_bytes, 1) if whole_rows else 1
        start = 0 if whole_rows else left
        length = row_bytes if whole_rows else wanted
        end = (part.bottom - 1) * row_bytes + start + length
        if end > layout.sizes[index]:
            raise _Short(f"it has {layout.sizes[index]} bytes, its pixels need {end}")
        for top in range(part.top, part.bottom, step):
            rows = min(step, part.bottom - top)
            offset = int(layout.offsets[index]) + top * row_bytes + start
            data = self._fetch(offset, (rows - 1) * row_bytes + length)
            pixels = np.frombuffer(data, stored).reshape(rows, -1, layout.samples)
            if whole_rows:
                pixels = pixels[:, part.left : part.right]
            target[top - part.top : top - part.top + rows] = pixels

    def _fetch(self, offset: int, count: int) -> bytes:
        """Return stored bytes; the file's position, which threads share, is not used."""
        if not 0 <= offset <= offset + count <= self._size:
            raise _Short(f"its bytes end at {offset + count}, the file at {self._size}")
        pieces, missing = [], count
        while missing:  # the system hands out 2 GiB at most
            piece = os.pread(self._file.fileno(), missing, offset + count - missing)
            if not piece:
                raise _Short(f"the file has lost its end since it was opened, at {self._size}")
            pieces.append(piece)
            missing -= len(piece)
        with self._lock:
            self.bytes_read += count
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
