"""``refine_mask``: for a mask and an image, and nothing else."""

from typing import Any

import numpy as np

from hdseg_gpu.api import refine
from hdseg_gpu.backends.interop import given_back, home_of, on_host
from hdseg_gpu.compat.arrays import require_array
from hdseg_gpu.core.errors import InvalidInput

_PLANE = 2  # dimensions


def refine_mask(mask: Any, image: Any) -> Any:
    """Return a mask with the sharp boundaries of an image, in the terms of the mask given.

    Parameters
    ----------
    mask : array, shape (h, w)
        Bools; uint8 of 0 and 255; labels, of any other integers; or floats from 0 to 1, how likely
        the foreground is. As large as the image or smaller, with its aspect ratio.
    image : array of uint8, uint16, float32 or float64, shape (H, W) or (H, W, C)
        The image, grey or in colour.

    Returns
    -------
    array, shape (H, W)
        Of the dtype of `mask`, and of its array type, on its device. Floats are the random walker's
        probabilities of the foreground; away from boundaries they are 0 or 1.

    Raises
    ------
    InvalidInput
        The mask has other values or dimensions, or does not fit the image.
    TypeError
        An argument is no array of NumPy, CuPy or torch.

    See Also
    --------
    refine : all classes, options, and the report.

    Examples
    --------
    >>> import numpy as np
    >>> import hdseg_gpu
    >>> image = np.full((64, 64), 50, np.uint8)
    >>> image[:, 30:] = 200
    >>> mask = np.zeros((8, 8), bool)
    >>> mask[:, 4:] = True  # from column 32 on
    >>> hdseg_gpu.refine_mask(mask, image)[40, 28:33]
    array([False, False,  True,  True,  True])
    """
    mask, image = require_array("mask", mask), require_array("image", image)
    if mask.ndim != _PLANE:
        raise InvalidInput(
            f"mask has the shape {tuple(mask.shape)}; pass (h, w), and the mask before the image."
        )
    home, values = home_of(mask), np.asarray(on_host("mask", mask))
    if values.dtype.kind == "f":
        found = _soft(values, image)
    elif values.dtype.kind == "b":
        found = _labels(values.astype(np.uint8), image) != 0
    elif values.dtype.kind in "iu":
        found = _labels(values, image)
    else:
        raise InvalidInput(f"mask has the dtype {values.dtype}; pass bools, integers or floats.")
    if home.kind == "host":
        return found
    from hdseg_gpu import backends

    ops = backends.select("auto" if home.on_device else "cpu", home)
    with ops.here():
        return given_back(ops, ops.xp.asarray(found), home)


def _labels(labels: Any, image: Any) -> Any:
    """Return refined labels in host memory; none of them means "to be ignored"."""
    return on_host("labels", refine(image, labels, ignore_index=False))


def _soft(foreground: Any, image: Any) -> Any:
    """Return the refined probabilities of the foreground, in their dtype."""
    lowest, highest = float(foreground.min(initial=0)), float(foreground.max(initial=0))
    if not (lowest >= 0 and highest <= 1):  # NaN, too
        raise InvalidInput(
            f"mask has floats from {lowest:g} to {highest:g}; pass probabilities from 0 to 1, or "
            "integers for labels."
        )
    planes = np.stack([1 - foreground, foreground]).astype(np.float32)
    _, probabilities = refine(image, planes, return_probabilities=True)
    return on_host("probabilities", probabilities[1]).astype(foreground.dtype)
