"""The labels that occur in a map, and recoding of maps."""

from dataclasses import dataclass
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


@dataclass(frozen=True)
class LabelMap:
    """A map (h, w) of integers or bools, on the host or a device, and the labels that occur."""

    array: NDArray[Any]
    labels: NDArray[Any]  # (K,) in host memory, ascending, in the dtype of the map
    place: NDArray[np.int64] | None  # (K,) label - low; None if a lookup table would be too large
    low: int
    value_ops: Values

    def recoded(self, codes: NDArray[Any]) -> NDArray[Any]:
        """Return the map with codes[k] in place of the k-th label, in the dtype of the codes."""
        if self.place is not None:
            table = np.zeros(int(self.place[-1]) + 1, codes.dtype)
            table[self.place] = codes
            return self.value_ops.recoded(self.array, self.low, table)
        xp = self.value_ops.xp
        ascending, table = xp.asarray(self.labels), xp.asarray(codes)
        found: NDArray[Any] = xp.empty(self.array.shape, codes.dtype)
        for rows in _strips(self.array, xp):
            found[rows] = table[xp.searchsorted(ascending, self.array[rows])]
        return found


def label_map(name: str, array: NDArray[Any], value_ops: Values = values) -> LabelMap:
    """Return the label map of a contiguous array (h, w) of integers or bools."""
    low, high = _range(array, value_ops)
    if high - low < _WIDEST:
        place = np.flatnonzero(value_ops.occurring(array, low, high - low + 1))
        # Modulo 2^bits, since the distance from the least label may not fit into the dtype.
        bits = np.dtype(f"u{array.dtype.itemsize}")
        found = place.astype(bits) + np.array(low % (1 << 8 * bits.itemsize), bits)
        labels = found.view(array.dtype)
    else:
        place, xp = None, value_ops.xp
        labels = xp.unique(xp.concatenate([xp.unique(array[r]) for r in _strips(array, xp)]))
        labels = labels if isinstance(labels, np.ndarray) else labels.get()
    if len(labels) > MAX_CLASSES:
        raise InvalidInput(
            f"{name} has {len(labels)} distinct labels; at most {MAX_CLASSES} are supported. "
            "Is it a label map?"
        )
    return LabelMap(array, labels, place, low, value_ops)


def label_classes(name: str, array: NDArray[Any], value_ops: Values = values) -> Coarse:
    """Return a contiguous label map as class indices 0..K-1, in ascending order of the labels."""
    found = label_map(name, array, value_ops)
    count = len(found.labels)
    return Coarse(found.labels, found.recoded(np.arange(count, dtype=class_dtype(count))), None)


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
