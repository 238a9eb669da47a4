"""Windows of rasters that GDAL alone can read, JPEG 2000 and virtual mosaics say, by rasterio."""

import os
import warnings
from pathlib import Path
from threading import local
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.locks import Lock
from hdseg_gpu.core.windows import Shape, Window
from hdseg_gpu.io.source import Georeference, ImageSource

_warnings = Lock()  # what warnings.catch_warnings changes belongs to all threads


def open_raster(path: Path, level: int = 0, as_labels: bool = False) -> ImageSource:
    """Open a raster, or one of its overviews; `as_labels` leaves a palette's indices."""
    try:
        import rasterio
    except ImportError as error:
        raise InvalidInput(
            f"{path}: rasters of this kind are read by rasterio; run "
            "`pip install 'hdseg_gpu[geo]'`."
        ) from error
    try:
        return RasterSource(path, level, as_labels)
    except rasterio.errors.RasterioError as error:
        raise InvalidInput(
            f"{path} cannot be read, it may be damaged or cut short: {error}"
        ) from error


class RasterSource(ImageSource):
    """A raster. GDAL's handles belong to one thread each; all are closed together.

    A forked child opens its own: the file's position would be common to both processes.
    """

    def __init__(self, path: Path, level: int, as_labels: bool) -> None:
        self.name = str(path)
        self._level: int | None = None  # None: the finest one
        self._mine = local()
        self._all: list[tuple[Any, int]] | None = []  # None: closed
        self._lock = Lock()
        try:
            self._describe(level, as_labels)
        except BaseException:
            self.close()
            raise

    def _describe(self, level: int, as_labels: bool) -> None:
        finest = self._handle()
        full = (int(finest.height), int(finest.width))
        factors = finest.overviews(1)
        # GDAL rounds the sizes of overviews up.
        self.levels = (full, *((-(-full[0] // n), -(-full[1] // n)) for n in factors))
        if not 0 <= level < len(self.levels):
            known = ", ".join(f"{i} ({h} x {w})" for i, (h, w) in enumerate(self.levels))
            raise InvalidInput(f"{self.name} has no level {level}; its levels are {known}.")
        place = _place(finest)  # overviews of what lies nowhere have random numbers here
        if level > 0:
            self._level = level - 1
            finest.close()
            self._mine = local()
        raster = self._handle()
        self.shape = (int(raster.height), int(raster.width))
        self.levels = tuple(self.shape if i == level else s for i, s in enumerate(self.levels))
        self._bands, self._stored = int(raster.count), _one_type(raster, self.name)
        self._colours = None if as_labels else _palette(raster)
        self.channels = self._bands if self._colours is None else 3
        self.dtype = self._stored if self._colours is None else np.dtype(np.uint8)
        self.alpha = any(colour.name == "alpha" for colour in raster.colorinterp)
        self.storage = _storage(raster.block_shapes[0], self.shape)
        self.georeference = place and _scaled(place, full, self.shape)

    def _read(self, window: Window) -> NDArray[Any]:
        """Return the bands of a window, channels last."""
        import rasterio
        from rasterio.windows import Window as Part

        raster = self._handle()
        bands = np.empty((self._bands, *window.shape), self._stored)
        part = Part(window.left, window.top, window.width, window.height)
        try:
            raster.read(out=bands, window=part)
        except rasterio.errors.RasterioError as error:
            # rasterio says "Read failed. See previous exception for details."
            reason = " ".join(str(error.__cause__ or error).split())
            raise InvalidInput(
                f"{self.name}: rows {window.top} to {window.bottom - 1}, columns {window.left} to "
                f"{window.right - 1} cannot be read, the file may be damaged or cut short: {reason}"
            ) from error
        with self._lock:
            self.bytes_read += bands.nbytes  # decoded ones; GDAL does not tell the stored ones
        if self._colours is not None:
            colours: NDArray[np.uint8] = self._colours[bands[0]]
            return colours
        return np.ascontiguousarray(np.moveaxis(bands, 0, -1))

    def close(self) -> None:
        """Close the handles of all threads."""
        with self._lock:
            handles, self._all = self._all or (), None
        for handle, process in handles:
            if process == os.getpid():  # a parent's locks may be held
                handle.close()

    def _handle(self) -> Any:
        """Return this thread's handle."""
        if self._all is None:
            raise InvalidInput(f"{self.name} is closed; open it again to read it.")
        handle, process = getattr(self._mine, "handle", (None, 0))
        if process != os.getpid():
            handle = self._opened()
            self._mine.handle = handle, os.getpid()
            with self._lock:
                if self._all is None:
                    handle.close()
                    raise InvalidInput(f"{self.name} is closed; open it again to read it.")
                self._all.append((handle, os.getpid()))
        return handle

    def _opened(self) -> Any:
        import rasterio

        chosen = {} if self._level is None else {"OVERVIEW_LEVEL": self._level}
        with _warnings, warnings.catch_warnings():
            # A picture that lies nowhere is a picture all the same.
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            return rasterio.open(self.name, **chosen)


def _one_type(raster: Any, name: str) -> np.dtype[Any]:
    types = sorted(set(raster.dtypes))
    if len(types) > 1:
        raise InvalidInput(
            f"{name} has bands of the types {', '.join(types)}; convert them to one, with "
            "gdal_translate -ot say."
        )
    stored: np.dtype[Any] = np.dtype(types[0])
    return stored


def _palette(raster: Any) -> NDArray[np.uint8] | None:
    """Return the colours of all indices, None where pixels are no indices."""
    if raster.count != 1 or raster.colorinterp[0].name != "palette":
        return None
    found = raster.colormap(1)
    size = 1 << 8 * np.dtype(raster.dtypes[0]).itemsize
    colours = np.zeros((size, 3), np.uint8)
    for index, colour in found.items():
        colours[index] = colour[:3]
    return colours


def _storage(block: Shape, shape: Shape) -> Shape:
    return min(int(block[0]), shape[0]), min(int(block[1]), shape[1])


def _place(raster: Any) -> Georeference | None:
    """Return the transform and reference system; GDAL's identity says that there is none."""
    if raster.transform.is_identity:
        return None
    code = raster.crs.to_epsg() if raster.crs else None
    crs = f"EPSG:{code}" if code else (raster.crs.to_wkt() if raster.crs else None)
    a, b, c, d, e, f = (float(v) for v in raster.transform[:6])
    return Georeference((a, b, c, d, e, f), crs)


def _scaled(place: Georeference, full: Shape, here: Shape) -> Georeference:
    assert place.transform is not None
    a, b, c, d, e, f = place.transform
    rows, columns = full[0] / here[0], full[1] / here[1]
    return Georeference((a * columns, b * rows, c, d * columns, e * rows, f), place.crs)
