"""Windows of arrays, wherever they live, and of .npy and .npz files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.locks import Lock
from hdseg_gpu.core.memory import Budget
from hdseg_gpu.core.windows import Shape, Window
from hdseg_gpu.io.arrays import read_array
from hdseg_gpu.io.npy import TURNED, Npy
from hdseg_gpu.io.paths import decoding
from hdseg_gpu.io.source import ImageSource

# Returns what the slices (rows, columns) cut out of the array, as a NumPy array.
_Cut = Callable[[tuple[slice, slice]], NDArray[Any]]


class ArraySource(ImageSource):
    """An array (H, W) or (H, W, C) of which windows are cut and brought to NumPy one by one."""

    def __init__(self, name: str, array: Any, cut: _Cut, storage: tuple[int, ...] = (1, 1)) -> None:
        """`array` tells shape and dtype; it is not kept, unless `cut` does so."""
        self.name = name
        self.shape, self.channels, self.dtype = _described(name, array)
        self.storage = int(storage[0]), int(storage[1])
        self.levels = (self.shape,)
        self.cut = cut
        self._lock = Lock()

    def _read(self, window: Window) -> NDArray[Any]:
        """Return a copy of the window, (height, width, C)."""
        pixels = self.cut(window.slices)
        # a copy also of what is contiguous already: a caller may write on it
        copy = np.array(pixels, dtype=self.dtype, order="C", copy=True)
        with self._lock:
            self.bytes_read += copy.nbytes
        return copy.reshape(*window.shape, self.channels)


def _described(name: str, array: Any) -> tuple[Shape, int, np.dtype[Any]]:
    """Return the size, channels and native dtype of an array that is a picture."""
    shape = tuple(int(n) for n in array.shape)
    dtype = np.dtype(array.dtype)
    if len(shape) not in (2, 3) or 0 in shape:
        raise InvalidInput(
            f"{name} has the shape {shape}; expected (H, W) or (H, W, C) with at least one pixel."
        )
    if dtype.kind not in "buif":
        raise InvalidInput(
            f"{name} has the dtype {dtype}; convert it to whole numbers or floats first."
        )
    return (shape[0], shape[1]), shape[2] if len(shape) == 3 else 1, dtype.newbyteorder("=")


def open_array(array: Any, name: str = "image", budget: Budget | None = None) -> ImageSource:
    """Return a source of an array's windows.

    Parameters
    ----------
    array : NumPy, Zarr, Dask or CuPy array, or what ``numpy.asarray`` takes
        (H, W) or (H, W, C); views, memory maps and foreign byte orders are fine. Zarr, Dask and
        CuPy arrays stay where they are: only windows are brought to NumPy. A Dask array is computed
        by the thread that reads, so that the threads of a run are not multiplied. A memory map is
        the system's: if its file is cut short meanwhile, the process dies. Pass the file itself.
    name : str
        What messages call it.
    budget : Budget, optional
        What a chunk of a Zarr array may take.

    """
    if isinstance(array, np.ndarray):
        return ArraySource(name, array, array.__getitem__)
    library = type(array).__module__.partition(".")[0]
    if library == "zarr":
        from hdseg_gpu.io.zarr_source import open_zarr

        return open_zarr(array, budget=budget)
    if library == "dask" and hasattr(array, "chunksize"):
        return _of_dask(array, name)
    if library == "cupy":
        return ArraySource(name, array, lambda at: np.asarray(array[at].get()))
    host = _on_host(array, name)
    return ArraySource(name, host, host.__getitem__)


def _of_dask(array: Any, name: str) -> ImageSource:
    """Return a source that computes windows, each by the thread that reads it."""
    if any(np.isnan(n) for n in array.shape):  # NaN: not known before it is computed
        raise InvalidInput(
            f"{name} is a Dask array of unknown shape {array.shape}; call its "
            "compute_chunk_sizes() first."
        )

    def cut(at: tuple[slice, slice]) -> NDArray[Any]:
        return np.asarray(array[at].compute(scheduler="synchronous"))

    return ArraySource(name, array, cut, array.chunksize[:2])


def _on_host(array: Any, name: str) -> NDArray[Any]:
    """Return a view, where possible, of an array of another library."""
    try:
        return np.asarray(array)
    except (TypeError, ValueError, RuntimeError) as error:  # a tensor on a GPU, or with gradients
        reason = " ".join(str(error).split())
        raise InvalidInput(
            f"{name} is a {type(array).__name__} that NumPy cannot take ({reason}); pass a NumPy "
            "array of it."
        ) from error


class NpySource(ImageSource):
    """The array (H, W) or (H, W, C) of a .npy file."""

    def __init__(self, path: Path) -> None:
        with decoding(path):
            self._npy = npy = Npy(path)
        try:
            self.shape, self.channels, self.dtype = _described(str(path), npy)
        except BaseException:
            npy.close()
            raise
        self.name = str(path)
        # Fortran order stores columns together, the usual order rows.
        self.storage = (self.shape[0], 1) if npy.fortran else (1, self.shape[1])
        self.levels = (self.shape,)
        self.decoding = TURNED if npy.fortran else 0

    @property
    def bytes_read(self) -> int:  # type: ignore[override]
        """Return the bytes fetched so far."""
        return self._npy.bytes_read

    def _read(self, window: Window) -> NDArray[Any]:
        pixels = self._npy[window.slices]
        if not pixels.dtype.isnative:
            pixels = pixels.byteswap(inplace=True).view(self.dtype)
        return pixels.reshape(*window.shape, self.channels)

    def close(self) -> None:
        """Close the file; windows can no longer be read."""
        self._npy.close()


def open_npy(path: Path) -> ImageSource:
    """Return a source of the windows of a .npy file."""
    if not path.is_file():
        raise InvalidInput(f"{path} does not exist, or is not a file.")
    return NpySource(path)


def open_npz(path: Path, key: str | None = None, budget: Budget | None = None) -> ImageSource:
    """Return a source of the windows of an array of a .npz file, which is unpacked into memory."""
    array = read_array(path, key, budget)
    return ArraySource(str(path), array, array.__getitem__)
