"""How good a mask is: intersection over union, and accuracy near the boundary."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hdseg_gpu.core import validate
from hdseg_gpu.core.errors import InvalidInput

_RADII = 5


def iou(
    prediction: ArrayLike, truth: ArrayLike, *, label: int | None = None, ignore: int | None = None
) -> float:
    """Return the intersection over union of two masks, in [0, 1].

    Parameters
    ----------
    prediction, truth : arrays of bools, or of integers with `label`, shape (H, W)
        The masks to compare.
    label : int, optional
        Compare the pixels with this label; required unless both masks are bools.
    ignore : int, optional
        Pixels whose truth is this label do not count.

    Returns
    -------
    float
        |P and T| / |P or T|; NaN if both are empty.

    Raises
    ------
    InvalidInput
        The shapes differ, or there are labels but no `label`.
    """
    p, t, counted = _masks(prediction, truth, label, ignore)
    union = int(np.count_nonzero((p | t) & counted))
    return int(np.count_nonzero(p & t & counted)) / union if union else float("nan")


def mean_boundary_accuracy(
    prediction: ArrayLike, truth: ArrayLike, *, label: int | None = None, ignore: int | None = None
) -> float:
    """Return the mean accuracy in five bands around the true boundary (mBA), in [0, 1].

    Parameters
    ----------
    prediction, truth, label, ignore
        As in ``iou``.

    Returns
    -------
    float
        The share of right pixels where dilation and erosion of the truth differ, averaged over
        the radii; NaN if the truth has no boundary.

    Raises
    ------
    InvalidInput
        The shapes differ, or there are labels but no `label`.

    Notes
    -----
    Radii r_i = 1 + int((m - 1) / 5 i) for i = 0..4, with m = max(1, (width + height) / 300).
    The structuring element is OpenCV's ellipse of (2 r + 1)^2 pixels; the outside of the picture
    has no say. Source: Cheng, Chung, Tai, Tang: CascadePSP, CVPR 2020.
    """
    p, t, counted = _masks(prediction, truth, label, ignore)
    radii = boundary_radii(t.shape)
    window = _window_around(t, radii[-1] + 1)
    p, t, counted = p[window], t[window], counted[window]
    right = (p == t)[counted]
    from_inside, from_outside = _row_distance(t), _row_distance(~t)
    accuracies = []
    for radius in radii:
        reach = _ellipse_reach(radius)
        near = (_dilated(from_inside, reach) & _dilated(from_outside, reach))[counted]
        if near.any():
            accuracies.append(float(right[near].mean()))
    return float(np.mean(accuracies)) if accuracies else float("nan")


def boundary_radii(shape: tuple[int, ...]) -> list[int]:
    """Return the radii of ``mean_boundary_accuracy`` for a picture."""
    m = max(1.0, sum(shape) / 300)
    return [1 + int((m - 1) / _RADII * i) for i in range(_RADII)]


def labels_of(labels: NDArray[Any], ignore: int | None = None) -> list[int]:
    """Return the labels that occur in a map, ascending, without `ignore`."""
    found = (int(v) for v in validate.label_classes("labels", labels).values)
    return [label for label in found if label != ignore]


def _masks(
    prediction: ArrayLike, truth: ArrayLike, label: int | None, ignore: int | None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return both masks as bools, and where they count."""
    p, t = validate.labels("prediction", prediction), validate.labels("truth", truth)
    if p.shape != t.shape:
        raise InvalidInput(f"prediction has shape {p.shape}, truth has {t.shape}; they must agree.")
    counted = np.ones(t.shape, np.bool_) if ignore is None else t != ignore
    if label is not None:
        return p == label, t == label, counted
    if p.dtype.kind != "b" or t.dtype.kind != "b":
        raise InvalidInput(
            f"prediction has dtype {p.dtype}, truth has {t.dtype}: pass label= to say which "
            "label to compare, or bool masks."
        )
    return p, t, counted


def _window_around(mask: NDArray[np.bool_], margin: int) -> tuple[slice, slice]:
    """Return the slices of the set's bounding box, enlarged: no boundary lies beyond."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return slice(0, 0), slice(0, 0)
    return (
        slice(max(0, rows[0] - margin), rows[-1] + margin + 1),
        slice(max(0, columns[0] - margin), columns[-1] + margin + 1),
    )


def _ellipse_reach(radius: int) -> NDArray[np.int64]:
    """Return for dy = -radius..radius how far OpenCV's ellipse reaches to either side.

    OpenCV draws each row as the rounded half chord of the circle, ties to even.
    """
    dy = np.arange(-radius, radius + 1)
    return np.rint(np.sqrt(radius**2 - dy**2)).astype(np.int64)


def _row_distance(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return the distance of each pixel to the nearest pixel of the set in its own row."""
    far = np.int32(sum(mask.shape))  # farther than any radius
    x = np.arange(mask.shape[1], dtype=np.int32)
    last = np.maximum.accumulate(np.where(mask, x, -far), axis=1)
    following = np.minimum.accumulate(np.where(mask, x, 2 * far)[:, ::-1], axis=1)[:, ::-1]
    distance: NDArray[np.int32] = np.minimum(x - last, following - x)
    return distance


def _dilated(row_distance: NDArray[np.int32], reach: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return the set dilated by an element whose rows reach so far to either side.

    The element is a stack of horizontal segments, so each of its rows is one comparison.
    """
    height = len(row_distance)
    radius = len(reach) // 2
    dilated = np.zeros(row_distance.shape, np.bool_)
    for dy in range(-min(radius, height - 1), min(radius, height - 1) + 1):
        to = slice(max(0, -dy), min(height, height - dy))
        source = slice(max(0, dy), min(height, height + dy))
        dilated[to] |= row_distance[source] <= reach[dy + radius]
    return dilated
