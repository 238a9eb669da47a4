"""Runs on a device that runs out of memory: in memory, and tile by tile."""

import weakref
from contextlib import contextmanager

import numpy as np
import pytest
from gallery import blobs, photograph, reduced

from hdseg_gpu import RefinementWarning, backends, refine, refine_file
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


def installed(ops, monkeypatch):
    """Let a backend be the one for CUDA."""
    load = backends.load
    monkeypatch.setattr(backends, "load", lambda name, *a: ops if name == "cuda" else load(name))
    return ops


def test_a_failed_attempt_holds_no_arrays_while_the_next_one_runs(monkeypatch):
    small = installed(Small(), monkeypatch)
    with pytest.warns(RefinementWarning, match="'cpu' instead of 'cuda': no memory"):
        labels, report = refine(IMAGE, COARSE, backend="auto", return_report=True)
    assert small.kept == [[False] * i for i in range(4)]
    assert report.backend == "cpu"
    np.testing.assert_array_equal(labels, refine(IMAGE, COARSE, backend="cpu"))
    with pytest.raises(OutOfDeviceMemory, match="no memory"):
        refine(IMAGE, COARSE, backend="cuda")


class Sometimes(CpuOps):
    """A backend without memory in every call but each third, before or after the work."""

    name = "cuda"

    def __init__(self):
        super().__init__()
        self.calls = 0

    @contextmanager
    def here(self, budget=None):
        self.calls += 1
        turn = self.calls % 3
        if turn == 1:
            raise OutOfDeviceMemory("no memory")
        yield
        if turn == 2:
            raise OutOfDeviceMemory("no memory")


def test_tiles_that_do_not_fit_run_on_the_host(tmp_path, monkeypatch):
    """Each by itself: labels are those of a host, whatever ran where."""
    truth = blobs((4200, 2200), 3)
    image, coarse = photograph(truth), reduced(truth, 8)
    device, output = installed(Sometimes(), monkeypatch), tmp_path / "labels.npy"
    with pytest.warns(RefinementWarning, match="^backend 'cpu' instead of 'cuda': no memory$"):
        report = refine_file(image, coarse, output, backend="auto", tile=2048, workers=1)
    assert device.calls > 3 * report.tiles == 18
    assert (report.backend, len(report.fallbacks)) == ("cuda", 1)
    np.testing.assert_array_equal(np.load(output), refine(image, coarse, backend="cpu"))


def test_tiles_stay_on_the_device_that_was_asked_for(tmp_path, monkeypatch):
    installed(Sometimes(), monkeypatch)
    output = tmp_path / "labels.npy"
    with pytest.raises(OutOfDeviceMemory, match="no memory"):
        refine_file(IMAGE, COARSE, output, backend="cuda", tile=2048)
    assert not output.exists()


class OfTasks(CpuOps):
    """A backend without memory in tasks, in which threads are limited, and only there."""

    name = "cuda"

    def __init__(self):
        super().__init__()
        self.limited = False

    @contextmanager
    def threads(self, count):
        self.limited = True
        with super().threads(count):
            yield
        self.limited = False

    @contextmanager
    def here(self, budget=None):
        if self.limited:
            raise OutOfDeviceMemory("no memory")
        yield

    def begin_band(self, seeds):
        raise AssertionError("a task ran on the device")


def test_the_report_has_the_fallbacks_of_tasks(tmp_path, monkeypatch):
    installed(OfTasks(), monkeypatch)
    output = tmp_path / "labels.npy"
    options = {"backend": "auto", "tile": 2048, "workers": 1}
    with pytest.warns(RefinementWarning, match="'cpu' instead of 'cuda': no memory"):
        report = refine_file(IMAGE, COARSE, output, **options)
    assert report.fallbacks == ("backend 'cpu' instead of 'cuda': no memory",)
