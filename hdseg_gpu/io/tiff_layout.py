"""The layout of a TIFF page's pixels in the file."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.windows import Shape, Window, between

_COMPLEX_INTEGERS = 5  # of SampleFormat: NumPy has no such type
_MOST_SAMPLES = 65_535  # per pixel: the count has 16 bits


class Segment(NamedTuple):
    """A tile or a strip, the unit of compression."""

    number: int  # index in the tables of offsets and sizes
    channel: int  # its first channel
    window: Window  # of the image; without the padding of a tile


@dataclass(frozen=True)
class Layout:
    """The division of a page into segments, and their positions in the file."""

    shape: Shape
    segment: Shape  # rows and columns of a segment
    samples: int  # channels of a segment
    planes: int  # 1, or one per channel
    noun: str  # "tile" or "strip"
    # The dtype of uncompressed pixels, stored row after row; None if they are encoded.
    plain: np.dtype[Any] | None
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]

    @property
    def channels(self) -> int:
        """Return the number of channels of the page."""
        return self.planes * self.samples

    @property
    def row_bytes(self) -> int:
        """Return the bytes of an uncompressed row of a segment."""
        return 0 if self.plain is None else self.segment[1] * self.samples * self.plain.itemsize

    def crossing(self, window: Window) -> Iterator[Segment]:
        """Yield all segments that intersect a window."""
        high, wide = self.segment
        down, across = -(-self.shape[0] // high), -(-self.shape[1] // wide)
        for plane in range(self.planes):
            for i in range(window.top // high, -(-window.bottom // high)):
                for j in range(window.left // wide, -(-window.right // wide)):
                    part = between(i * high, j * wide, (i + 1) * high, (j + 1) * wide, self.shape)
                    yield Segment((plane * down + i) * across + j, plane * self.samples, part)


def layout_of(page: Any, path: Path) -> Layout:
    """Return the layout of a page of tifffile."""
    if page.axes not in ("YX", "YXS", "SYX") or page.dtype is None or 0 in page.shape:
        raise InvalidInput(
            f"{path}: the page has axes {page.axes}, shape {str(page.shape)[:100]} and dtype "
            f"{page.dtype}; expected an image with axes YX, YXS or SYX."
        )
    if page.dtype.kind not in "buif":
        raise InvalidInput(
            f"{path} has dtype {page.dtype}; convert it to integers or floats first."
        )
    planes, _, height, width, samples = (int(n) for n in page.shaped)
    if min(planes, height, width, samples) < 1:  # such as a fractional width
        raise InvalidInput(
            f"{path} cannot be read, it may be damaged: it has {height} x {width} pixels of "
            f"{planes * samples} channels."
        )
    if planes * samples > _MOST_SAMPLES:
        raise InvalidInput(
            f"{path} cannot be read, it may be damaged: it has {planes * samples} channels, but a "
            f"TIFF has at most {_MOST_SAMPLES}."
        )
    segment = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, width)
    if min(int(n) for n in segment) < 1:
        raise InvalidInput(
            f"{path} cannot be read, it may be damaged: its "
            f"{'tiles' if page.is_tiled else 'strips'} have {segment[0]} x {segment[1]} pixels."
        )
    layout = Layout(
        (height, width),
        (min(int(segment[0]), height) if not page.is_tiled else int(segment[0]), int(segment[1])),
        samples,
        planes,
        "tile" if page.is_tiled else "strip",
        _plain_type(page),
        np.asarray(page.dataoffsets, np.int64),
        np.asarray(page.databytecounts, np.int64),
    )
    return layout if page.is_tiled or layout.plain is None else _joined(layout)


def _plain_type(page: Any) -> np.dtype[Any] | None:
    """Return the dtype of uncompressed pixels, in the file's byte order."""
    plain = (
        page.compression == 1
        and page.predictor == 1
        and page.fillorder == 1
        and page.sampleformat != _COMPLEX_INTEGERS
        and page.bitspersample == 8 * page.dtype.itemsize
        and not page.is_subsampled
    )
    return np.dtype(page.dtype).newbyteorder(page.parent.byteorder) if plain else None


def _joined(layout: Layout) -> Layout:
    """Return a layout with one strip per plane if strips are contiguous in the file."""
    down = -(-layout.shape[0] // layout.segment[0])
    if layout.sizes.size != down * layout.planes or layout.offsets.size != layout.sizes.size:
        return layout
    rows = np.full(down, layout.segment[0], np.int64)
    rows[-1] = layout.shape[0] - (down - 1) * layout.segment[0]
    sizes = np.tile(rows * layout.row_bytes, layout.planes)
    if (layout.sizes != sizes).any():
        return layout
    offsets = layout.offsets.reshape(layout.planes, down)
    if (np.diff(offsets, axis=1) != sizes[: down - 1]).any():
        return layout
    return Layout(
        layout.shape,
        layout.shape,
        layout.samples,
        layout.planes,
        layout.noun,
        layout.plain,
        offsets[:, 0].copy(),
        sizes.reshape(layout.planes, down).sum(axis=1),
    )
