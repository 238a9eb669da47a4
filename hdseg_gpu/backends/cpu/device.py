"""Threads of the processor."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from hdseg_gpu.backends.cpu.kernels import CpuKernels


class CpuDeviceOps(CpuKernels):
    """Allocates, calls, returns."""

    def threads(self, count: int) -> AbstractContextManager[None]:
        return self._at_most(count)

    @contextmanager
    def _at_most(self, count: int) -> Iterator[None]:
        # OpenMP counts for each thread that calls it, so others are not disturbed.
        before = self._kernels.thread_count()
        self._kernels.set_thread_count(max(1, min(count, before)))
        try:
            yield
        finally:
            self._kernels.set_thread_count(before)
