"""The interfaces of readers of large images and of the labels that writers pull."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput, shown
from hdseg_gpu.core.windows import Shape, Window, is_inside, whole


@dataclass(frozen=True)
class Georeference:
    """Georeference and pixel size of an image, which its output inherits.

    transform maps (column, row) of a pixel's corner to world coordinates:
    x = a column + b row + c, y = d column + e row + f.
    """

    transform: tuple[float, float, float, float, float, float] | None = None  # a, b, c, d, e, f
    crs: str | None = None  # "EPSG:32632" or WKT
    pixel_size: tuple[float, float] | None = None  # (rows, columns), micrometres
    # GeoTIFF tags as they are stored, by code: data type, count, value.
    tags: dict[int, tuple[int, int, Any]] = field(default_factory=dict)


class ImageSource(ABC):
    """An image that is read window by window; thread-safe."""

    name: str  # the path, or a description of the array
    shape: Shape
    channels: int
    dtype: np.dtype[Any]
    alpha: bool | None = None  # whether the last channel is alpha; None: it cannot be told
    coloured: bool = False  # whether the file says that its channels are colours
    storage: Shape  # rows and columns that are stored, and decoded, together
    levels: tuple[Shape, ...] = ()  # sizes of all resolutions, the one at hand among them
    georeference: Georeference | None = None
    bytes_read: int = 0  # stored bytes fetched so far
    held: int = 0  # bytes that caches may grow by after opening
    decoding: int = 0  # upper bound of the temporary bytes of one read

    def read(self, window: Window) -> NDArray[Any]:
        """Return (height, width, C), C-contiguous, in the dtype and channel order of the file.

        Raises ``InvalidInput`` for a damaged tile, with the file and the tile's rows and columns,
        and for a window that is not inside the image.
        """
        if not is_inside(window, self.shape):
            raise InvalidInput(
                f"{self.name}: {shown(window)} is not inside the image of {self.shape[0]} rows "
                f"and {self.shape[1]} columns; pass a non-empty Window of integers inside it."
            )
        return self._read(window)

    @abstractmethod
    def _read(self, window: Window) -> NDArray[Any]:
        """Return (height, width, C) of a valid window."""

    def take(self) -> NDArray[Any]:
        """Return all pixels (H, W, C); pixels in memory are handed over, not copied."""
        return self.read(whole(self.shape))

    def close(self) -> None:  # noqa: B027  (most have nothing to close)
        """Close files."""

    def __enter__(self) -> "ImageSource":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class LabelSource(Protocol):
    """Labels that a writer pulls window by window, in the order it needs."""

    @property
    def shape(self) -> Shape:
        """Return (H, W)."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the dtype of the labels."""

    def read(self, window: Window) -> NDArray[Any]:
        """Return (height, width)."""
