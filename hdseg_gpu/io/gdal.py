"""The environment in which GDAL runs: it opens the named file and nothing else."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.memory import MiB
from hdseg_gpu.io.source import Georeference

CACHE = 32 * MiB  # of decoded blocks; GDAL's default is a fraction of the machine's memory
LIBRARY = 40 * MiB  # memory of rasterio and GDAL themselves
# Without a driver GDAL goes by content: a .jp2 with the text of a virtual mosaic reads other files.
_DRIVERS = {
    ".jp2": ("JP2OpenJPEG", "JP2KAK", "JP2ECW", "JP2MrSID", "JPEG2000"),
    ".img": ("HFA",),
    ".png": ("PNG",),
    ".vrt": ("VRT",),
}
_OPTIONS = {
    "GDAL_CACHEMAX": CACHE,
    # No sidecar files: GDAL would open them by content, too. The driver of .img still asks for an
    # .ovr and a .msk.
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": False,  # nor are any written
    "GDAL_VRT_ENABLE_PYTHON": "NO",
    "GDAL_VRT_ENABLE_RAWRASTERBAND": "NO",
    # No network, whatever names a file contains: no URL ends in this extension.
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".nothing-is-fetched",
    "CPL_VSIL_CURL_ALLOWED_FILENAME": "/nothing-is-fetched",
    "GDAL_HTTP_TIMEOUT": 1,
    "GDAL_HTTP_MAX_RETRY": 0,
    "GDAL_HTTP_PROXY": "http://127.0.0.1:9",
}


def environment(trusted: bool = False) -> Any:
    """Return the context in which GDAL runs; `trusted` files may name any other file or address."""
    import rasterio

    if trusted:
        return rasterio.Env(GDAL_CACHEMAX=CACHE, GDAL_PAM_ENABLED=False)
    return rasterio.Env(**_OPTIONS)


def driver_for(path: Path) -> str:
    """Return the first available driver that opens a file of this extension."""
    suffix = path.suffix.lower()
    with environment() as env:
        known = env.drivers()
    for name in _DRIVERS[suffix]:
        if name in known:
            return name
    raise InvalidInput(f"{path}: this rasterio cannot read {suffix} files; convert it to GeoTIFF.")


def geotiff_at(where: Georeference) -> bytes | None:
    """Return a one-pixel GeoTIFF whose tags hold the georeference.

    None without rasterio, without a transform, or for a CRS unknown to GDAL.
    """
    if where.transform is None or find_spec("rasterio") is None:
        return None
    import rasterio

    pixel = {"driver": "GTiff", "height": 1, "width": 1, "count": 1, "dtype": "uint8"}
    place = {"crs": where.crs, "transform": rasterio.Affine(*where.transform)}
    try:
        with environment(), rasterio.MemoryFile() as file:
            with file.open(**pixel, **place):
                pass
            content: bytes = file.read()
    except rasterio.errors.RasterioError:
        return None
    return content
