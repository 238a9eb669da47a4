"""Opening images of any size, by extension: windows are read as they are needed."""

import os
from pathlib import Path
from typing import Any

from hdseg_gpu.core import checks
from hdseg_gpu.core.errors import InvalidInput, shown
from hdseg_gpu.core.memory import Budget, budget_of
from hdseg_gpu.core.windows import Shape
from hdseg_gpu.io.paths import (
    LARGE,
    PICTURES,
    RASTERS,
    SLIDES,
    TIFFS,
    existing_suffix,
    is_zarr,
    quiet,
)  # fmt: skip
from hdseg_gpu.io.source import ImageSource


def open_image(
    image: Any,
    *,
    level: int = 0,
    key: str | None = None,
    max_memory: float | None = None,
    trust_vrt: bool = False,
) -> ImageSource:
    """Return an image of which windows are read as they are needed.

    Parameters
    ----------
    image : path, or array
        TIFF, BigTIFF, OME-TIFF, GeoTIFF, COG, SVS; other slides (OpenSlide) and rasters (rasterio);
        Zarr v2 and v3, OME-Zarr 0.4 and 0.5; PNG, JPEG; .npy; arrays of NumPy, CuPy, Zarr, Dask.
        The extension decides what a file is read as, whatever it holds.
    level : int
        Resolution level, 0 the finest.
    key : str, optional
        Name of an array in a Zarr group.
    max_memory : float, optional
        Bytes that this process may occupy. What its header says that decoding takes is held against
        it before anything is decoded. Default: half of what is free.
    trust_vrt : bool
        Whether a virtual mosaic (.vrt) may read any file and address that it names. Otherwise it
        may name pictures in its own folder and below.

    Returns
    -------
    ImageSource
        With `shape`, `channels`, `dtype`, `levels`, `georeference`, and `read(window)`; to be
        closed, or used in a with statement.

    Raises
    ------
    InvalidInput
        The image cannot be read; the message says why, and what to do.
    """
    budget = budget_of(checks.memory("max_memory", max_memory))
    trust_vrt = checks.switch("trust_vrt", trust_vrt)
    return open_within(budget, image, level=level, key=key, trust_vrt=trust_vrt)


def open_within(
    budget: Budget,
    image: Any,
    *,
    level: int = 0,
    key: str | None = None,
    trust_vrt: bool = False,
    later: bool = False,
) -> ImageSource:
    """Return an image as ``open_image`` does, within a budget of memory.

    later: whether a picture that has no random access is decoded when it is first read, and not
    before.
    """
    level = checks.integer("level", level, 0)
    checks.text("key", key)
    if not isinstance(image, str | os.PathLike):
        from hdseg_gpu.io.array_source import open_array

        if level != 0 or key is not None:
            raise InvalidInput(
                f"level={shown(level)} and key={shown(key)} are for files; the image is an array, "
                "pass neither."
            )
        return open_array(image, budget=budget)
    path = checks.path("image", image)
    if is_zarr(path):
        from hdseg_gpu.io.zarr_source import open_zarr

        return open_zarr(path, level, key, budget)
    suffix = existing_suffix(path, LARGE)
    if key is not None:
        raise InvalidInput(
            f"{path} is no Zarr group, so it holds no array {shown(key)}; pass no key."
        )
    if later and suffix in PICTURES and level == 0:
        from hdseg_gpu.io.picture_source import PictureLater

        return PictureLater(path, budget)
    return _by_suffix(path, suffix, level, budget, trust_vrt)


def size_of(path: Path, budget: Budget | None = None, trust_vrt: bool = False) -> Shape | None:
    """Return (H, W) of an image file without reading its pixels; None for a .npz file."""
    if path.suffix.lower() == ".npz":
        return None
    if not is_zarr(path) and existing_suffix(path, LARGE) in PICTURES:
        from hdseg_gpu.io.png_jpeg import size_of_picture

        return size_of_picture(path)
    # Who opens it to read says again what there is to warn of.
    with quiet(), open_within(budget or budget_of(None), path, trust_vrt=trust_vrt) as source:
        return source.shape


def _by_suffix(path: Path, suffix: str, level: int, budget: Budget, trust_vrt: bool) -> ImageSource:
    if suffix in TIFFS:
        from hdseg_gpu.io.tiff_source import open_tiff

        return open_tiff(path, level, budget=budget)
    if suffix in SLIDES:
        return _slide(path, suffix, level, budget)
    if suffix in RASTERS:
        from hdseg_gpu.io.raster_source import open_raster

        return open_raster(path, level, budget=budget, trust_vrt=trust_vrt)
    if level != 0:
        raise InvalidInput(f"{path} has one resolution; level={shown(level)} is not there, pass 0.")
    if suffix in PICTURES:
        from hdseg_gpu.io.picture_source import open_picture

        return open_picture(path, budget=budget)
    from hdseg_gpu.io.array_source import open_npy

    return open_npy(path)


def _slide(path: Path, suffix: str, level: int, budget: Budget) -> ImageSource:
    """Return a slide: Aperio's are TIFFs, and read as such if they can be."""
    from hdseg_gpu.io.slide_source import open_slide
    from hdseg_gpu.io.tiff_source import open_tiff

    if suffix == ".svs":
        try:
            return open_tiff(path, level, budget=budget)
        except InvalidInput:
            pass
    return open_slide(path, level, budget)
