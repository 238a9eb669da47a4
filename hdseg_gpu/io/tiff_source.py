"""Windows of TIFF files, including GeoTIFF, OME-TIFF and slides, by tifffile."""

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput, RefinementWarning
from hdseg_gpu.core.memory import Budget, budget_of
from hdseg_gpu.core.windows import Shape, Window
from hdseg_gpu.io import codestreams
from hdseg_gpu.io.paths import decoding, reason_of
from hdseg_gpu.io.recent import Recent
from hdseg_gpu.io.source import Georeference, ImageSource
from hdseg_gpu.io.stored import Short, Stored
from hdseg_gpu.io.tiff_head import tiff_head
from hdseg_gpu.io.tiff_layout import Segment, layout_of
from hdseg_gpu.io.tiff_page import has_alpha, has_more_pages, levels_of, palette
from hdseg_gpu.io.unpack import (
    LZMA_MEMORY,
    TooLong,
    check_lzma,
    from_lzma,
    from_zstd,
    inflated,
)

_REMEMBERED = 64 << 20  # bytes of cached decoded segments, if eight times as many are left
_BLOCK = 8 << 20  # bytes of uncompressed pixels fetched at once
# Rows are fetched whole and cropped if they have at most this many times the requested bytes, or
# are not longer than a memory page.
_WASTE, _SHORT_ROW = 4, 4096
_DEFLATE, _LZMA, _LERC = (8, 32946, 50013), 34925, 34887
_LERC_PARAMETERS = 50674  # version, and additional compression: none, deflate or Zstandard
# Codes of Compression with a size in their own header, and the bytes per sample that their decoders
# take beside the result.
_JPEG, _JPEG2000 = (codestreams.of_jpeg, 3), (codestreams.of_jpeg2000, 12)
_CODED: dict[int, tuple[Callable[[bytes], codestreams.Coded], int]] = {
    **dict.fromkeys((6, 7, 33007, 34892), _JPEG),
    **dict.fromkeys((33003, 33004, 33005, 34712), _JPEG2000),
    **dict.fromkeys((50002, 52546), (codestreams.of_jpegxl, 16)),
    **dict.fromkeys((34927, 50001), (codestreams.of_webp, 6)),
    _LERC: (codestreams.of_lerc, 8), 34933: (codestreams.of_png, 2),
}  # fmt: skip
# Decoders that accept a limit on their output.
_TOLD = (1, 2, 3, 4, 5, 32773, 34926, 50000, _LZMA, *_DEFLATE)
_GREY = (0, 1)  # of PhotometricInterpretation: white or black is 0
# Data that tifffile would look for in other pages or beside the file.
_KINDS = ("lsm", "scanimage", "ndpi", "micromanager", "mmstack", "ndtiff", "stk")


def open_tiff(
    path: Path, level: int = 0, as_labels: bool = False, budget: Budget | None = None
) -> ImageSource:
    """Open the first page of a file, or one of its reduced resolutions.

    as_labels: whether palette indices are returned unchanged; otherwise they become colours. Other
    files, such as those named in an OME-TIFF, are never opened.
    """
    import tifffile

    budget = budget or budget_of(None)
    file = Stored(path)
    try:
        with decoding(path):
            head = tiff_head(file, budget)
            levels = levels_of(head)
            sizes = tuple((page.height, page.width) for page in levels)
            if not 0 <= level < len(levels):
                known = ", ".join(f"{i} ({h} x {w})" for i, (h, w) in enumerate(sizes))
                raise InvalidInput(f"{path} has no level {level}; its levels are {known}.")
            flags = {f"is_{kind}": False for kind in _KINDS}
            with (
                file.stream() as stream,
                tifffile.TiffFile(stream, name=path.name, _multifile=False, **flags) as tiff,
            ):
                first = page = tiff.pages.first
                if level:
                    budget.require(
                        levels[level].memory, f"{path}: reading the tables of level {level}",
                        "save it with larger tiles or strips",
                    )  # fmt: skip
                    stream.seek(levels[level].offset)
                    page = tifffile.TiffPage(tiff, index=level)
                elif has_more_pages(head, levels, first):
                    warnings.warn(
                        f"{path} has more than one page; only the first is read.",
                        RefinementWarning,
                        stacklevel=2,
                    )
                place = _place(first, tiff, sizes, level)
                return TiffSource(path, file, page, sizes, level, place, as_labels, budget)
    except BaseException:
        file.close()
        raise


def _place(first: Any, tiff: Any, sizes: tuple[Shape, ...], level: int) -> Georeference | None:
    from hdseg_gpu.io.georeference import georeference_of, scaled

    place = georeference_of(first, tiff)
    if place is None or level == 0:
        return place
    (rows, columns), (fewer_rows, fewer_columns) = sizes[0], sizes[level]
    return scaled(place, rows / fewer_rows, columns / fewer_columns)


class TiffSource(ImageSource):
    """A page of a TIFF file. Segments are fetched and decoded as windows need them."""

    def __init__(
        self,
        path: Path,
        file: Stored,
        page: Any,
        levels: tuple[Shape, ...],
        level: int,
        georeference: Georeference | None,
        as_labels: bool,
        budget: Budget,
    ) -> None:
        self.name = str(path)
        self.georeference = georeference
        self._layout = layout = layout_of(page, path)
        self._colours = None if as_labels else palette(page, path)
        self.shape = layout.shape
        # If a tag occurs twice, tifffile may use the other one.
        self.levels = tuple(self.shape if i == level else s for i, s in enumerate(levels))
        self.channels = layout.channels if self._colours is None else 3
        self._stored = np.dtype(page.dtype)
        self.dtype = self._stored if self._colours is None else np.dtype(np.uint8)
        self.alpha = self._colours is None and has_alpha(page)
        self.coloured = int(page.photometric) not in _GREY
        rows_alone = layout.plain is not None and layout.noun == "strip"
        self.storage = (1, layout.segment[1]) if rows_alone else layout.segment
        self._decode = page.decode
        self._headers = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
        self._nodata = page.nodata
        self._compression = int(page.compression)
        if self._compression not in _TOLD and self._compression not in _CODED:
            raise InvalidInput(
                f"{path} is compressed with {page.compression!r}, which is not supported; save "
                "it with deflate, LZW, Zstandard, LZMA, JPEG, JPEG 2000, JPEG XL, WebP or LERC."
            )
        self._packed = _lerc_packing(page, path) if self._compression == _LERC else 0
        self.held = 0 if layout.plain is not None else min(_REMEMBERED, budget.left // 8)
        self.decoding = self._needed(file.size)
        budget.require(
            self.held + self.decoding,
            f"{path}: decoding a {layout.noun} of {layout.segment[0]} x {layout.segment[1]} pixels",
            "save it with smaller tiles",
        )
        self._dictionary = min(LZMA_MEMORY, budget.left)
        self._recent = Recent(self.held)
        self._file = file

    @property
    def bytes_read(self) -> int:  # type: ignore[override]
        """Return the stored bytes fetched so far."""
        return self._file.bytes_read

    def _needed(self, size: int) -> int:
        """Return the bytes that reading a segment takes; at most the file's size is fetched."""
        layout = self._layout
        item = self._stored.itemsize
        if layout.plain is not None:
            return 2 * max(_BLOCK, layout.row_bytes)
        encoded = min(int(layout.sizes.max(initial=0)), size)
        samples = layout.segment[0] * layout.segment[1] * layout.samples
        coded = _CODED.get(self._compression)
        each = 3 * item if coded is None else coded[1] + 2 * item
        if self._compression == _LZMA:
            each += item  # its dictionary holds the decompressed data
        unpacked = self._lerc_room if self._packed else 0
        return 2 * (encoded + unpacked) + int(samples * each)

    @property
    def _lerc_room(self) -> int:
        """Return an upper bound of a segment's bytes in LERC: raw values and masks."""
        layout = self._layout
        values = layout.segment[0] * layout.segment[1] * layout.samples
        return values * int(self._stored.itemsize) + values // 4 + 128 * layout.samples + 1024

    def _read(self, window: Window) -> NDArray[Any]:
        """Return the pixels of a window."""
        layout = self._layout
        pixels: NDArray[Any] = np.empty((*window.shape, layout.channels), self._stored)
        for segment in layout.crossing(window):
            part = segment.window.intersection(window)
            if part is None:
                continue
            channels = slice(segment.channel, segment.channel + layout.samples)
            target = pixels[(*part.relative_to(window).slices, channels)]
            with self._naming(segment):
                self._fill(target, segment, part.relative_to(segment.window))
        return pixels if self._colours is None else self._colours[pixels[..., 0]]

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        self._recent.clear()

    @contextmanager
    def _naming(self, segment: Segment) -> Iterator[None]:
        """Turn any exception in the body into one line that names the segment."""
        try:
            yield
        except Exception as error:  # decoders raise anything, from zlib.error to TokenError
            if self._file.closed:
                raise InvalidInput(f"{self.name} is closed; open it again to read it.") from error
            reason = f"{error}" if isinstance(error, Short | TooLong) else reason_of(error)
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
        """Write a part of a segment, relative to its corner, to `target`."""
        layout, index = self._layout, segment.number
        if index >= min(layout.offsets.size, layout.sizes.size):
            raise Short(f"the tables of the file end before number {index}")
        if layout.sizes[index] == 0 or layout.offsets[index] == 0:  # sparse: never written
            target[...] = self._nodata
        elif layout.plain is not None:
            self._fill_plain(target, index, part)
        else:
            decoded = self._recent.get(index, lambda: self._decoded(index))
            if decoded.shape[0] < part.bottom or decoded.shape[1] < part.right:
                raise Short(f"it has only {decoded.shape[0]} x {decoded.shape[1]} pixels")
            target[...] = decoded[part.slices]

    def _decoded(self, index: int) -> NDArray[Any]:
        """Return a segment's pixels (rows, columns, samples)."""
        layout = self._layout
        data = bytes(self._file.fetch(int(layout.offsets[index]), int(layout.sizes[index])))
        if self._packed == 1:
            data = inflated(data, self._lerc_room, 15)
        elif self._packed:
            data = from_zstd(data, self._lerc_room)
        self._check_size(data)
        pixels, _, _ = self._decode(data, index, **self._headers)
        if self._stored == np.bool_:
            pixels = pixels.astype(np.bool_, copy=False)  # fax decoders return 0 and 1
        elif pixels.dtype != self._stored:
            raise Short(f"it has dtype {pixels.dtype}, not {self._stored}")
        found: NDArray[Any] = pixels[0]
        return found

    def _check_size(self, data: bytes) -> None:
        """Raise, before decoding, if a segment would decode to more pixels than it should have.

        Other decoders get a limit on their output, except those that tifffile falls back to.
        """
        rows, columns = self._layout.segment
        most = rows * columns * self._layout.samples
        coded = _CODED.get(self._compression)
        if coded is not None:
            found = coded[0](data)
            if found.rows * found.columns > rows * columns or (
                found.samples > self._layout.samples + 1  # one more: an opaque alpha
            ):
                raise Short(
                    f"it has {found.rows} x {found.columns} pixels of {found.samples} samples "
                    f"instead of {rows} x {columns} of {self._layout.samples}"
                )
        elif self._compression == _LZMA:
            check_lzma(data, self._dictionary)
        if not _has_imagecodecs() and self._compression in (*_DEFLATE, _LZMA):
            limit = most * self._stored.itemsize
            if self._compression == _LZMA:
                from_lzma(data, limit, memory=self._dictionary)
            else:
                inflated(data, limit, 15)

    def _fill_plain(self, target: NDArray[Any], index: int, part: Window) -> None:
        """Copy uncompressed rows to `target`, some at a time."""
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
            raise Short(f"it has {layout.sizes[index]} bytes, but its pixels need {end}")
        for top in range(part.top, part.bottom, step):
            rows = min(step, part.bottom - top)
            offset = int(layout.offsets[index]) + top * row_bytes + start
            data = self._file.fetch(offset, (rows - 1) * row_bytes + length)
            pixels = np.frombuffer(data, stored).reshape(rows, -1, layout.samples)
            if whole_rows:
                pixels = pixels[:, part.left : part.right]
            target[top - part.top : top - part.top + rows] = pixels


def _lerc_packing(page: Any, path: Path) -> int:
    """Return the additional compression of LERC: 0 none, 1 deflate, 2 Zstandard."""
    found = page.tags.valueof(_LERC_PARAMETERS)
    if found is None:
        return 0
    if not isinstance(found, tuple) or len(found) < 2 or found[1] not in (0, 1, 2):
        raise InvalidInput(
            f"{path} cannot be read, it may be damaged: its parameters of LERC are "
            f"{str(found)[:100]}."
        )
    return int(found[1])


def _has_imagecodecs() -> bool:
    if "imagecodecs" in sys.modules:
        return sys.modules["imagecodecs"] is not None
    return find_spec("imagecodecs") is not None
