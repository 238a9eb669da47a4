"""Metrics for masks: intersection over union, and accuracy near the boundary."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hdseg_gpu.core import checks, validate
from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.label_map import label_classes, occurring
from hdseg_gpu.metrics.scores import (
    Scores,
    boundary_radii,
    dilated,
    ellipse_reach,
    row_distance,
    window_around,
)

__all__ = ["PerClass", "iou", "mean_boundary_accuracy", "per_class"]


class PerClass(NamedTuple):
    """The scores of all labels of two maps, labels ascending; NaN where a score is undefined.

    Attributes
    ----------
    label : (K,) array of integers
        The labels of either map.
    iou : (K,) array of float64
        Intersection over union of each label, in [0, 1].
    mba : (K,) array of float64
        Mean boundary accuracy of each label, in [0, 1].
    in_truth : (K,) array of bool
        Whether the truth has the label.

    Examples
    --------
    >>> import numpy as np
    >>> from hdseg_gpu import metrics
    >>> truth = np.array([[3, 3, 3, 7], [3, 3, 3, 7]])
    >>> scores = metrics.per_class(truth, truth)
    >>> scores.label, scores.iou
    (array([3, 7]), array([1., 1.]))
    """

    label: NDArray[Any]
    iou: NDArray[np.float64]
    mba: NDArray[np.float64]
    in_truth: NDArray[np.bool_]


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
        The shapes differ, `label` is missing for label maps, or `label` or `ignore` is no integer.

    Examples
    --------
    >>> import numpy as np
    >>> from hdseg_gpu import metrics
    >>> truth = np.array([[3, 3, 3, 7], [3, 3, 3, 7]])
    >>> prediction = np.array([[3, 3, 7, 7], [3, 3, 3, 7]])
    >>> round(metrics.iou(prediction, truth, label=3), 3)  # 5 of 6 pixels
    0.833
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
        The fraction of correct pixels where dilation and erosion of the truth differ, averaged
        over the radii; NaN if the truth has no boundary.

    Raises
    ------
    InvalidInput
        The shapes differ, `label` is missing for label maps, or `label` or `ignore` is no integer.

    Notes
    -----
    Radii r_i = 1 + int((m - 1) / 5 i) for i = 0..4, with m = max(1, (width + height) / 300).
    The structuring element is OpenCV's ellipse of (2 r + 1)^2 pixels; pixels outside the image are
    ignored. Source: Cheng, Chung, Tai, Tang: CascadePSP, CVPR 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from hdseg_gpu import metrics
    >>> truth = np.zeros((8, 8), bool)
    >>> truth[:, 4:] = True
    >>> prediction = truth.copy()
    >>> prediction[:2, 3] = True  # 2 of 16 pixels at the boundary
    >>> metrics.mean_boundary_accuracy(prediction, truth)
    0.875
    """
    p, t, counted = _masks(prediction, truth, label, ignore)
    radii = boundary_radii(t.shape)
    window = window_around(t, radii[-1] + 1)
    p, t, counted = p[window], t[window], counted[window]
    right = (p == t)[counted]
    from_inside, from_outside = row_distance(t), row_distance(~t)
    accuracies = []
    for radius in radii:
        reach = ellipse_reach(radius)
        near = (dilated(from_inside, reach) & dilated(from_outside, reach))[counted]
        if near.any():
            accuracies.append(float(right[near].mean()))
    return float(np.mean(accuracies)) if accuracies else float("nan")


def per_class(prediction: ArrayLike, truth: ArrayLike, *, ignore: int | None = None) -> PerClass:
    """Return ``iou`` and ``mean_boundary_accuracy`` of every label of two maps, in one pass.

    The scores are those of the two functions for each label; run time grows with the number of
    pixels and the length of the boundaries, not with the number of labels.

    Parameters
    ----------
    prediction, truth : arrays of integers or bools, shape (H, W)
        The label maps to compare: up to 65,536 labels each.
    ignore : int, optional
        Pixels whose truth is this label do not count, and the label gets no scores.

    Returns
    -------
    PerClass
        Arrays ``label``, ``iou``, ``mba`` and ``in_truth``, one entry for each label.

    Raises
    ------
    InvalidInput
        The shapes differ, or `ignore` is no integer.

    Examples
    --------
    >>> import numpy as np
    >>> from hdseg_gpu import metrics
    >>> truth = np.array([[3, 3, 3, 7], [3, 3, 3, 7]])
    >>> prediction = np.array([[3, 3, 7, 7], [3, 3, 3, 7]])
    >>> scores = metrics.per_class(prediction, truth)
    >>> scores.label.tolist(), scores.iou.round(3).tolist(), scores.mba.round(3).tolist()
    ([3, 7], [0.833, 0.667], [0.75, 0.75])
    """
    p, t = _maps(prediction, truth)
    ignored = _label("ignore", ignore)
    some, others = (label_classes(n, a) for n, a in (("prediction", p), ("truth", t)))
    in_both = {int(v) for v in (*some.values.tolist(), *others.values.tolist())}
    labels = sorted(in_both)
    place = {label: i for i, label in enumerate(labels)}
    indices = []
    for found in (some, others):
        assert found.classes is not None
        table = np.array([place[int(v)] for v in found.values.tolist()], np.int32)
        indices.append(table[found.classes])
    counted = ~_where(t, ignored)
    scores = Scores(indices[0], indices[1], counted, len(labels))
    in_truth = np.zeros(len(labels), np.bool_)
    in_truth[[place[int(v)] for v in others.values.tolist()]] = True
    kept = np.array([label != ignored for label in labels])
    fits = labels[-1] <= np.iinfo(np.int64).max
    values = np.array(labels, np.int64 if fits else np.uint64)
    return PerClass(values[kept], scores.iou()[kept], scores.mba()[kept], in_truth[kept])


def labels_of(labels: NDArray[Any], ignore: int | None = None) -> list[int]:
    """Return the labels that occur in a map, ascending, without `ignore`."""
    found = (int(v) for v in occurring("labels", [labels]))
    return [label for label in found if label != ignore]


def _masks(
    prediction: ArrayLike, truth: ArrayLike, label: int | None, ignore: int | None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return both masks as bools, and which pixels count."""
    p, t = _maps(prediction, truth)
    label, ignore = _label("label", label), _label("ignore", ignore)
    counted = ~_where(t, ignore)
    if label is not None:
        return _where(p, label), _where(t, label), counted
    if p.dtype.kind != "b" or t.dtype.kind != "b":
        raise InvalidInput(
            f"prediction has dtype {p.dtype}, truth has {t.dtype}: pass label= for the label to "
            "compare, or bool masks."
        )
    return p, t, counted


def _where(labels: NDArray[Any], label: int | None) -> NDArray[np.bool_]:
    """Return where a map has a label; nowhere if its dtype cannot hold the label."""
    values = (0, 1) if labels.dtype.kind == "b" else np.iinfo(labels.dtype)
    lowest, highest = values if isinstance(values, tuple) else (values.min, values.max)
    if label is None or not lowest <= label <= highest:
        return np.zeros(labels.shape, np.bool_)
    found: NDArray[np.bool_] = labels == label
    return found


def _maps(prediction: ArrayLike, truth: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    p, t = validate.labels("prediction", prediction), validate.labels("truth", truth)
    if p.shape != t.shape:
        raise InvalidInput(f"prediction has shape {p.shape}, truth has {t.shape}; they must agree.")
    return p, t


def _label(name: str, value: int | None) -> int | None:
    """Return a label as an integer; True and False are labels, too."""
    if value is None or isinstance(value, bool | np.bool_):
        return None if value is None else int(value)
    return checks.integer(name, value)
