"""What input is checked with, by NumPy."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core import values as in_numpy
from hdseg_gpu.core.classes import Classes
from hdseg_gpu.core.values import StackExtremes
from hdseg_gpu.ops import Ops


class HostValueOps(Ops):
    """In NumPy."""

    def extremes(self, values: NDArray[Any]) -> tuple[Any, Any]:
        return in_numpy.extremes(values)

    def stack_extremes(self, stack: NDArray[Any]) -> StackExtremes:
        return in_numpy.stack_extremes(stack)

    def normalise(
        self, stack: NDArray[Any], softmax: bool, out: NDArray[np.float32], first: int
    ) -> None:
        in_numpy.normalise(stack, softmax, out, first)

    def occurring(self, labels: NDArray[Any], low: int, span: int) -> NDArray[np.bool_]:
        return in_numpy.occurring(labels, low, span)

    def recoded(self, labels: NDArray[Any], low: int, table: NDArray[Any]) -> NDArray[Any]:
        return in_numpy.recoded(labels, low, table)

    def mark_present(self, values: Classes, found: NDArray[np.uint8]) -> None:
        found[self.histogram(values, len(found)) > 0] = 1
