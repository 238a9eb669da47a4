"""Scores of all classes of two maps at once, and distances to boundaries."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_RADII = 5
_KEY_BITS = 62  # of the integer keys that spans are sorted by
_SPANS = 1 << 22  # spans sorted at a time


def boundary_radii(shape: tuple[int, ...]) -> list[int]:
    """Return the five radii of ``mean_boundary_accuracy`` for an image of a shape."""
    m = max(1.0, sum(shape) / 300)
    return [1 + int((m - 1) / _RADII * i) for i in range(_RADII)]


class Scores:
    """Counts for all classes of two maps of indices 0..K-1 at once.

    Let L(q) be the set of classes of the truth within the structuring element around pixel q. A
    pixel is near the boundary of k if L(q) contains k and another class. These pixels are counted
    as the dilation of k less the pixels where L(q) = {k}. Both sets are unions of spans
    (consecutive pixels of a row), made from the runs of each class in the truth and from its
    boundary.
    """

    def __init__(
        self,
        prediction: NDArray[np.int32],
        truth: NDArray[np.int32],
        counted: NDArray[np.bool_],
        count: int,
    ) -> None:
        self._p, self._t, self._counted, self._count = prediction, truth, counted, count
        self._right = prediction == truth

    def iou(self) -> NDArray[np.float64]:
        """Return the intersections over union (K,)."""
        counted = self._counted
        inter = self._histogram(self._t[self._right & counted])
        union = self._histogram(self._t[counted]) + self._histogram(self._p[counted]) - inter
        return _ratio(inter, union)

    def mba(self) -> NDArray[np.float64]:
        """Return the mean boundary accuracies (K,)."""
        runs = _runs(self._t)
        radii = boundary_radii(self._t.shape)
        wrong_at = np.flatnonzero(~self._right & self._counted)
        total, seen = np.zeros(self._count), np.zeros(self._count, np.int64)
        for radius in sorted(set(radii)):
            near, wrong = self._at_radius(runs, ellipse_reach(radius), wrong_at)
            there, times = near > 0, radii.count(radius)
            accuracy = _ratio(near - wrong, near)
            for _ in range(times):  # added one by one, as a mean over the radii adds them
                total[there] += accuracy[there]
            seen[there] += times
        mean: NDArray[np.float64] = np.full(self._count, np.nan)
        np.divide(total, seen, out=mean, where=seen > 0)
        return mean

    def _at_radius(
        self, runs: "_Runs", reach: NDArray[np.int64], wrong_at: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return how many pixels are near the boundary of each class, and how many are wrong."""
        uniform = ~_across_boundaries(self._t, reach)
        near = -self._histogram(self._t[uniform & self._counted])
        # Every wrong pixel near a boundary counts as wrong for its true class.
        own = self._t.reshape(-1)[wrong_at]
        wrong = self._histogram(own[~uniform.reshape(-1)[wrong_at]])
        # Running sums along each row, so that a span counts only the pixels that count.
        before = np.zeros((self._t.shape[0], self._t.shape[1] + 1), np.int32)
        np.cumsum(self._counted, axis=1, out=before[:, 1:])
        rows, columns = np.divmod(wrong_at, self._t.shape[1])
        said = self._p.reshape(-1)[wrong_at]
        for spans in _widened(runs, reach, self._t.shape, self._count):
            pixels = before[spans.row, spans.end] - before[spans.row, spans.first]
            near += np.bincount(spans.label, pixels, self._count).astype(np.int64)
            # A wrongly predicted class counts as wrong for that class near its boundary.
            some = slice(*np.searchsorted(rows, (spans.top, spans.bottom)))
            hit = spans.have(rows[some], said[some], columns[some])
            wrong += self._histogram(said[some][hit])
        return near, wrong

    def _histogram(self, classes: NDArray[np.int32]) -> NDArray[np.int64]:
        return np.bincount(classes, minlength=self._count)


class _Runs(NamedTuple):
    """Runs of one class in the rows of a map, row by row."""

    row: NDArray[np.int64]
    first: NDArray[np.int64]
    end: NDArray[np.int64]  # last column + 1
    label: NDArray[np.int64]


def _runs(classes: NDArray[np.int32]) -> _Runs:
    begins = np.ones(classes.shape, np.bool_)
    begins[:, 1:] = classes[:, 1:] != classes[:, :-1]
    start = np.flatnonzero(begins)
    row, first = np.divmod(start, classes.shape[1])
    end = first + np.diff(start, append=classes.size)
    return _Runs(row, first, end, classes.reshape(-1)[start].astype(np.int64))


class _Spans:
    """Disjoint spans of classes in rows top .. bottom - 1, sorted by row, class and column."""

    def __init__(
        self, top: int, bottom: int, count: int, bits: int, key: NDArray[np.int64]
    ) -> None:
        """Merge touching spans; key: (row - top, class, first, length) in one integer, sorted."""
        self.top, self.bottom, self._bits, self._count = top, bottom, bits, count
        begin, length = key >> bits, key & ((1 << bits) - 1)
        # Ends of a row and class are below the begins of the next: one running maximum suffices.
        until = np.maximum.accumulate(begin + length)
        apart = np.ones(len(key), np.bool_)
        apart[1:] = begin[1:] > until[:-1]
        last = np.flatnonzero(np.append(apart[1:], True)) if len(key) else np.zeros(0, np.int64)
        self._begin, self._until = begin[apart], until[last]
        where = self._begin >> bits
        self.row, self.label = top + where // count, where % count
        self.first = self._begin - (where << bits)
        self.end = self._until - (where << bits)

    def have(
        self, row: NDArray[np.int64], label: NDArray[Any], column: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Return for each pixel (row, column) whether it lies in a span of its class `label`."""
        if not len(self._begin):
            return np.zeros(len(row), np.bool_)
        at = (((row - self.top) * self._count + label) << self._bits) + column
        i = np.searchsorted(self._begin, at, "right") - 1
        found: NDArray[np.bool_] = (i >= 0) & (at < self._until[i])
        return found


def _widened(
    runs: _Runs, reach: NDArray[np.int64], shape: tuple[int, ...], count: int
) -> Iterator[_Spans]:
    """Yield the dilation of each class by an element, some rows at a time."""
    height, width = shape
    bits = int(width).bit_length()
    most = 1 << max(0, _KEY_BITS - 2 * bits - count.bit_length())
    starts = np.searchsorted(runs.row, np.arange(height + 1))
    radius = len(reach) // 2
    top = 0
    while top < height:
        bottom = min(height, top + most)
        while bottom > top + 1 and len(reach) * (starts[bottom] - starts[top]) > _SPANS:
            bottom = (top + bottom) // 2
        keys = []
        for dy in range(-radius, radius + 1):
            # Row y + dy contributes to row y.
            low, high = (min(max(y + dy, 0), height) for y in (top, bottom))
            some = slice(starts[low], starts[high])
            first = np.maximum(runs.first[some] - reach[dy + radius], 0)
            end = np.minimum(runs.end[some] + reach[dy + radius], width)
            where = (runs.row[some] - dy - top) * count + runs.label[some]
            keys.append((((where << bits) + first) << bits) + end - first)
        key = np.concatenate(keys)
        key.sort()
        yield _Spans(top, bottom, count, bits, key)
        top = bottom


def _across_boundaries(classes: NDArray[np.int32], reach: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return the pixels around which an element contains more than one class.

    The part of the element inside the image is connected, so it then contains two neighbours of
    different classes, horizontal or vertical.
    """
    height, width = classes.shape
    radius = len(reach) // 2
    change = np.zeros(height * (width + 1), np.int32)  # of the number of spans over a pixel
    begins: list[NDArray[np.int64]] = []
    ends: list[NDArray[np.int64]] = []

    def flush() -> None:
        for places, by in ((begins, np.add), (ends, np.subtract)):
            if places:
                counts = np.bincount(np.concatenate(places), minlength=change.size)
                by(change, counts, out=change, casting="unsafe")
                places.clear()

    def cover(row: NDArray[np.int64], first: NDArray[np.int64], last: NDArray[np.int64]) -> None:
        inside = (row >= 0) & (row < height) & (first <= last)
        start = row[inside] * (width + 1)
        begins.append(start + np.maximum(first[inside], 0))
        ends.append(start + np.minimum(last[inside] + 1, width))
        if sum(map(len, begins)) > _SPANS:
            flush()

    rows, columns = np.nonzero(classes[:, 1:] != classes[:, :-1])
    for dy in range(-radius, radius + 1):
        far = reach[dy + radius]
        cover(rows - dy, columns + 1 - far, columns + far)
    differs = np.zeros((max(height - 1, 0), width + 2), np.bool_)
    np.not_equal(classes[1:], classes[:-1], out=differs[:, 1:-1])
    edges = np.flatnonzero(differs[:, 1:] != differs[:, :-1])  # begins and ends alternate
    rows, first = np.divmod(edges[::2], width + 1)
    last = edges[1::2] % (width + 1) - 1
    for dy in range(-radius, radius):
        far = min(reach[dy + radius], reach[dy + radius + 1])
        cover(rows - dy, first - far, last + far)
    flush()
    covered = np.cumsum(change.reshape(height, width + 1), axis=1, dtype=np.int32)
    found: NDArray[np.bool_] = covered[:, :-1] > 0
    return found


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return part / whole, NaN where whole is 0."""
    ratio: NDArray[np.float64] = np.full(len(whole), np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio


def window_around(mask: NDArray[np.bool_], margin: int) -> tuple[slice, slice]:
    """Return the slices of the set's bounding box padded by `margin`; no boundary is outside."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return slice(0, 0), slice(0, 0)
    return (
        slice(max(0, rows[0] - margin), rows[-1] + margin + 1),
        slice(max(0, columns[0] - margin), columns[-1] + margin + 1),
    )


def ellipse_reach(radius: int) -> NDArray[np.int64]:
    """Return the half width of OpenCV's ellipse in each row dy = -radius..radius.

    OpenCV draws each row as the rounded half chord of the circle, ties to even.
    """
    dy = np.arange(-radius, radius + 1)
    return np.rint(np.sqrt(radius**2 - dy**2)).astype(np.int64)


def row_distance(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return the distance of each pixel to the nearest pixel of the set in its own row."""
    far = np.int32(sum(mask.shape))  # farther than any radius
    x = np.arange(mask.shape[1], dtype=np.int32)
    last = np.maximum.accumulate(np.where(mask, x, -far), axis=1)
    following = np.minimum.accumulate(np.where(mask, x, 2 * far)[:, ::-1], axis=1)[:, ::-1]
    distance: NDArray[np.int32] = np.minimum(x - last, following - x)
    return distance


def dilated(row_distance: NDArray[np.int32], reach: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return the set dilated by an element with rows of half widths `reach`.

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
