"""What every reader of large images offers, and what writers ask for."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput, shown
from hdseg_gpu.core.windows import Shape, Window, is_inside, whole


@dataclass(frozen=True)
class Georeference:
    """Where a picture lies, and how large its pixels are: what an output takes over from its image.

    transform maps (column, row) of a pixel's corner to world coordinates:
    x = a column + b row + c, y = d column + e row + f.
    """

    transform: tuple[float, float, float, float, float, float] | None = None  # a, b, c, d, e, f
    crs: str | None = None  # "EPSG:32632" or WKT
    pixel_size: tuple[float, float] | None = None  # (rows, columns), micrometres
    # GeoTIFF tags as they are stored, by code: data type, count, value.
    tags: dict[int, tuple[int, int, Any]] = field(default_factory=dict)


class ImageSource(ABC):
    """A picture of which windows are read as they are needed; several threads may read at once."""

    name: str  # the path, or what the array is
    shape: Shape
    channels: int
    dtype: np.dtype[Any]
    alpha: bool | None = None  # whether the last channel is alpha; None: it cannot be told
    coloured: bool = False  # whether the channels are colours, by the file's own word
    storage: Shape  # rows and columns that are stored, and decoded, together
    levels: tuple[Shape, ...] = ()  # sizes of all resolutions, the one at hand among them
    georeference: Georeference | None = None
    bytes_read: int = 0  # stored bytes fetched so far
    held: int = 0  # bytes that it may come to keep, beside those that it has when it is opened
    decoding: int = 0  # bytes that one read takes beside what it returns, at most

    def read(self, window: Window) -> NDArray[Any]:
        """Return (height, width, C), C-contiguous, in the dtype and channel order of the file.

        A damaged tile is ``InvalidInput`` that names the file and the tile's rows and columns; so
        is a window that is not all inside the picture.
        """
        if not is_inside(window, self.shape):
            raise InvalidInput(
                f"{self.name}: {shown(window)} is not inside the picture of {self.shape[0]} rows "
                f"and {self.shape[1]} columns; pass a Window of integers with at least one pixel, "
                "all of it inside."
            )
        return self._read(window)

    @abstractmethod
    def _read(self, window: Window) -> NDArray[Any]:
        """Return the same of a window that has been checked."""

    def take(self) -> NDArray[Any]:
        """Return all pixels (H, W, C); those that are in memory are handed over, not copied."""
        return self.read(whole(self.shape))

    def close(self) -> None:  # noqa: B027  (most have nothing to close)
        """Give files back."""

    def __enter__(self) -> "ImageSource":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class LabelSource(Protocol):
    """Labels that a writer fetches window by window, in the order that it needs them."""

    @property
    def shape(self) -> Shape:
        """Return (H, W)."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the labels' dtype."""

    def read(self, window: Window) -> NDArray[Any]:
        """Return (height, width)."""
