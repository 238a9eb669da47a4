"""Writing label maps as cloud-optimised GeoTIFF: a pyramid that GDAL rearranges into a COG."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.windows import Window
from hdseg_gpu.io.formats import instead
from hdseg_gpu.io.paths import quiet
from hdseg_gpu.io.source import Georeference, LabelSource
from hdseg_gpu.io.tiff_pyramid import write_pyramid

_TILE = 512
_CACHE = 128  # MB, of GDAL


def write_cog(path: Path, labels: LabelSource, georeference: Georeference | None) -> None:
    """Write labels losslessly, with overviews of every second row and column."""
    try:
        import rasterio
        import rasterio.shutil
    except ImportError as error:
        raise InvalidInput(
            f"output {path} is a COG; run `pip install 'hdseg_gpu[geo]'` to write it, or write "
            f"{instead(lambda f: f.places and not f.extra)}."
        ) from error
    tiled = path.with_name(f"{path.name}.tiled.tif")
    summed = _Summed(labels)
    try:
        write_pyramid(tiled, summed, georeference, tile=_TILE)
        with rasterio.Env(GDAL_CACHEMAX=_CACHE), quiet():
            rasterio.shutil.copy(
                tiled, path, driver="COG", compress="deflate", blocksize=_TILE,
                resampling="nearest", overview_resampling="nearest", bigtiff="if_safer",
                num_threads="all_cpus",
            )  # fmt: skip
            _check(path, summed.sums)
    finally:
        tiled.unlink(missing_ok=True)


class _Summed:
    """Labels that record the checksum of each strip read."""

    def __init__(self, labels: LabelSource) -> None:
        self.shape, self.dtype = labels.shape, labels.dtype
        self.sums: list[int] = []
        self._labels = labels

    def read(self, window: Window) -> NDArray[Any]:
        """Return (height, width)."""
        strip = self._labels.read(window)
        dtype = np.uint8 if self.dtype.kind == "b" else self.dtype.newbyteorder("=")
        self.sums.append(zlib.crc32(np.ascontiguousarray(strip, dtype).data))
        return strip


def _opened(path: Path, **options: Any) -> Any:
    """Open a raster, without a warning if it has no georeference."""
    import rasterio

    with quiet():
        return rasterio.open(path, **options)


def _check(path: Path, sums: list[int]) -> None:
    """Read the file back, because GDAL does not report errors in writing its last bytes."""
    from rasterio.errors import RasterioError
    from rasterio.windows import Window as Part

    try:
        with _opened(path, driver="GTiff") as found:
            levels = len(found.overviews(1))
            for i, expected in enumerate(sums):
                rows = min(_TILE, found.height - i * _TILE)
                values = found.read(1, window=Part(0, i * _TILE, found.width, rows))
                if zlib.crc32(values.data) != expected:
                    raise OSError("reading it back gives other labels; is the disk full?")
        for level in range(levels):
            with _opened(path, driver="GTiff", overview_level=level) as found:
                for _, window in found.block_windows(1):
                    found.read(1, window=window)
    except RasterioError as error:
        reason = " ".join(str(error).split())
        raise OSError(f"it cannot be read back: {reason}; is the disk full?") from error
