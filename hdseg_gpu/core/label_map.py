"""The labels that occur in a map, and recoding of maps."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core import values
from hdseg_gpu.core.classes import MAX_CLASSES, class_dtype
from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.params import Coarse
from hdseg_gpu.core.values import Values

_WIDEST = 1 << 22  # range of labels up to which a lookup table is used; beyond it they are sorted
_STRIP = 1 << 20  # labels sorted at a time


def occurring(
    name: str, arrays: Iterable[NDArray[Any]], value_ops: Values = values
) -> NDArray[Any]:
    """Return the labels (K,) that occur in arrays (h, w), ascending, in their dtype.

    arrays: parts of a map, of integers or bools, contiguous, on the host or a device; the labels
    are in host memory.
    """
    found: NDArray[Any] | None = None
    for array in arrays:
        labels = _labels_of(array, value_ops)
        found = labels if found is None else np.union1d(found, labels)
        if len(found) > _WIDEST:
            break
    assert found is not None
    if len(found) > MAX_CLASSES:
        raise InvalidInput(
            f"{name} has {len(found)} distinct labels; at most {MAX_CLASSES} are supported. "
            "Is it a label map?"
        )
    return found


def recoded(
    labels: NDArray[Any], array: NDArray[Any], codes: NDArray[Any], value_ops: Values = values
) -> NDArray[Any]:
    """Return an array with codes[k] in place of the k-th label, in the dtype of the codes.

    labels: ascending; the array must contain no others.
    """
    low, span = int(labels[0]), int(labels[-1]) - int(labels[0])
    if span < _WIDEST:
        # Modulo 2^bits, since the distance of two labels may not fit into their dtype.
        bits = np.dtype(f"u{labels.dtype.itemsize}")
        place = (labels.view(bits) - np.array(low % (1 << 8 * bits.itemsize), bits)).astype(np.intp)
        table = np.zeros(span + 1, codes.dtype)
        table[place] = codes
        return value_ops.recoded(array, low, table)
    xp = value_ops.xp
    ascending, table = xp.asarray(labels), xp.asarray(codes)
    found: NDArray[Any] = xp.empty(array.shape, codes.dtype)
    for rows in _strips(array, xp):
        found[rows] = table[xp.searchsorted(ascending, array[rows])]
    return found


def label_classes(name: str, array: NDArray[Any], value_ops: Values = values) -> Coarse:
    """Return a contiguous label map as class indices 0..K-1, in ascending order of the labels."""
    labels = occurring(name, [array], value_ops)
    codes = np.arange(len(labels), dtype=class_dtype(len(labels)))
    return Coarse(labels, recoded(labels, array, codes, value_ops), None)


def seed_classes(array: NDArray[Any], value_ops: Values) -> Coarse:
    """Return the classes of a full-size label map; label + 1 must be a valid seed."""
    classes = label_classes("mask", array, value_ops)
    lowest, highest = int(classes.values[0]), int(classes.values[-1])
    if lowest < 0:
        raise InvalidInput(
            f"mask has the label {lowest}; seeds are label + 1 and 0 means unknown, so "
            "labels must be at least 0."
        )
    if highest > np.iinfo(np.int64).max - 1:
        raise InvalidInput(
            f"mask has the label {highest}, and seeds are label + 1 in int64; use smaller labels."
        )
    return classes


def _labels_of(array: NDArray[Any], value_ops: Values) -> NDArray[Any]:
    """Return the labels of one array."""
    low, high = _range(array, value_ops)
    if high - low < _WIDEST:
        place = np.flatnonzero(value_ops.occurring(array, low, high - low + 1))
        # Modulo 2^bits, since the distance from the least label may not fit into the dtype.
        bits = np.dtype(f"u{array.dtype.itemsize}")
        found = place.astype(bits) + np.array(low % (1 << 8 * bits.itemsize), bits)
        labels: NDArray[Any] = found.view(array.dtype)
        return labels
    xp = value_ops.xp
    labels = xp.unique(xp.concatenate([xp.unique(array[r]) for r in _strips(array, xp)]))
    return labels if isinstance(labels, np.ndarray) else labels.get()


def _range(array: NDArray[Any], value_ops: Values) -> tuple[int, int]:
    """Return bounds of the labels; for narrow types those of the type, without a pass."""
    if array.dtype.kind == "b":
        return 0, 1
    if array.dtype.itemsize <= 2:
        limits = np.iinfo(array.dtype)
        return int(limits.min), int(limits.max)
    return value_ops.extremes(array)


def _strips(array: NDArray[Any], xp: Any) -> list[slice]:
    """Return slices of rows that cover an array: strips in host memory, all rows on a device."""
    rows = array.shape[0]
    step = max(1, _STRIP * rows // array.size) if xp is np else rows
    return [slice(top, top + step) for top in range(0, rows, step)]
