"""The compiled kernels of one instruction set."""

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cpu import isa
from hdseg_gpu.backends.host import HostOps
from hdseg_gpu.core.windows import GridMapping


class CpuKernels(HostOps):
    """A compiled module; outputs are allocated in Python and filled there, without the GIL."""

    def __init__(self, instruction_set: str | None = None) -> None:
        self.instruction_set, self._kernels = isa.load(instruction_set)


def numbers_of(place: GridMapping) -> NDArray[np.int64]:
    """Return a grid mapping as the kernels take it."""
    return np.array([*place.shape, *place.window, *place.grid, *place.part], np.int64)
