"""Opening images of any size, to be read window by window."""

import os
from pathlib import Path
from typing import Any

from hdseg_gpu.core import checks
from hdseg_gpu.core.calls import stating
from hdseg_gpu.core.errors import InvalidInput, shown
from hdseg_gpu.core.memory import Budget, budget_of
from hdseg_gpu.core.validate import axis_of
from hdseg_gpu.io.formats import (
    Format,
    keyed,
    loaded,
    names,
    require_own_axis,
    said_of_reading,
    sliced,
)
from hdseg_gpu.io.paths import format_to_read
from hdseg_gpu.io.source import ImageSource


@stating(formats=said_of_reading(), keyed=names(keyed()), sliced=names(sliced()))
def open_image(
    image: Any,
    *,
    level: int = 0,
    key: str | None = None,
    channel_axis: int = -1,
    max_memory: float | None = None,
    trust_vrt: bool = False,
) -> ImageSource:
    """Return an image that is read window by window.

    Parameters
    ----------
    image : path, or array
        {formats}
    level : int
        Resolution level, 0 is the finest.
    key : str, optional
        Name of an array, for formats that hold several: {keyed}.
    channel_axis : int
        Axis of the channels, for arrays and array files: {sliced}.
    max_memory : float, optional
        Limit of the resident memory of this process, in bytes. The memory that decoding needs is
        known from the header and checked before anything is decoded. Default: half of what is free.
    trust_vrt : bool
        Whether a virtual mosaic (.vrt) may read any file and address that it names. Otherwise it
        may name images in its own folder and below.

    Returns
    -------
    ImageSource
        With `shape`, `channels`, `dtype`, `levels`, `georeference`, and `read(window)`; close it,
        or use it in a with statement.

    Raises
    ------
    InvalidInput
        The image cannot be read; the message gives the reason and the remedy.

    Examples
    --------
    >>> import numpy as np
    >>> import hdseg_gpu
    >>> array = np.arange(12, dtype=np.uint8).reshape(3, 4)
    >>> with hdseg_gpu.open_image(array) as image:
    ...     pixels = image.read(hdseg_gpu.Window(1, 0, 2, 3))
    >>> pixels[..., 0]
    array([[ 4,  5,  6],
           [ 8,  9, 10]], dtype=uint8)
    """
    budget = budget_of(checks.memory("max_memory", max_memory))
    trust_vrt = checks.switch("trust_vrt", trust_vrt)
    return open_within(
        budget, image, level=level, key=key, channel_axis=channel_axis, trust_vrt=trust_vrt
    )


def open_within(
    budget: Budget,
    image: Any,
    *,
    level: int = 0,
    key: str | None = None,
    channel_axis: int = -1,
    trust_vrt: bool = False,
    later: bool = False,
    as_labels: bool = False,
    class_axis: int | None = None,
) -> ImageSource:
    """Return an image as ``open_image`` does, within a memory budget.

    Parameters
    ----------
    later : bool
        Whether an image without random access is decoded only at its first read.
    as_labels : bool
        Whether the indices of a colour palette are left as they are; otherwise they become colours.
    class_axis : int, optional
        Of a coarse map: which axis has the classes, where an array does not say so itself.

    """
    level = checks.integer("level", level, 0)
    checks.text("key", key)
    channel_axis = axis_of("channel_axis", channel_axis)
    if not isinstance(image, str | os.PathLike):
        from hdseg_gpu.io.array_source import open_array

        if level != 0 or key is not None:
            raise InvalidInput(
                f"level={shown(level)} and key={shown(key)} are for files, but the image is an "
                "array; pass neither."
            )
        return open_array(image, budget=budget, channel_axis=channel_axis)
    path = checks.path("image", image)
    chosen = format_to_read(path)
    check_key(path, chosen, key)
    if level != 0 and "level" not in chosen.takes:
        raise InvalidInput(f"{path} has one resolution; level={shown(level)} must be 0.")
    if "channel_axis" not in chosen.takes:
        require_own_axis(str(path), channel_axis)
    assert chosen.read is not None
    options = {
        "budget": budget, "level": level, "key": key, "trust_vrt": trust_vrt, "later": later,
        "as_labels": as_labels, "class_axis": class_axis, "channel_axis": channel_axis,
    }  # fmt: skip
    taken = {name: options[name] for name in chosen.takes}
    source: ImageSource = loaded(chosen.read)(path, **taken)
    return source


def check_key(path: Path, chosen: Format, key: str | None) -> None:
    """Raise InvalidInput if a key is given for a format without named arrays."""
    if key is not None and "key" not in chosen.takes:
        raise InvalidInput(
            f"{path} has no named arrays, as {names(keyed())} have: key={shown(key)} does not "
            "apply; pass no key."
        )
