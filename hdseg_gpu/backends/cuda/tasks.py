"""What the backend `cuda` smooths for colour models: kernels/cuda/tasks.h."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Some(NamedTuple):
    """Tasks that are worked on together."""

    args: tuple[Any, ...]  # as kernels take them
    most: int  # as many or fewer
    windows: int  # that their fields have, or more


@dataclass(frozen=True)
class Tasks:
    """Classes with fields of windows; see kernels/cuda/nearby.cu."""

    task: Any  # (tasks, 5): class; top, left, height, width of the field
    begin: Any  # (tasks + 1,) the first window of each field, of all
    where: Any  # (entries, 2): the task of each entry, and its window in the field
    total: Any  # (1,), how many there are
    most: int  # at most so many
    windows: int  # in their fields, at most
    is_known: bool  # both are the true numbers
    moments: int

    def batches(self, host: Callable[[Any], NDArray[Any]], most: int) -> Iterator[Some]:
        """Yield parts with at most so many windows, if one task has not more."""
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
