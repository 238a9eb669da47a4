"""Validation of the coarse map: labels, probabilities, logits or quantised values.

Values are checked where they are, on a device or in host memory, by the ops of that backend.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import isfinite, prod
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hdseg_gpu.core import checks, validate, values
from hdseg_gpu.core.classes import MAX_CLASSES, class_dtype
from hdseg_gpu.core.errors import InvalidInput, shown
from hdseg_gpu.core.label_map import occurring, recoded
from hdseg_gpu.core.options import IGNORED
from hdseg_gpu.core.params import Coarse, CoarseSummary
from hdseg_gpu.core.report import Stages
from hdseg_gpu.core.values import Values
from hdseg_gpu.core.windows import Shape, Window, whole

EXPECTED = "labels of shape (h, w) or probabilities of shape (classes, h, w)"
# How far probabilities may be from summing to 1; float16 planes of 21 classes are off by 4e-3.
_SUM_TOLERANCE = 1e-2
_STRIP = 1 << 20  # values converted at a time


class Parts(Protocol):
    """A coarse map, (h, w) or with an axis of classes, in parts; may be iterated repeatedly."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of the whole array."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the type of its values."""

    def __iter__(self) -> Iterator[tuple[Window, NDArray[Any]]]:
        """Yield the parts, in any order: windows of (h, w), and the array there with all classes.

        Arrays are as ``validate.as_array`` returns them.
        """


@dataclass(frozen=True)
class Whole:
    """An array as a single part."""

    array: NDArray[Any]
    axis: int  # of the classes, if it has three

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of the array."""
        return tuple(self.array.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the type of its values."""
        return self.array.dtype

    def __iter__(self) -> Iterator[tuple[Window, NDArray[Any]]]:
        """Yield the whole array."""
        yield whole(grid_of(self.shape, self.axis)), self.array


class Decoder(Protocol):
    """Turns values into classes or probabilities, by properties of the whole coarse map."""

    @property
    def summary(self) -> CoarseSummary:
        """Return the summary of the map."""

    @property
    def arrays(self) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
        """Return shape and dtype of the arrays of the whole Coarse, by name."""

    def decoded(self, part: NDArray[Any], value_ops: Values, *, reuse: bool = False) -> Coarse:
        """Return a part of the map, with arrays of `value_ops`.

        reuse: whether the part's memory may be used for the result.
        """


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

    reuse: whether the array's memory may be used for the result.
    """
    parts = whole_map(value, class_axis)
    decoder = decoder_of(parts, class_axis, stages, ignore_index, value_ops)
    return decoder.decoded(parts.array, value_ops, reuse=reuse)


def whole_map(value: ArrayLike, class_axis: int) -> Whole:
    """Return a validated array as a single part."""
    array = validate.as_array("coarse", value, EXPECTED)
    if array.ndim == 2:
        array = validate.label_array("coarse", array)
    return Whole(array, validate.axis_of("class_axis", class_axis) % 3)


def decoder_of(
    parts: Parts,
    class_axis: int,
    stages: Stages,
    ignore_index: int | None = None,
    value_ops: Values = values,
) -> Decoder:
    """Check all values in one pass, and return their decoder."""
    ignore_index = _label_to_ignore(ignore_index)
    axis, shape = validate.axis_of("class_axis", class_axis), parts.shape
    if len(shape) == 2:
        return _label_decoder(parts, ignore_index, stages, value_ops)
    grid_of(shape, axis % 3)  # which has two or three dimensions
    count = shape[axis]
    if count < 2:
        raise InvalidInput(
            f"coarse has 1 class on axis class_axis={class_axis}, shape {shape}; for a "
            f"foreground probability p pass numpy.concatenate([1 - p, p], axis={class_axis})."
        )
    if count > MAX_CLASSES:
        raise InvalidInput(
            f"coarse has {count} classes on axis class_axis={class_axis}, shape "
            f"{shape}; at most {MAX_CLASSES} are supported. Is class_axis right?"
        )
    if ignore_index is not None and ignore_index is not False and ignore_index >= 0:
        stages.notes.append(
            f"ignore_index={shown(ignore_index)} has no effect: probabilities came in."
        )
    return _PlaneDecoder(shape, axis % 3, _are_logits(parts, axis % 3, stages, value_ops))


def grid_of(shape: tuple[int, ...], axis: int) -> Shape:
    """Return the rows and columns of a coarse map with two or three dimensions."""
    if len(shape) not in (2, 3):
        raise InvalidInput(f"coarse has {len(shape)} dimensions, {shape}; pass {EXPECTED}.")
    rows, columns = shape if len(shape) == 2 else (n for i, n in enumerate(shape) if i != axis)
    return int(rows), int(columns)


def coarse_cost(stored: tuple[int, ...], axis: int, dtype: np.dtype[Any]) -> int:
    """Return the bytes that ``coarse_map`` takes beside an array that it may reuse."""
    size = prod(stored)
    if len(stored) == 2:
        # Classes, and the mask of ignored pixels; bools are copied.
        return size * (min(int(dtype.itemsize), 4) + 1 + (dtype.kind == "b"))
    return 0 if dtype == np.float32 and axis == 0 else size * 4


def _label_to_ignore(value: int | None) -> int | None:
    """Return a label, None for the default, or False for none."""
    if value is None:
        return None
    if isinstance(value, bool | np.bool_) and not value:
        return False
    return checks.integer("ignore_index", value)


def _label_decoder(
    parts: Parts, index: int | None, stages: Stages, value_ops: Values
) -> "_LabelDecoder":
    arrays = (validate.label_array("coarse", part) for _, part in parts)
    labels = occurring("coarse", arrays, value_ops)
    return _LabelDecoder(grid_of(parts.shape, 0), labels, _ignored(labels, index, stages))


@dataclass(frozen=True)
class _LabelDecoder:
    """Labels become classes; one of them may be ignored."""

    shape: Shape
    labels: NDArray[Any]  # that occur
    ignored: int | None  # which of them

    @cached_property
    def summary(self) -> CoarseSummary:
        if self.ignored is None:
            return CoarseSummary(self.labels, self.shape, False)
        kept = np.delete(self.labels, self.ignored)
        return CoarseSummary(kept, self.shape, False, int(self.labels[self.ignored]))

    @property
    def arrays(self) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
        found: dict[str, np.dtype[Any]] = {"classes": np.dtype(class_dtype(self.summary.count))}
        if self.ignored is not None:
            found["ignored"] = np.dtype(np.bool_)
        return {name: (self.shape, dtype) for name, dtype in found.items()}

    def decoded(self, part: NDArray[Any], value_ops: Values, *, reuse: bool = False) -> Coarse:
        """Return the classes of a part, and its mask of ignored pixels."""
        array, summary = validate.label_array("coarse", part), self.summary
        codes, here = np.arange(len(self.labels)), None
        if self.ignored is not None:
            codes[self.ignored + 1 :] -= 1
            codes[self.ignored] = 0
            mark = np.zeros(len(codes), np.uint8)
            mark[self.ignored] = 1
            here = recoded(self.labels, array, mark, value_ops).view(np.bool_)
        codes = codes.astype(class_dtype(summary.count))
        classes = recoded(self.labels, array, codes, value_ops)
        return Coarse(summary.values, classes, None, here, summary.ignore_index)


def _ignored(labels: NDArray[Any], index: int | None, stages: Stages) -> int | None:
    """Return the index of the ignored label, if there is one.

    None stands for 255 if it is the largest label, unless the labels are just 0 and 255, a binary
    mask. False: no label.
    """
    label = index
    if index is None:
        binary = labels.dtype.kind == "b" or not np.setdiff1d(labels, (0, IGNORED)).size
        label = None if binary or labels[-1] != IGNORED else IGNORED
    # Compared as Python integers: NumPy's comparisons fail with some that are out of range.
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


def _are_logits(parts: Parts, axis: int, stages: Stages, value_ops: Values) -> bool:
    """Return whether the values are logits; raise InvalidInput if they are neither."""
    dtype = parts.dtype
    kind = dtype.kind
    if kind not in "fiub":
        raise InvalidInput(
            f"coarse has three dimensions and the unsupported dtype {dtype}; probabilities "
            "and logits are floats, quantised probabilities are non-negative integers."
        )
    extremes = values.united(
        value_ops.stack_extremes(stack)
        for _, part in parts
        for _, stack in _stacks(_planes(part, axis, value_ops), value_ops.xp)
    )
    if kind == "f":
        _require_finite(parts, axis, extremes)
    elif extremes.lowest < 0:
        least = min(int(part.min()) for _, part in parts)
        raise InvalidInput(
            f"coarse has three dimensions, dtype {dtype} and values down to "
            f"{least}; quantised probabilities must be non-negative, logits floats."
        )
    elif extremes.least == 0:  # quantised, one-hot: only the proportions matter
        raise InvalidInput(
            f"coarse is 0 for every class at (row, column) {_first_empty(parts, axis)}; "
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
    return logits


@dataclass(frozen=True)
class _PlaneDecoder:
    """Probabilities, logits or quantised values become (K, h, w) float32 that sums to 1."""

    stored: tuple[int, ...]  # shape of the map
    axis: int  # of its classes
    logits: bool

    @cached_property
    def summary(self) -> CoarseSummary:
        count = self.stored[self.axis]
        dtype = next(t for t in (np.uint8, np.uint16, np.int32) if count <= np.iinfo(t).max + 1)
        return CoarseSummary(np.arange(count, dtype=dtype), grid_of(self.stored, self.axis), True)

    @property
    def arrays(self) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
        shape = (self.summary.count, *self.summary.shape)
        return {"probabilities": (shape, np.dtype(np.float32))}

    def decoded(self, part: NDArray[Any], value_ops: Values, *, reuse: bool = False) -> Coarse:
        """Return the probabilities of a part."""
        planes = _planes(part, self.axis, value_ops)
        same = reuse and isinstance(planes, np.ndarray) and planes.dtype == np.float32
        found = (
            planes if same and planes.flags.carray else value_ops.xp.empty(planes.shape, np.float32)
        )
        flat = found.reshape(len(found), -1)
        for first, stack in _stacks(planes, value_ops.xp):
            value_ops.normalise(stack, self.logits, flat, first)
        return Coarse(self.summary.values, None, found)


def _planes(part: NDArray[Any], axis: int, value_ops: Values) -> NDArray[Any]:
    """Return a part as (K, h, w)."""
    planes = part.transpose(axis, *(i for i in range(part.ndim) if i != axis))
    if value_ops.xp is not np and part.dtype.kind in "iu" and part.dtype.name not in values.STACKS:
        planes = planes.astype(np.float64)  # all at once, on a device
    return planes


def _require_finite(parts: Parts, axis: int, extremes: values.StackExtremes) -> None:
    """Raise InvalidInput for NaN, infinity and values whose squares overflow."""
    lowest, highest = extremes.lowest, extremes.highest
    if not (isfinite(lowest) and isfinite(highest)):
        found = []
        for window, part in parts:
            index = validate.first_not_finite(part)
            if index is not None:
                corner = [window.top, window.left]
                corner.insert(axis, 0)
                found.append([i + start for i, start in zip(index, corner, strict=True)])
        if found:
            raise validate.not_finite("coarse", min(found))
        # Of a type with a wider range than float64.
        lowest = min(part.min() for _, part in parts)
        highest = max(part.max() for _, part in parts)
    validate.require_small("coarse", lowest, highest)


def _stacks(planes: NDArray[Any], xp: Any) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield planes (K, h, w) as stacks (outer, K, inner), each with its first pixel.

    Planes of a common dtype and layout, classes on any axis, are one stack, without a copy. Others
    in host memory are converted some rows at a time.
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


def _first_empty(parts: Parts, axis: int) -> list[int]:
    """Return the first (row, column) where all planes are 0; there must be one."""
    found = []
    for window, part in parts:
        empty = ~part.astype(np.bool_).any(axis=axis)
        if empty.any():
            row, column = divmod(int(empty.ravel().argmax()), window.width)
            found.append([row + window.top, column + window.left])
    return min(found)
