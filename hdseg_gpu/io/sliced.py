"""Arrays of which slices are read: what readers ask of them, and those of other libraries.

This is the only place that tells the arrays of libraries apart.
"""

from collections.abc import Callable
from math import isnan, prod
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core import validate
from hdseg_gpu.core.coarse_map import grid_of
from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.locks import Lock
from hdseg_gpu.core.windows import Shape

PICTURE = "an array of shape (H, W) or (H, W, C)"
_LAZY = ("dask", "zarr")  # libraries whose arrays are not in memory


class Sliced(Protocol):
    """An array of any number of dimensions: of a file (``io.arrays``), or of a library."""

    name: str  # what messages call it
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    nbytes: int
    fortran: bool  # whether the first axis runs fastest
    chunks: tuple[int, ...] | None  # shape of what is computed together, if anything is
    own: bool  # whether slices are new arrays that nothing else uses
    decoding: int  # upper bound of the temporary bytes of one read
    held: int  # bytes that it may keep in memory after its first read

    @property
    def bytes_read(self) -> int:
        """Return the bytes fetched so far."""

    def __getitem__(self, at: Any) -> NDArray[Any]:
        """Return a part, given by one slice without a step per axis; `...` is the whole array."""

    def close(self) -> None:
        """Close its file."""


def stored_together(array: Sliced, axis: int) -> Shape:
    """Return the rows and columns that are best read together; `axis`: of channels or classes."""
    if array.chunks is not None:
        return grid_of(array.chunks, axis)
    rows, columns = grid_of(array.shape, axis)
    return (rows, 1) if array.fortran else (1, columns)


class LibraryArray:
    """An array of a library, in memory or computed part by part."""

    def __init__(
        self, name: str, array: Any, cut: Callable[[Any], NDArray[Any]], *, own: bool
    ) -> None:
        """`array` gives shape and type; `cut` returns what slices cut out of it."""
        self.name, self.own = name, own
        self.shape = tuple(int(n) for n in array.shape)
        self.dtype = np.dtype(array.dtype)
        self.nbytes = prod(self.shape) * self.dtype.itemsize
        self.fortran, self.chunks = False, getattr(array, "chunksize", None)
        self.decoding = self.held = self.bytes_read = 0
        self._cut, self._lock = cut, Lock()

    def __getitem__(self, at: Any) -> NDArray[Any]:
        """Return a part in host memory."""
        found = self._cut(at)
        with self._lock:
            self.bytes_read += found.nbytes
        return found

    def close(self) -> None:
        """Do nothing: it belongs to the caller."""


def is_of_zarr(array: Any) -> bool:
    """Return whether it is an array or a group of Zarr, which ``io.zarr_source`` reads."""
    return _library(array) == "zarr"


def is_lazy(array: Any) -> bool:
    """Return whether the values of a library's array are not in memory."""
    return _library(array) in _LAZY


def sliced(name: str, array: Any, expected: str) -> LibraryArray:
    """Return an array of any library but Zarr as one of which slices are read.

    Arrays of Dask and CuPy stay where they are: only slices are computed, or brought to host
    memory. Everything else becomes an array of NumPy, if possible without a copy.

    Parameters
    ----------
    name : str
        What messages call it.
    expected : str
        The remedy in messages: what to pass instead.

    """
    if isinstance(array, np.ndarray) and not isinstance(array, np.ma.MaskedArray) and array.size:
        return LibraryArray(name, array, array.__getitem__, own=False)
    library = _library(array)
    if library == "cupy":
        return LibraryArray(name, array, lambda at: np.asarray(array[at].get()), own=True)
    if library == "dask" and hasattr(array, "chunksize"):
        return _of_dask(name, array)
    host = _on_host(name, array, expected)
    return LibraryArray(name, host, host.__getitem__, own=False)


def _library(array: Any) -> str:
    return type(array).__module__.partition(".")[0]


def _of_dask(name: str, array: Any) -> LibraryArray:
    """Return an array whose slices are computed, each by the thread that reads it."""
    if any(isnan(n) for n in array.shape):  # NaN: not known before it is computed
        raise InvalidInput(
            f"{name} is a Dask array of unknown shape {array.shape}; call its "
            "compute_chunk_sizes() first."
        )

    def cut(at: Any) -> NDArray[Any]:
        return np.asarray(array[at].compute(scheduler="synchronous"))

    return LibraryArray(name, array, cut, own=True)


def _on_host(name: str, array: Any, expected: str) -> NDArray[Any]:
    """Return a view, where possible, of an array of another library."""
    try:
        on_device = hasattr(array, "__cuda_array_interface__")
    except RuntimeError:  # from a tensor on a device that has gradients
        on_device = True
    if on_device:
        raise InvalidInput(
            f"{name} is a {type(array).__name__} on a CUDA device; pass an array of NumPy or CuPy."
        )
    return validate.as_array(name, array, expected)
