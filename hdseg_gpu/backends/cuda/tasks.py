"""Smoothing tasks for colour models: kernels/cuda/tasks.h."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Some(NamedTuple):
    """Tasks that are processed together."""

    args: tuple[Any, ...]  # as arguments of kernels
    most: int  # upper bound of their number
    windows: int  # upper bound of the windows of their fields


@dataclass(frozen=True)
class Tasks:
    """Classes with fields of windows; see kernels/cuda/nearby.cu."""

    task: Any  # (tasks, 5): class; top, left, height, width of the field
    begin: Any  # (tasks + 1,) the first window of each field
    where: Any  # (entries, 2): the task of each entry, and its window in the field
    total: Any  # (1,) the number of tasks
    most: int  # upper bound of their number
    windows: int  # upper bound of the windows of all fields
    is_known: bool  # whether both bounds are exact
    moments: int

    def batches(self, host: Callable[[Any], NDArray[Any]], most: int) -> Iterator[Some]:
        """Yield parts with a limited number of windows, but at least one task."""
        if not self.is_known or self.windows <= most:
            yield self._some(0, -1, self.most, self.windows)
            return
        begin, first = host(self.begin), 0
        while first < self.most:
            last = np.searchsorted(begin, begin[first] + most, "right") - 1
            end = max(first + 1, int(last))
            yield self._some(first, end, end - first, int(begin[end] - begin[first]))
            first = end

    def _some(self, first: int, end: int, most: int, windows: int) -> Some:
        return Some((self.begin, self.task, first, end, self.total, self.moments), most, windows)
