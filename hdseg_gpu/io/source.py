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

    Attributes
    ----------
    transform : (a, b, c, d, e, f) or None
        Maps (column, row) of a pixel's corner to world coordinates:
        x = a column + b row + c, y = d column + e row + f.
    crs : str or None
        The coordinate system, such as "EPSG:32632", or WKT.
    pixel_size : (float, float) or None
        Height and width of a pixel, in micrometres.
    tags : dict
        GeoTIFF tags as stored: code -> (data type, count, value).

    Examples
    --------
    >>> import numpy as np
    >>> import hdseg_gpu
    >>> with hdseg_gpu.open_image(np.zeros((4, 6), np.uint8)) as image:
    ...     print(image.georeference)  # only files have one
    None
    """

    transform: tuple[float, float, float, float, float, float] | None = None
    crs: str | None = None
    pixel_size: tuple[float, float] | None = None
    tags: dict[int, tuple[int, int, Any]] = field(default_factory=dict)


class ImageSource(ABC):
    """An image that is read window by window; thread-safe. ``open_image`` returns one.

    Attributes
    ----------
    name : str
        The path, or a description of the array.
    shape : (int, int)
        Rows and columns of the image.
    channels : int
        The number of channels C.
    dtype : dtype
        The type of pixel values.
    alpha : bool or None
        Whether the last channel is alpha; None if the file does not specify it.
    coloured : bool
        Whether the file declares that its channels are colours.
    storage : (int, int)
        Rows and columns that are stored, and decoded, together.
    levels : tuple of (int, int)
        Rows and columns of all pyramid levels, including the opened one.
    georeference : Georeference or None
        Georeference and pixel size.
    bytes_read : int
        Stored bytes read so far.
    held : int
        Bytes by which caches may grow after opening.
    decoding : int
        Upper bound of the temporary bytes that one read needs.

    Examples
    --------
    >>> import numpy as np
    >>> import hdseg_gpu
    >>> with hdseg_gpu.open_image(np.arange(24, dtype=np.uint8).reshape(4, 6)) as image:
    ...     part = image.read(hdseg_gpu.Window(top=1, left=2, height=1, width=3))
    >>> image.shape, image.channels, image.dtype
    ((4, 6), 1, dtype('uint8'))
    >>> part[..., 0]
    array([[ 8,  9, 10]], dtype=uint8)
    """

    name: str
    shape: Shape
    channels: int
    dtype: np.dtype[Any]
    alpha: bool | None = None
    coloured: bool = False
    storage: Shape
    levels: tuple[Shape, ...] = ()
    georeference: Georeference | None = None
    bytes_read: int = 0
    held: int = 0
    decoding: int = 0

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
