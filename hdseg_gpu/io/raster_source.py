"""Windows of rasters that GDAL alone can read, JPEG 2000 and virtual mosaics say, by rasterio."""

import os
import sys
from math import prod
from pathlib import Path
from threading import local
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.locks import Lock
from hdseg_gpu.core.memory import Budget, budget_of
from hdseg_gpu.core.windows import Shape, Window
from hdseg_gpu.io.gdal import CACHE, LIBRARY, driver_for, environment
from hdseg_gpu.io.img import check_entries, check_files, check_sides
from hdseg_gpu.io.jp2_head import decoding_of
from hdseg_gpu.io.parts import part_bytes, parts_of
from hdseg_gpu.io.paths import decoding, quiet, reason_of
from hdseg_gpu.io.source import Georeference, ImageSource
from hdseg_gpu.io.stored import Stored
from hdseg_gpu.io.vrt import checked_mosaic


def open_raster(
    path: Path,
    level: int = 0,
    as_labels: bool = False,
    *,
    budget: Budget | None = None,
    trust_vrt: bool = False,
) -> ImageSource:
    """Open a raster, or one of its overviews.

    Parameters
    ----------
    path : Path
        .jp2, .img or .vrt; its format is that of the extension, whatever it holds.
    level : int
        0 is the finest one.
    as_labels : bool
        Whether a palette's indices are left as they are.
    budget : Budget, optional
        What it may take.
    trust_vrt : bool
        Whether a .vrt may read any file and address. Otherwise it may name pictures in its folder
        and below.

    """
    try:
        import rasterio  # noqa: F401
    except ImportError as error:
        raise InvalidInput(
            f"{path}: rasters of this kind are read by rasterio; run "
            "`pip install 'hdseg_gpu[geo]'`."
        ) from error
    return RasterSource(path, level, as_labels, budget or budget_of(None), trust_vrt)


class RasterSource(ImageSource):
    """A raster. GDAL's handles belong to one thread each; all are closed together.

    A forked child opens its own: the file's position would be common to both processes.
    """

    def __init__(
        self, path: Path, level: int, as_labels: bool, budget: Budget, trust_vrt: bool
    ) -> None:
        self.name = str(path)
        self._path = path
        self._level: int | None = None  # None: the finest one
        self._mine = local()
        self._all: list[tuple[Any, int]] | None = []  # None: closed
        self._lock = Lock()
        mosaic = path.suffix.lower() == ".vrt"
        self._trusted = mosaic and trust_vrt
        self._driver = driver_for(path)
        with decoding(path):
            self._what = self.name
            if mosaic and not trust_vrt:  # given to GDAL as a text of our own
                self._what, self.decoding = checked_mosaic(path, budget)
            elif not mosaic:
                with Stored(path) as file:  # no pipe, nor device
                    self.decoding = decoding_of(file) if path.suffix.lower() == ".jp2" else 0
                    if path.suffix.lower() == ".img":
                        check_entries(file)
                if path.suffix.lower() == ".img":
                    self.decoding = check_sides(path, budget)
        try:
            # GDAL opens overviews and masks when it is asked for them.
            with decoding(path), environment(self._trusted):
                self._describe(level, as_labels, budget)
        except BaseException:
            self.close()
            raise

    def _describe(self, level: int, as_labels: bool, budget: Budget) -> None:
        finest = self._handle()
        if not self._trusted and self._driver != "VRT":
            check_files(self._path, finest.files)
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
        self.held = CACHE
        pixel = self._bands * self._stored.itemsize
        tile = max((tuple(map(int, shape)) for shape in raster.block_shapes), key=prod)
        # GDAL decodes whole tiles, also those that reach far beyond the picture.
        self.decoding += 2 * part_bytes(self.storage, pixel) + prod(tile) * pixel
        library = 0 if "rasterio" in sys.modules else LIBRARY
        budget.require(
            self.held + self.decoding + library,
            f"{self.name}: decoding a tile of {tile[0]} x {tile[1]} pixels",
            "save it with smaller tiles",
        )

    def _read(self, window: Window) -> NDArray[Any]:
        """Return the bands of a window, channels last."""
        from rasterio.windows import Window as Part

        raster = self._handle()
        pixels = np.empty((*window.shape, self.channels), self.dtype)
        for part in parts_of(window, self.storage, self._bands * self._stored.itemsize):
            area = Part(part.left, part.top, part.width, part.height)
            # GDAL leaves what a mosaic's sources do not reach as it is, now and then.
            bands = np.zeros((self._bands, *part.shape), self._stored)
            try:
                with environment(self._trusted):
                    raster.read(window=area, out=bands)
            except Exception as error:  # rasterio's, and those of what GDAL passes on
                self._drop(raster)  # GDAL would give half a tile the next time
                # rasterio says "Read failed. See previous exception for details."
                reason = reason_of(error.__cause__ or error)
                raise InvalidInput(
                    f"{self.name}: rows {part.top} to {part.bottom - 1}, columns {part.left} to "
                    f"{part.right - 1} cannot be read, the file may be damaged or cut short: "
                    f"{reason}"
                ) from error
            target = pixels[part.relative_to(window).slices]
            target[...] = (
                np.moveaxis(bands, 0, -1) if self._colours is None else self._colours[bands[0]]
            )
            with self._lock:
                self.bytes_read += bands.nbytes  # decoded ones; GDAL does not tell the stored ones
        return pixels

    def close(self) -> None:
        """Close the handles of all threads."""
        with self._lock:
            handles, self._all = self._all or (), None
        for handle, process in handles:
            if process == os.getpid():  # a parent's locks may be held
                with environment(self._trusted):
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

    def _drop(self, handle: Any) -> None:
        """Close this thread's handle; the next read opens another one."""
        self._mine.handle = None, 0
        with self._lock:
            if self._all is None or (handle, os.getpid()) not in self._all:
                return
            self._all.remove((handle, os.getpid()))
        with environment(self._trusted):
            handle.close()

    def _opened(self) -> Any:
        import rasterio

        chosen = {} if self._level is None else {"OVERVIEW_LEVEL": self._level}
        # A picture that lies nowhere, of which rasterio warns, is a picture all the same.
        with decoding(self._path), environment(self._trusted), quiet():
            return rasterio.open(self._what, driver=self._driver, **chosen)


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
    if np.dtype(raster.dtypes[0]) not in (np.uint8, np.uint16):
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
