"""Coarse maps of any size, labels or planes of classes, read part by part or as a whole."""

import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from math import isnan, prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core import validate
from hdseg_gpu.core.coarse_map import EXPECTED, grid_of
from hdseg_gpu.core.errors import InvalidInput, RefinementWarning, shown
from hdseg_gpu.core.memory import Budget, budget_of
from hdseg_gpu.core.windows import Shape, Window, whole
from hdseg_gpu.io.arrays import require_room
from hdseg_gpu.io.formats import loaded
from hdseg_gpu.io.georeference import check_same_place
from hdseg_gpu.io.npy import TURNED
from hdseg_gpu.io.open import check_key, open_within
from hdseg_gpu.io.parts import part_bytes, parts_of
from hdseg_gpu.io.paths import format_to_read
from hdseg_gpu.io.source import ImageSource

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
    """A map from an array, in memory or computed part by part."""

    def __init__(
        self, array: Any, class_axis: int, cut: Callable[[Any], NDArray[Any]], *, computed: bool
    ) -> None:
        axis, self.own = class_axis % 3, computed
        self.name, self.axis, self.class_axis = "coarse", axis, class_axis
        self.shape = tuple(int(n) for n in array.shape)
        self.dtype = np.dtype(array.dtype)
        chunks = getattr(array, "chunksize", None)
        if len(self.shape) in (2, 3):
            self.storage = (1, self.grid[1]) if chunks is None else grid_of(tuple(chunks), axis)
        self._cut, self._read = cut, 0

    @property
    def bytes_read(self) -> int:
        return self._read

    def _part(self, window: Window) -> NDArray[Any]:
        found = self._cut(_slices(window, self.shape, self.axis))
        self._read += found.nbytes
        return found

    def whole_room(self) -> int:
        return prod(self.shape) * self.dtype.itemsize if self.own else 0

    def require(self, budget: Budget, besides: int) -> None:
        size = " x ".join(map(str, self.shape))
        budget.require(
            self.whole_room() + besides, f"coarse: computing {size} values", "save it as .npy"
        )

    def take(self) -> NDArray[Any]:
        return self._cut(...)


class _OfFile(CoarseSource):
    """A map from the array of a .npy or .npz file."""

    def __init__(self, path: Path, array: Any, class_axis: int) -> None:
        self.name, self.axis, self.class_axis = str(path), class_axis % 3, class_axis
        self.shape, self.dtype = array.shape, array.dtype
        self._path, self._array = path, array
        if len(self.shape) in (2, 3):
            rows, columns = self.grid
            self.storage = (rows, 1) if array.fortran else (1, columns)
        self.decoding = TURNED if array.fortran else 0

    @property
    def bytes_read(self) -> int:
        found: int = self._array.bytes_read
        return found

    def _part(self, window: Window) -> NDArray[Any]:
        found: NDArray[Any] = self._array[_slices(window, self.shape, self.axis)]
        return found

    def whole_room(self) -> int:
        nbytes: int = self._array.nbytes
        return nbytes

    def require(self, budget: Budget, besides: int) -> None:
        require_room(self._path, self._array, budget, besides)

    def take(self) -> NDArray[Any]:
        found: NDArray[Any] = self._array[...]
        return found

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
        return _of_array(coarse, class_axis, budget)
    path, budget = Path(coarse), budget or budget_of(None)
    chosen = format_to_read(path)
    check_key(path, chosen, key)
    if chosen.open_array is not None:
        return _OfFile(path, loaded(chosen.open_array)(path, key, budget), class_axis)
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
            "PNG.",
            RefinementWarning,
            stacklevel=3,
        )
    return _OfPicture(source)


def one_channel_only(path: Path, shape: tuple[int, ...]) -> InvalidInput:
    """Return the error for an image that is no label map."""
    return InvalidInput(
        f"{path}: a label map has one channel, but this file has shape {shape}; "
        "save the labels as a grey or palette image, or as .npy."
    )


def _of_array(coarse: Any, class_axis: int, budget: Budget | None) -> CoarseSource:
    library = type(coarse).__module__.partition(".")[0]
    shape = getattr(coarse, "shape", ())
    dimensions = len(shape) if isinstance(shape, tuple) else 0
    if library == "zarr" and dimensions in (2, 3):
        from hdseg_gpu.io.zarr_source import ZarrSource

        axes = ["y", "x"]
        if dimensions == 3:
            axes.insert(class_axis % 3, "c")
        return _OfPicture(ZarrSource("coarse", coarse, axes, budget=budget))
    if library == "dask" and dimensions and not any(isnan(n) for n in coarse.shape):
        return _OfArray(
            coarse, class_axis, lambda at: np.asarray(coarse[at].compute(scheduler="synchronous")),
            computed=True,
        )  # fmt: skip
    if type(coarse) is not np.ndarray or coarse.size == 0:  # which copies bools
        coarse = validate.as_array("coarse", coarse, EXPECTED)
    return _OfArray(coarse, class_axis, coarse.__getitem__, computed=False)


def _slices(window: Window, shape: tuple[int, ...], axis: int) -> tuple[slice, ...]:
    """Return the slices that cut a window with all classes out of an array."""
    at = list(window.slices)
    if len(shape) == 3:
        at.insert(axis, slice(None))
    return tuple(at)
