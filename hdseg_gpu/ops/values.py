"""What input is checked with; ``core.values`` has most of it for NumPy's arrays."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.classes import Classes
from hdseg_gpu.core.values import StackExtremes


class ValueOps(ABC):
    """The values of labels and stacks.

    A stack is a network's output for K classes, (outer, K, inner) for outer times inner pixels,
    contiguous: uint8, uint16, float16, float32 or float64. Sums of floats are good to the last bit
    of theirs, float32 for float16, those of integers exact.
    """

    @abstractmethod
    def mark_present(self, values: Classes, found: NDArray[np.uint8]) -> None:
        """Set found[v] = 1 for each value v that occurs; no value is len(found) or larger."""

    @abstractmethod
    def extremes(self, values: NDArray[Any]) -> tuple[Any, Any]:
        """Return the least and the greatest value as Python's numbers; may wait for them.

        values: float32, float64, or integers of 32 or 64 bits. NaN twice if one is not finite.
        """

    @abstractmethod
    def stack_extremes(self, stack: NDArray[Any]) -> StackExtremes:
        """Return the extremes of a stack's values, and of their sums over the classes; may wait.

        Those of the values are NaN if one is not finite.
        """

    @abstractmethod
    def normalise(
        self, stack: NDArray[Any], softmax: bool, out: NDArray[np.float32], first: int
    ) -> None:
        """Set out[k, first + p] to v_k / sum_j v_j of pixel p, or to the softmax.

        out is (K, pixels). It may be the stack itself if that is (1, K, pixels) of float32. Errors
        are those of float32: 2e-7 of a result, and for softmax 6e-8 of the difference of two values
        more; what is below exp(-87) of the largest is 0.
        """

    @abstractmethod
    def occurring(self, labels: NDArray[Any], low: int, span: int) -> NDArray[np.bool_]:
        """Return which of the labels low .. low + span - 1 occur, in host memory; all are there.

        labels: integers or bools, contiguous.
        """

    @abstractmethod
    def recoded(self, labels: NDArray[Any], low: int, table: NDArray[Any]) -> NDArray[Any]:
        """Return table[labels - low]; the table is uint8, uint16 or uint32 in host memory."""
