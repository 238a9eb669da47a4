"""Windows of arrays, of libraries wherever they live, and of .npy and .npz files."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.coarse_map import grid_of
from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.memory import Budget
from hdseg_gpu.core.windows import Window
from hdseg_gpu.io import arrays
from hdseg_gpu.io.formats import require_own_axis
from hdseg_gpu.io.sliced import PICTURE, Sliced, is_of_zarr, sliced, stored_together
from hdseg_gpu.io.source import ImageSource


class ArraySource(ImageSource):
    """An array (H, W) or (H, W, C), read window by window."""

    def __init__(self, array: Sliced, channel_axis: int = -1) -> None:
        """Raise InvalidInput if it is no image. channel_axis: if it has three axes."""
        name, shape, dtype = array.name, array.shape, array.dtype
        if len(shape) not in (2, 3) or 0 in shape:
            raise InvalidInput(
                f"{name} has the shape {shape}; expected (H, W) or (H, W, C) with at least one "
                "pixel."
            )
        if dtype.kind not in "buif":
            raise InvalidInput(
                f"{name} has the dtype {dtype}; convert it to whole numbers or floats first."
            )
        self.name, self.array = name, array
        self._axis = channel_axis % 3
        self.shape = grid_of(shape, self._axis)
        self.channels = shape[self._axis] if len(shape) == 3 else 1
        self.dtype = dtype.newbyteorder("=")
        self.storage, self.levels = stored_together(array, self._axis), (self.shape,)
        self.decoding, self.held = array.decoding, array.held

    @property
    def bytes_read(self) -> int:  # type: ignore[override]
        """Return the bytes fetched so far."""
        return self.array.bytes_read

    def _read(self, window: Window) -> NDArray[Any]:
        """Return (height, width, C), which the caller may write on."""
        at: list[slice] = list(window.slices)
        if len(self.array.shape) == 3:
            at.insert(self._axis, slice(None))
        return self._pixels(tuple(at)).reshape(*window.shape, self.channels)

    def take(self) -> NDArray[Any]:
        """Return all pixels (H, W, C)."""
        if self.array.fortran:  # brought into C order part by part
            return super().take()
        return self._pixels(...).reshape(*self.shape, self.channels)

    def _pixels(self, at: Any) -> NDArray[Any]:
        """Return a part, C-contiguous and native, that nothing else uses."""
        pixels = self.array[at]
        if self.array.own and not pixels.dtype.isnative:  # in place: it may be large
            pixels = pixels.byteswap(inplace=True).view(pixels.dtype.newbyteorder("="))
        if pixels.ndim == 3:
            pixels = np.moveaxis(pixels, self._axis, -1)
        return np.array(pixels, self.dtype, order="C", copy=None if self.array.own else True)

    def close(self) -> None:
        """Close the file; its windows can no longer be read."""
        self.array.close()


def open_array(
    array: Any, name: str = "image", budget: Budget | None = None, channel_axis: int = -1
) -> ImageSource:
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
    if is_of_zarr(array):
        from hdseg_gpu.io.zarr_source import open_zarr

        require_own_axis(name, channel_axis)
        return open_zarr(array, budget=budget)
    return ArraySource(sliced(name, array, PICTURE), channel_axis)


def open_stored(
    path: Path, key: str | None = None, budget: Budget | None = None, channel_axis: int = -1
) -> ImageSource:
    """Return a source of the windows of the array of a .npy file, or one of a .npz file."""
    array = arrays.open_array(path, key, budget)
    try:
        return ArraySource(array, channel_axis)
    except BaseException:
        array.close()
        raise
