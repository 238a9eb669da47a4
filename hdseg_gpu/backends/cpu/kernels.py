"""The compiled kernels of one instruction set."""

from hdseg_gpu.backends.cpu import isa
from hdseg_gpu.backends.host import HostOps


class CpuKernels(HostOps):
    """A compiled module; outputs are allocated in Python and filled there, without the GIL."""

    def __init__(self, instruction_set: str | None = None) -> None:
        self.instruction_set, self._kernels = isa.load(instruction_set)
