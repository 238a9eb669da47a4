"""Label maps as cloud-optimised GeoTIFF, by GDAL: first tiled, then in the order of a COG."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.io.pyramid import strips
from hdseg_gpu.io.source import Georeference, LabelSource

_TILE = 512
_CACHE = 128  # MB, of GDAL


def write_cog(path: Path, labels: LabelSource, georeference: Georeference | None) -> None:
    """Write labels without loss, with overviews of every second row and column."""
    try:
        import rasterio
        import rasterio.shutil
        from rasterio.errors import NotGeoreferencedWarning
        from rasterio.transform import Affine
        from rasterio.windows import Window
    except ImportError as error:
        raise InvalidInput(
            f"output {path} is a COG; run `pip install 'hdseg_gpu[geo]'` to write it, or name it "
            ".tif without .cog."
        ) from error
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
        with rasterio.Env(GDAL_CACHEMAX=_CACHE), warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(tiled, "w", **profile) as output:
                top = 0
                for strip in strips(labels, _TILE):
                    rows, columns = strip.shape
                    values = strip.astype(dtype, copy=False)
                    output.write(values, 1, window=Window(0, top, columns, rows))
                    top += rows
            rasterio.shutil.copy(
                tiled, path, driver="COG", compress="deflate", blocksize=_TILE,
                resampling="nearest", overview_resampling="nearest", bigtiff="if_safer",
                num_threads="all_cpus",
            )  # fmt: skip
    finally:
        tiled.unlink(missing_ok=True)
