"""Host memory: nothing has to move."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends import load
from hdseg_gpu.ops import Ops


class HostDeviceOps(Ops):
    """In NumPy."""

    xp = np

    def __reduce__(self) -> tuple[Any, ...]:
        return load, (self.name,)  # it travels as its name

    def here(self, budget: int | None = None) -> AbstractContextManager[None]:
        return nullcontext()

    def threads(self, count: int) -> AbstractContextManager[None]:
        return nullcontext()

    def prepare(self, image: NDArray[Any], count: int) -> None:
        pass

    def picture(self, image: NDArray[Any], smaller: int = 0) -> NDArray[Any]:
        return image

    def host(self, array: Any) -> NDArray[Any]:
        found: NDArray[Any] = array
        return found

    def fetched(self, *arrays: Any) -> tuple[NDArray[Any], ...]:
        return arrays

    def sparse(self) -> tuple[Any, Any]:
        from scipy import sparse
        from scipy.sparse import linalg

        return sparse, linalg
