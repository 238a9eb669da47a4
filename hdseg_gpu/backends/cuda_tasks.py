"""Which windows the backend `cuda` smooths for which class: small tables, made in host memory."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.ops import Classes
from hdseg_gpu.core.windows import Shape

# Windows of one class that lie in the same square of so many are smoothed together.
_SQUARE = 32


@dataclass(frozen=True)
class Looked:
    """The windows that the pixels around rows or columns of cells look at: first .. last."""

    kind: NDArray[np.int64]  # (cells,), which of them
    first: NDArray[np.int64]
    last: NDArray[np.int64]


def looked_at(cells: int, cell: int, group: int) -> Looked:
    """Return the windows of group cells that pixels less than a cell away look at."""
    size, windows = cell * group, -(-cells // group)
    half = (cell + 1) // 2
    begin = np.maximum(np.arange(cells, dtype=np.int64) * cell - half, 0)
    end = np.arange(1, cells + 1, dtype=np.int64) * cell - 1 + half
    # Whose centre is at or before a pixel's centre: twice the distances are integers.
    first = np.clip((2 * begin + 1 - size) // (2 * size), 0, windows - 1)
    last = np.clip(-((size - 2 * end - 1) // (2 * size)), 0, windows - 1)
    pairs, kind = np.unique(first * (windows + 1) + last, return_inverse=True)
    return Looked(kind.reshape(-1).astype(np.int64), *np.divmod(pairs, windows + 1))


@dataclass(frozen=True)
class Tasks:
    """Classes with fields of windows, one after the other, and what is wanted of them."""

    task: NDArray[np.int64]  # (tasks, 5): class; top, left, height, width of the field
    begin: NDArray[np.int64]  # (tasks + 1,) the first window of each field, of all
    entry: NDArray[np.int64]  # (n,) what is wanted, task by task
    where: NDArray[np.int64]  # (n,) its window, of all
    of: NDArray[np.int64]  # (n,) its task

    def batches(self, most: int) -> Iterator["Tasks"]:
        """Yield parts with at most so many windows, if one task has not more."""
        first = 0
        while first < len(self.task):
            last = np.searchsorted(self.begin, self.begin[first] + most, "right") - 1
            end = max(first + 1, int(last))
            some = slice(*np.searchsorted(self.of, (first, end)))
            yield Tasks(
                self.task[first:end], self.begin[first : end + 1] - self.begin[first],
                self.entry[some], self.where[some] - self.begin[first], self.of[some] - first,
            )  # fmt: skip
            first = end


def tasks_of(start: NDArray[np.int64], label: Classes, grid: Shape, reach: int) -> Tasks:
    """Return the tasks for ``Nearby``; a field has `reach` windows around those wanted."""
    window = np.repeat(np.arange(grid[0] * grid[1]), np.diff(start))
    y, x = np.divmod(window, grid[1])
    squares = -(-grid[0] // _SQUARE), -(-grid[1] // _SQUARE)
    key = (label.astype(np.int64) * squares[0] + y // _SQUARE) * squares[1] + x // _SQUARE
    entry = np.argsort(key, kind="stable")
    key, y, x = key[entry], y[entry], x[entry]
    first = np.flatnonzero(np.diff(key, prepend=-1))
    top = np.maximum(np.minimum.reduceat(y, first) - reach, 0)
    left = np.maximum(np.minimum.reduceat(x, first) - reach, 0)
    bottom = np.minimum(np.maximum.reduceat(y, first) + reach + 1, grid[0])
    right = np.minimum(np.maximum.reduceat(x, first) + reach + 1, grid[1])
    task = np.stack([label[entry[first]], top, left, bottom - top, right - left], axis=1)
    begin = np.concatenate([[0], np.cumsum((bottom - top) * (right - left))])
    of = np.repeat(np.arange(len(first)), np.diff(first, append=len(key)))
    where = begin[of] + (y - top[of]) * (right - left)[of] + x - left[of]
    return Tasks(task.astype(np.int64), begin, entry, where, of)
