"""Coarse maps of any size, labels or planes of classes, read part by part or as a whole."""

import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core import validate
from hdseg_gpu.core.coarse_map import EXPECTED, grid_of
from hdseg_gpu.core.errors import InvalidInput, RefinementWarning, shown
from hdseg_gpu.core.memory import Budget, budget_of
from hdseg_gpu.core.windows import Shape, Window, whole
from hdseg_gpu.io.formats import loaded, names, writable
from hdseg_gpu.io.georeference import check_same_place
from hdseg_gpu.io.open import check_key, open_within
from hdseg_gpu.io.parts import part_bytes, parts_of
from hdseg_gpu.io.paths import format_to_read
from hdseg_gpu.io.sliced import Sliced, is_of_zarr, sliced, stored_together
from hdseg_gpu.io.source import Georeference, ImageSource

_TURNED = 4  # bytes per value to move the classes from the last axis to the first


class CoarseSource(ABC):
    """A coarse map: an array (h, w) of labels, or one with an axis of classes.

    Iterating over it yields windows of (h, w) and the array there, part by part.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    axis: int  # of the classes, if there are three axes
    class_axis: int  # the same in the caller's array
    storage: Shape = (1, 1)  # rows and columns that are read together
    decoding = 0  # upper bound of the temporary bytes of one read
    own = True  # whether `take` returns an array that nothing else uses

    @property
    def grid(self) -> Shape:
        """Return (h, w)."""
        return grid_of(self.shape, self.axis)

    @property
    @abstractmethod
    def bytes_read(self) -> int:
        """Return the bytes fetched so far."""

    @property
    def room(self) -> int:
        """Return the bytes that iterating over the parts takes, as read and as decoded."""
        part = part_bytes(self.storage, self._pixel)
        return self.decoding + part + part * 4 // self.dtype.itemsize

    @property
    def _pixel(self) -> int:
        return max(1, prod(self.shape) // prod(self.grid) * self.dtype.itemsize)

    def __iter__(self) -> Iterator[tuple[Window, NDArray[Any]]]:
        """Yield windows, and the values there with all classes."""
        for window in parts_of(whole(self.grid), self.storage, self._pixel):
            yield window, validate.as_array("coarse", self._part(window), EXPECTED)

    @abstractmethod
    def _part(self, window: Window) -> NDArray[Any]:
        """Return the values in a window, in the order of the axes."""

    @property
    def georeference(self) -> Georeference | None:
        """Return its georeference, if the file has one."""
        return None

    @property
    def kept(self) -> int:
        """Return an upper bound of the bytes of values held in memory until it is closed."""
        return 0

    @abstractmethod
    def whole_room(self) -> int:
        """Return the bytes that `take` needs for its array, and while reading."""

    @abstractmethod
    def require(self, budget: Budget, besides: int) -> None:
        """Raise InvalidInput if the whole map and `besides` bytes exceed the budget."""

    @abstractmethod
    def take(self) -> NDArray[Any]:
        """Return all values; values in memory are handed over, not copied."""

    def close(self) -> None:  # noqa: B027  (arrays have nothing to close)
        """Close files."""

    def __enter__(self) -> "CoarseSource":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _OfArray(CoarseSource):
    """A map from an array of a file or of a library."""

    def __init__(self, array: Sliced, class_axis: int) -> None:
        self.name, self.axis, self.class_axis = array.name, class_axis % 3, class_axis
        self.shape, self.dtype = array.shape, array.dtype
        self.decoding, self.own = array.decoding, array.own
        if len(self.shape) in (2, 3):
            self.storage = stored_together(array, self.axis)
        self._array = array

    @property
    def bytes_read(self) -> int:
        return self._array.bytes_read

    def _part(self, window: Window) -> NDArray[Any]:
        at: list[slice] = list(window.slices)
        if len(self.shape) == 3:
            at.insert(self.axis, slice(None))
        return self._array[tuple(at)]

    @property
    def kept(self) -> int:
        return self._array.held

    def whole_room(self) -> int:
        return self._array.nbytes if self.own else 0

    def require(self, budget: Budget, besides: int) -> None:
        budget.require(
            self.whole_room() + besides,
            f"{self.name}: its array of shape {self.shape} and dtype {self.dtype}",
            "pass a smaller one",
        )

    def take(self) -> NDArray[Any]:
        return self._array[...]

    def close(self) -> None:
        self._array.close()


class _OfPicture(CoarseSource):
    """A map from an image: labels, or one channel per class, moved to the first axis."""

    axis = class_axis = 0

    def __init__(self, source: ImageSource) -> None:
        self._source, self.name = source, source.name
        one = source.channels == 1
        self.shape = source.shape if one else (source.channels, *source.shape)
        self.dtype, self.storage, self.decoding = source.dtype, source.storage, source.decoding

    @property
    def bytes_read(self) -> int:
        return self._source.bytes_read

    def _part(self, window: Window) -> NDArray[Any]:
        return self._turned(self._source.read(window))

    @property
    def georeference(self) -> Georeference | None:
        return self._source.georeference

    @property
    def kept(self) -> int:
        return min(self._source.held, prod(self.shape) * self.dtype.itemsize)

    def _turned(self, pixels: NDArray[Any]) -> NDArray[Any]:
        return pixels[..., 0] if len(self.shape) == 2 else np.moveaxis(pixels, -1, 0)

    def whole_room(self) -> int:
        turned = 0 if len(self.shape) == 2 else _TURNED
        return prod(self.shape) * (self.dtype.itemsize + turned) + self.decoding

    def require(self, budget: Budget, besides: int) -> None:
        height, width = self.grid
        budget.require(
            self.whole_room() + besides,
            f"{self.name}: reading {height} x {width} pixels",
            "pass a smaller file",
        )

    def take(self) -> NDArray[Any]:
        return self._turned(self._source.take())

    def close(self) -> None:
        self._source.close()


def open_coarse(
    coarse: Any,
    key: str | None = None,
    budget: Budget | None = None,
    class_axis: int = 0,
    image: ImageSource | None = None,
) -> CoarseSource:
    """Return a coarse map from a file, or from an array of NumPy, Zarr or Dask.

    Parameters
    ----------
    class_axis : int
        Axis of the classes in an array with three axes. Ignored for files that define their
        channels themselves.
    image : ImageSource, optional
        If both are georeferenced, their extents must agree.

    """
    class_axis = validate.axis_of("class_axis", class_axis)
    if not isinstance(coarse, str | os.PathLike):
        if key is not None:
            raise InvalidInput(
                f"key={shown(key)} is for files, but the coarse map is an array; leave it out."
            )
        return _of_library(coarse, class_axis, budget)
    path, budget = Path(coarse), budget or budget_of(None)
    chosen = format_to_read(path)
    check_key(path, chosen, key)
    if chosen.open_array is not None:
        return _OfArray(loaded(chosen.open_array)(path, key, budget), class_axis)
    source = open_within(
        budget, path, key=key, later=True, as_labels=True, class_axis=class_axis % 3
    )
    try:
        if image is not None:
            check_same_place(image, source)
        planes = chosen.planes and not source.coloured and not source.alpha
        if source.channels > 1 and not planes:
            raise one_channel_only(path, (*source.shape, source.channels))
    except BaseException:
        source.close()
        raise
    if chosen.lossy:
        warnings.warn(
            f"{path} is a {chosen.name}, which does not keep labels exactly; save label maps as "
            f"{names(writable())}.",
            RefinementWarning,
            stacklevel=3,
        )
    return _OfPicture(source)


def one_channel_only(path: Path, shape: tuple[int, ...]) -> InvalidInput:
    """Return the error for an image that is no label map."""
    return InvalidInput(
        f"{path}: a label map has one channel, but this file has shape {shape}; "
        "save the labels as one grey channel, or as the indices of a palette."
    )


def _of_library(coarse: Any, class_axis: int, budget: Budget | None) -> CoarseSource:
    """Return a map from an array of a library."""
    if is_of_zarr(coarse) and hasattr(coarse, "shape"):
        from hdseg_gpu.io.zarr_source import ZarrSource

        axes = ["y", "x"]
        grid_of(tuple(coarse.shape), class_axis % 3)  # which has two or three dimensions
        if len(coarse.shape) == 3:
            axes.insert(class_axis % 3, "c")
        return _OfPicture(ZarrSource("coarse", coarse, axes, budget=budget))
    return _OfArray(sliced("coarse", coarse, EXPECTED), class_axis)
