"""The arrays on a device when it runs out of memory."""

import weakref
from contextlib import contextmanager

import numpy as np
import pytest

from hdseg_gpu import RefinementWarning, backends, refine
from hdseg_gpu.backends.cpu import CpuOps
from hdseg_gpu.core.errors import OutOfDeviceMemory

IMAGE = np.random.default_rng(3).integers(0, 255, (40, 50, 3)).astype(np.uint8)
COARSE = np.eye(5, dtype=np.uint8)


class Small(CpuOps):
    """A backend whose memory suffices for the picture, but not for what is made of it."""

    name = "cuda"

    def __init__(self):
        super().__init__()
        self.attempts, self.kept = [], []

    def here(self, budget=None):
        @contextmanager
        def failing():
            try:
                yield
            except MemoryError as error:
                raise OutOfDeviceMemory("no memory") from error

        return failing()

    def picture(self, image, smaller=0):
        self.kept.append([there() is not None for there in self.attempts])
        copy = image.copy()
        self.attempts.append(weakref.ref(copy))
        return copy

    def standard_deviation(self, values):
        raise MemoryError


def test_a_failed_attempt_holds_no_arrays_while_the_next_one_runs(monkeypatch):
    small = Small()
    load = backends.load
    monkeypatch.setattr(backends, "load", lambda name, *a: small if name == "cuda" else load(name))
    with pytest.warns(RefinementWarning, match="'cpu' instead of 'cuda': no memory"):
        labels, report = refine(IMAGE, COARSE, backend="auto", return_report=True)
    assert small.kept == [[False] * i for i in range(4)]
    assert report.backend == "cpu"
    np.testing.assert_array_equal(labels, refine(IMAGE, COARSE, backend="cpu"))
    with pytest.raises(OutOfDeviceMemory, match="no memory"):
        refine(IMAGE, COARSE, backend="cuda")
