"""The coarse map at the door: labels, probabilities, logits or quantised values.

Its values are looked at where they are, on a device or in host memory, by the ops of that place.
"""

from collections.abc import Iterator
from math import isnan, prod
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hdseg_gpu.core import checks, validate, values
from hdseg_gpu.core.classes import MAX_CLASSES, class_dtype
from hdseg_gpu.core.errors import InvalidInput, shown
from hdseg_gpu.core.label_map import label_map
from hdseg_gpu.core.options import IGNORED
from hdseg_gpu.core.params import Coarse
from hdseg_gpu.core.report import Stages
from hdseg_gpu.core.values import Values

# How far probabilities may be from summing to 1; float16 planes of 21 classes are off by 4e-3.
_SUM_TOLERANCE = 1e-2
_STRIP = 1 << 20  # values that are converted at a time


def coarse_map(
    value: ArrayLike,
    class_axis: int,
    stages: Stages,
    ignore_index: int | None = None,
    value_ops: Values = values,
    *,
    reuse: bool = False,
) -> Coarse:
    """Return labels (h, w) or probabilities (K, h, w) as a Coarse, with arrays of `value_ops`.

    reuse: whether the array may become the result, for it is nobody else's.
    """
    ignore_index = _label_to_ignore(ignore_index)
    expected = "labels of shape (h, w) or probabilities of shape (classes, h, w)"
    array = validate.as_array("coarse", value, expected)
    axis = validate.axis_of("class_axis", class_axis)
    if array.ndim == 2:
        return _labels(validate.label_array("coarse", array), ignore_index, stages, value_ops)
    if array.ndim != 3:
        raise InvalidInput(f"coarse has {array.ndim} dimensions, {array.shape}; pass {expected}.")
    count = array.shape[axis]
    if count < 2:
        raise InvalidInput(
            f"coarse has 1 class on axis class_axis={class_axis}, shape {array.shape}; for a "
            f"foreground probability p pass numpy.concatenate([1 - p, p], axis={class_axis})."
        )
    if count > MAX_CLASSES:
        raise InvalidInput(
            f"coarse has {count} classes on axis class_axis={class_axis}, shape "
            f"{array.shape}; at most {MAX_CLASSES} are supported. Is class_axis right?"
        )
    if ignore_index is not None and ignore_index is not False and ignore_index >= 0:
        stages.notes.append(
            f"ignore_index={shown(ignore_index)} has no effect: probabilities came in."
        )
    found = _probabilities(array, axis % array.ndim, stages, value_ops, reuse=reuse)
    dtype = next(t for t in (np.uint8, np.uint16, np.int32) if count <= np.iinfo(t).max + 1)
    return Coarse(np.arange(count, dtype=dtype), None, found)


def coarse_cost(
    shape: tuple[int, int], class_axis: int, coarse: tuple[int, ...], dtype: np.dtype[Any]
) -> int:
    """Return the bytes that ``coarse_map`` takes beside an array that it may reuse.

    What is larger than an image of `shape` is refused, for a file's header tells so much.
    """
    size = prod(coarse)
    if len(coarse) == 2:
        validate.require_smaller(coarse, shape)
        # Classes, and what is ignored; bools are copied.
        return size * (min(int(dtype.itemsize), 4) + 1 + (dtype.kind == "b"))
    axis = class_axis if isinstance(class_axis, Integral) else 0
    if len(coarse) == 3 and -3 <= axis < 3:
        validate.require_smaller(tuple(np.delete(coarse, axis).tolist()), shape)
    return 0 if dtype == np.float32 and axis == 0 else size * 4


def _label_to_ignore(value: int | None) -> int | None:
    """Return a label, None for the default, or False for none."""
    if value is None:
        return None
    if isinstance(value, bool | np.bool_) and not value:
        return False
    return checks.integer("ignore_index", value)


def _labels(array: NDArray[Any], index: int | None, stages: Stages, value_ops: Values) -> Coarse:
    """Return a label map without the label to ignore, and where that was."""
    found = label_map("coarse", array, value_ops)
    ignored = _ignored(found.labels, index, stages)
    codes = np.arange(len(found.labels))
    if ignored is None:
        classes = found.recoded(codes.astype(class_dtype(len(codes))))
        return Coarse(found.labels, classes, None)
    codes[ignored + 1 :] -= 1
    codes[ignored] = 0
    classes = found.recoded(codes.astype(class_dtype(len(codes) - 1)))
    here = np.zeros(len(codes), np.uint8)
    here[ignored] = 1
    label = int(found.labels[ignored])
    return Coarse(
        np.delete(found.labels, ignored), classes, None, found.recoded(here).view(np.bool_), label
    )


def _ignored(labels: NDArray[Any], index: int | None, stages: Stages) -> int | None:
    """Return which of the labels is to be ignored, if one is.

    None: 255, where it is the largest of the labels and they are not 0 and 255 alone, which is a
    binary mask. False: no label.
    """
    label = index
    if index is None:
        binary = labels.dtype.kind == "b" or not np.setdiff1d(labels, (0, IGNORED)).size
        label = None if binary or labels[-1] != IGNORED else IGNORED
    # Among Python's integers: NumPy's comparisons fail with some that are out of range.
    if label is None or label is False or label not in (known := labels.tolist()):
        return None
    if len(labels) == 1:
        raise InvalidInput(
            f"Every pixel of coarse equals ignore_index={label}; pass ignore_index=False to treat "
            f"{label} as a class."
        )
    if index is None:
        stages.notes.append(
            f"The coarse map's label {label} is ignored: its pixels pass through "
            "(ignore_index=False takes it for a class)."
        )
    return int(known.index(label))


def _probabilities(
    array: NDArray[Any], axis: int, stages: Stages, value_ops: Values, *, reuse: bool
) -> NDArray[np.float32]:
    """Return (K, h, w) float32 that sums to 1, from probabilities, logits or quantised values."""
    kind = array.dtype.kind
    if kind not in "fiub":
        raise InvalidInput(
            f"coarse has three dimensions and the unsupported dtype {array.dtype}; probabilities "
            "and logits are floats, quantised probabilities are non-negative integers."
        )
    planes = array.transpose(axis, *(i for i in range(array.ndim) if i != axis))
    if value_ops.xp is not np and kind in "iu" and array.dtype.name not in values.STACKS:
        planes = planes.astype(np.float64)  # all at once, on a device
    extremes = _extremes(planes, value_ops)
    if kind == "f":
        validate.require_finite("coarse", array, extremes[0], extremes[1])
    elif extremes.lowest < 0:
        raise InvalidInput(
            f"coarse has three dimensions, dtype {array.dtype} and values down to "
            f"{int(array.min())}; quantised probabilities must be non-negative, logits floats."
        )
    elif extremes.least == 0:  # quantised, one-hot: only the proportions matter
        raise InvalidInput(
            f"coarse is 0 for every class at (row, column) {_first_empty(planes)}; "
            "at least one class must be positive everywhere."
        )
    logits = kind == "f" and not (
        extremes.lowest >= 0
        and extremes.highest <= 1
        and max(1 - extremes.least, extremes.most - 1) <= _SUM_TOLERANCE
    )
    if logits:
        stages.notes.append(
            "The coarse map's values are not probabilities (outside [0, 1], or not summing to 1): "
            "they are taken as logits, and softmax is applied."
        )
    same = reuse and isinstance(planes, np.ndarray) and planes.dtype == np.float32
    found = planes if same and planes.flags.carray else value_ops.xp.empty(planes.shape, np.float32)
    flat = found.reshape(len(found), -1)
    for first, stack in _stacks(planes, value_ops.xp):
        value_ops.normalise(stack, logits, flat, first)
    return found


def _extremes(planes: NDArray[Any], value_ops: Values) -> values.StackExtremes:
    """Return the extremes of all stacks."""
    parts = [value_ops.stack_extremes(stack) for _, stack in _stacks(planes, value_ops.xp)]
    if any(isnan(part.lowest) for part in parts):
        return parts[0]._replace(lowest=np.nan, highest=np.nan)
    lowest, highest, least, most = zip(*parts, strict=True)
    return values.StackExtremes(min(lowest), max(highest), min(least), max(most))


def _stacks(planes: NDArray[Any], xp: Any) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield planes (K, h, w) as stacks (outer, K, inner), each with its first pixel.

    Those of a usual type and layout, classes on any axis, are one stack, without a copy. What else
    there is in host memory is converted some rows at a time.
    """
    (count, h, w), dtype = planes.shape, planes.dtype
    if dtype.kind == "b":
        planes = planes.view(np.uint8)
    elif dtype.name not in values.STACKS:
        dtype = np.dtype(np.float64)
    dtype = np.dtype(planes.dtype if dtype.kind == "b" else dtype).newbyteorder("=")
    if planes.dtype == dtype and (xp is not np or planes.flags.aligned):
        for order, outer in (((0, 1, 2), 1), ((1, 0, 2), h), ((1, 2, 0), h * w)):
            turned = planes.transpose(*order)
            if turned.flags.c_contiguous:
                yield 0, turned.reshape(outer, count, -1)
                return
    step = max(1, _STRIP * h // planes.size) if xp is np else h
    for top in range(0, h, step):
        with np.errstate(over="ignore"):  # numbers beyond float64 become infinite
            part = planes[:, top : top + step].astype(dtype, order="C")
        yield top * w, part.reshape(1, count, -1)


def _first_empty(planes: NDArray[Any]) -> list[int]:
    """Return the first (row, column) where all planes are 0, which there is."""
    some = planes[0] != 0
    for plane in planes[1:]:
        some |= plane != 0
    pixel = int((~some).ravel().argmax())
    return [pixel // some.shape[1], pixel % some.shape[1]]
