"""Opening images of any size: windows are read as they are needed."""

import os
from pathlib import Path
from typing import Any

from hdseg_gpu.core import checks
from hdseg_gpu.core.errors import InvalidInput, shown
from hdseg_gpu.core.memory import Budget, budget_of
from hdseg_gpu.io.formats import Format, loaded, names, readable
from hdseg_gpu.io.paths import format_to_read
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
        Zarr v2 and v3, OME-Zarr 0.4 and 0.5; PNG, JPEG; .npy, .npz; arrays of NumPy, CuPy, Zarr,
        Dask.
        The extension decides what a file is read as, whatever it holds.
    level : int
        Resolution level, 0 the finest.
    key : str, optional
        Name of an array in a Zarr group or .npz file.
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
    as_labels: bool = False,
    class_axis: int | None = None,
) -> ImageSource:
    """Return an image as ``open_image`` does, within a budget of memory.

    Parameters
    ----------
    later : bool
        Whether a picture that has no random access is decoded when it is first read.
    as_labels : bool
        Whether the indices of a colour palette are left as they are; otherwise they become colours.
    class_axis : int, optional
        Of a coarse map: which axis has the classes, where an array does not say so itself.

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
    chosen = format_to_read(path)
    check_key(path, chosen, key)
    if level != 0 and "level" not in chosen.takes:
        raise InvalidInput(f"{path} has one resolution; level={shown(level)} is not there, pass 0.")
    assert chosen.read is not None
    options = {
        "budget": budget, "level": level, "key": key, "trust_vrt": trust_vrt, "later": later,
        "as_labels": as_labels, "class_axis": class_axis,
    }  # fmt: skip
    taken = {name: options[name] for name in chosen.takes}
    source: ImageSource = loaded(chosen.read)(path, **taken)
    return source


def check_key(path: Path, chosen: Format, key: str | None) -> None:
    """Refuse the name of an array for a file that has no arrays with names."""
    if key is not None and "key" not in chosen.takes:
        keyed = names([each for each in readable() if "key" in each.takes])
        raise InvalidInput(
            f"{path} holds no named arrays, as {keyed} do: there is no {shown(key)}; pass no key."
        )
