"""The ops that check input, in NumPy.

An ``Ops`` has the same for the arrays of its backend, and documents them.
"""

from collections.abc import Iterable, Iterator
from math import isfinite, isnan, nan
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

xp = np

# The dtypes of stacks. Labels may be signed or unsigned: they are viewed as unsigned.
STACKS = ("uint8", "uint16", "float16", "float32", "float64")
_TOGETHER = 1 << 18  # values processed at a time


class StackExtremes(NamedTuple):
    """Minimum and maximum of a stack's values, and of its sums over the classes."""

    lowest: float
    highest: float
    least: float
    most: float


def united(parts: Iterable[StackExtremes]) -> StackExtremes:
    """Return the extremes of all parts together."""
    found = list(parts)
    if any(isnan(part.lowest) for part in found):
        return found[0]._replace(lowest=nan, highest=nan)
    lowest, highest, least, most = zip(*found, strict=True)
    return StackExtremes(min(lowest), max(highest), min(least), max(most))


class Values(Protocol):
    """The interface of this module and of ``Ops``."""

    xp: Any

    def extremes(self, values: NDArray[Any]) -> tuple[Any, Any]:
        """See ``Ops``."""

    def stack_extremes(self, stack: NDArray[Any]) -> StackExtremes:
        """See ``Ops``."""

    def normalise(
        self, stack: NDArray[Any], softmax: bool, out: NDArray[np.float32], first: int
    ) -> None:
        """See ``Ops``."""

    def occurring(self, labels: NDArray[Any], low: int, span: int) -> NDArray[np.bool_]:
        """See ``Ops``."""

    def recoded(self, labels: NDArray[Any], low: int, table: NDArray[Any]) -> NDArray[Any]:
        """See ``Ops``."""


def extremes(values: NDArray[Any]) -> tuple[Any, Any]:
    """Return minimum and maximum, or NaN twice if a value is not finite."""
    lines = in_memory_order(values)
    lines = lines.reshape(-1) if lines.flags.c_contiguous else lines
    parts = [lines[rows] for rows in _parts(len(lines), values.size // len(lines))]
    # The extremes of an array with a NaN are NaN: no mask is needed.
    lowest, highest = (np.array([f(part) for part in parts]) for f in (np.min, np.max))
    return finite(lowest.min().item(), highest.max().item())


def finite(lowest: Any, highest: Any) -> tuple[Any, Any]:
    """Return both values, or NaN twice if one is not finite."""
    return (lowest, highest) if isfinite(lowest) and isfinite(highest) else (nan, nan)


def stack_extremes(stack: NDArray[Any]) -> StackExtremes:
    """Return the extremes of the values and of the sums over classes."""
    found = []
    for _, values in _pixels(stack):
        total = values.sum(axis=0)
        found.append((values.min(), values.max(), total.min(), total.max()))
    lowest, highest, least, most = zip(*found, strict=True)
    extremes = finite(float(np.min(lowest)), float(np.max(highest)))
    return StackExtremes(*extremes, float(np.min(least)), float(np.max(most)))


def normalise(stack: NDArray[Any], softmax: bool, out: NDArray[np.float32], first: int) -> None:
    """Write the class probabilities (K, pixels) to out[:, first:], computed in float64."""
    for begin, values in _pixels(stack):
        parts = np.exp(values - values.max(axis=0)) if softmax else values
        pixels = slice(first + begin, first + begin + parts.shape[1])
        out[:, pixels] = parts / parts.sum(axis=0)


def occurring(labels: NDArray[Any], low: int, span: int) -> NDArray[np.bool_]:
    """Return which of the labels low .. low + span - 1 occur."""
    found = np.zeros(span, np.bool_)
    for index in _indices(labels, low):
        found[index] = True
    return found


def recoded(labels: NDArray[Any], low: int, table: NDArray[Any]) -> NDArray[Any]:
    """Return table[labels - low]."""
    codes, begin = np.empty(labels.shape, table.dtype), 0
    for index in _indices(labels, low):
        codes.reshape(-1)[begin : begin + len(index)] = table[index]
        begin += len(index)
    return codes


def unsigned(labels: NDArray[Any], low: int) -> tuple[NDArray[Any], int]:
    """Return labels flattened and viewed as unsigned, and `low` modulo 2^bits, too.

    Differences are the same modulo 2^bits. labels: integers or bools, contiguous.
    """
    flat = labels.reshape(-1)
    return flat.view(f"u{flat.dtype.itemsize}"), low % (1 << 8 * flat.dtype.itemsize)


def in_memory_order(array: Any) -> Any:
    """Return an array with its axes in memory order: contiguous if it has no gaps."""
    order = sorted(range(array.ndim), key=lambda axis: -array.strides[axis])
    return array.transpose(*order)


def _pixels(stack: NDArray[Any]) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Yield the index of the first of some pixels, and their values (K, pixels)."""
    outer, count, inner = stack.shape
    for rows in _parts(outer, count * inner):
        for columns in _parts(inner, count * (rows.stop - rows.start)):
            part = stack[rows, :, columns].transpose(1, 0, 2).astype(np.float64)
            yield rows.start * inner + columns.start, part.reshape(count, -1)


def _indices(labels: NDArray[Any], low: int) -> Iterator[NDArray[np.int64]]:
    """Yield labels - low, some at a time, because an index takes eight bytes."""
    flat, least = unsigned(labels, low)
    for part in _parts(len(flat), 1):
        yield (flat[part] - flat.dtype.type(least)).astype(np.int64)


def _parts(count: int, size: int) -> Iterator[slice]:
    """Yield slices of `count` items of `size` values each, about _TOGETHER values at a time."""
    step = max(1, _TOGETHER // size)
    return (slice(first, min(first + step, count)) for first in range(0, count, step))
