"""Contestants of thinning: a mask and its complement, each thinned, as (2, H, W) bools.

Every pass of a peer costs the same, whatever the mask; so a peer may run only `measured` passes and
extrapolate the time of the others.
"""

from collections.abc import Callable
from time import perf_counter
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_hit_or_miss

from hdseg_gpu import thinning

Mask = NDArray[np.bool_]
Thinned = tuple[Mask, dict[str, Any]]


def by_ours(mask: Mask, elements: NDArray[np.int8], *, passes: int) -> Thinned:
    """Return both planes thinned by hdseg_gpu."""
    return np.stack([thinning(plane, elements, passes) for plane in (mask, ~mask)]), {}


def by_scipy(mask: Mask, elements: NDArray[np.int8], *, passes: int, measured: int) -> Thinned:
    """Return both planes thinned by SciPy; edges are repeated by padding, renewed in each pass."""
    r = elements.shape[1] // 2
    inner = np.s_[r:-r, r:-r]

    def remove(x: Mask, element: NDArray[np.int8]) -> Mask:
        padded = np.pad(x, r, mode="edge")
        return x & ~binary_hit_or_miss(padded, element == 1, element == -1)[inner]

    return _run(remove, mask, elements, passes, measured)


def by_opencv(mask: Mask, elements: NDArray[np.int8], *, passes: int, measured: int) -> Thinned:
    """Return both planes thinned by OpenCV."""

    def remove(x: Mask, element: NDArray[np.int8]) -> Mask:
        bytes_ = x.view(np.uint8)
        matched = cv2.morphologyEx(
            bytes_, cv2.MORPH_HITMISS, element.astype(np.int32), borderType=cv2.BORDER_REPLICATE
        )
        return (bytes_ - (matched != 0)).view(np.bool_)

    return _run(remove, mask, elements, passes, measured)


def _run(
    remove: Callable[[Mask, NDArray[np.int8]], Mask],
    mask: Mask,
    elements: NDArray[np.int8],
    passes: int,
    measured: int,
) -> Thinned:
    start = perf_counter()
    planes = []
    for plane in (mask, ~mask):
        x = plane
        for _ in range(measured):
            for element in elements:
                x = remove(x, element)
        planes.append(x)
    if measured == passes:
        return np.stack(planes), {}
    seconds = perf_counter() - start
    remarks = {
        "unmeasured": seconds * (passes - measured) / measured,
        "scaled": f"{passes / measured:g} x {measured} pass{'es' * (measured > 1)}",
    }
    return np.stack(planes), remarks
