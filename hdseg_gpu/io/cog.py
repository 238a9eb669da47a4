"""Label maps as cloud-optimised GeoTIFF, by GDAL: first tiled, then in the order of a COG."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.io.paths import quiet
from hdseg_gpu.io.pyramid import strips
from hdseg_gpu.io.source import Georeference, LabelSource

_TILE = 512
_CACHE = 128  # MB, of GDAL


def write_cog(path: Path, labels: LabelSource, georeference: Georeference | None) -> None:
    """Write labels without loss, with overviews of every second row and column."""
    try:
        import rasterio
        import rasterio.shutil
        from rasterio.transform import Affine
        from rasterio.windows import Window
    except ImportError as error:
        raise InvalidInput(
            f"output {path} is a COG; run `pip install 'hdseg_gpu[geo]'` to write it, or name it "
            ".tif without .cog."
        ) from error
    sums: list[int] = []  # of the strips
    tiled = path.with_name(f"{path.name}.tiled.tif")
    dtype = np.dtype(np.uint8) if labels.dtype.kind == "b" else labels.dtype
    profile: dict[str, Any] = {
        "driver": "GTiff", "height": labels.shape[0], "width": labels.shape[1], "count": 1,
        "dtype": dtype.name, "tiled": True, "blockxsize": _TILE, "blockysize": _TILE,
        "compress": "deflate", "bigtiff": "if_safer",
    }  # fmt: skip
    if georeference is not None:
        if georeference.crs is not None:
            profile["crs"] = georeference.crs
        if georeference.transform is not None:
            profile["transform"] = Affine(*georeference.transform)
    try:
        with rasterio.Env(GDAL_CACHEMAX=_CACHE):
            with _opened(tiled, "w", **profile) as output:
                top = 0
                for strip in strips(labels, _TILE):
                    rows, columns = strip.shape
                    values = np.ascontiguousarray(strip, dtype)
                    sums.append(zlib.crc32(values.data))
                    output.write(values, 1, window=Window(0, top, columns, rows))
                    top += rows
            with quiet():
                rasterio.shutil.copy(
                    tiled, path, driver="COG", compress="deflate", blocksize=_TILE,
                    resampling="nearest", overview_resampling="nearest", bigtiff="if_safer",
                    num_threads="all_cpus",
                )  # fmt: skip
            _check(path, sums)
    finally:
        tiled.unlink(missing_ok=True)


def _opened(path: Path, mode: str = "r", **options: Any) -> Any:
    """Open a raster that may lie nowhere, which is no news."""
    import rasterio

    with quiet():
        return rasterio.open(path, mode, **options)


def _check(path: Path, sums: list[int]) -> None:
    """Read the file, as GDAL does not say whether its last bytes found a place on the disk."""
    from rasterio.errors import RasterioError
    from rasterio.windows import Window

    try:
        with _opened(path, driver="GTiff") as found:
            levels = len(found.overviews(1))
            for i, expected in enumerate(sums):
                rows = min(_TILE, found.height - i * _TILE)
                values = found.read(1, window=Window(0, i * _TILE, found.width, rows))
                if zlib.crc32(values.data) != expected:
                    raise OSError("what was written is not what is read; is the disk full?")
        for level in range(levels):
            with _opened(path, driver="GTiff", overview_level=level) as found:
                for _, window in found.block_windows(1):
                    found.read(1, window=window)
    except RasterioError as error:
        reason = " ".join(str(error).split())
        raise OSError(f"it cannot be read again: {reason}; is the disk full?") from error
