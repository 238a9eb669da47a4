"""What runs tasks, on threads and on Dask's workers, without any pictures; and what it tells."""

import asyncio
import threading
from contextlib import closing
from pathlib import Path

import pytest
from engine_internals import constants
from small_files import build, in_place

from hdseg_gpu import __version__
from hdseg_gpu.core.errors import Unfinished
from hdseg_gpu.executors.dask import Distributed
from hdseg_gpu.executors.dask_worker import done_there, inputs_seen
from hdseg_gpu.executors.local import Local
from hdseg_gpu.executors.progress import Meter
from hdseg_gpu.io.inputs import input_of


class Job:
    """What tasks work on: no files at all."""

    run, folder = "a run", Path()

    def check_workspace(self):
        """Say that it is there."""

    def do(self, task, phase, index, *rest):
        """Do a task."""
        return task(phase, index, *rest)


@pytest.fixture(params=["threads", "Dask"])
def executor(request):
    """Yield an executor that does two tasks at once, in this process."""
    if request.param == "threads":
        yield Local(2)
        return
    dask, distributed = pytest.importorskip("dask"), pytest.importorskip("distributed")
    quiet = {"distributed.worker.memory.spill": False, "distributed.worker.profile.enabled": False}
    with dask.config.set(quiet), distributed.Client(
        processes=False, n_workers=1, threads_per_worker=2, dashboard_address=":0",
        set_as_default=False,
    ) as client:  # fmt: skip
        yield Distributed(client)


SIGNAL = threading.Event()  # of one task to others; Dask's workers are in this process
BEGUN = []  # tiles


@pytest.fixture(autouse=True)
def _quiet():
    SIGNAL.clear()
    BEGUN.clear()


def multiplied(phase, index, factor):
    """Do a task: the first tile is not done before the last one is begun."""
    if index == 40:
        SIGNAL.set()
    elif index == 5:
        assert SIGNAL.wait(30)
    return {phase: factor * index}


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # sockets of Dask's own
def test_results_are_those_of_their_tiles(executor):
    found = list(executor.run(multiplied, Job(), "tiles", [5, 3, 8, 1, 40], 10))
    assert sorted(index for index, _ in found) == [1, 3, 5, 8, 40]
    assert all(result == {"tiles": 10 * index} for index, result in found)
    assert found[0][0] != 5
    assert list(executor.run(multiplied, Job(), "tiles", [], 10)) == []


def broken(_, index):
    """Fail at the first tile; all others are done after that."""
    BEGUN.append(index)
    if index == 0:
        SIGNAL.set()
        raise Unfinished("the disk is full")
    assert SIGNAL.wait(30)
    return {}


def counted(_, index):
    """Do a task."""
    BEGUN.append(index)
    return {}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_after_an_error_nothing_new_is_begun(executor):
    results = executor.run(broken, Job(), "tiles", range(500))
    with pytest.raises(Unfinished, match="the disk is full"), closing(results):
        list(results)
    assert 0 < len(BEGUN) < 50


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_nothing_new_is_begun_when_nobody_asks_any_more(executor):
    with closing(executor.run(counted, Job(), "tiles", range(500))) as results:
        assert next(results)[1] == {}
    assert 0 < len(BEGUN) < 50


# ---- what Dask's workers look at -----------------------------------------------------------------


@pytest.mark.parametrize("which", ["image", "boundary"])
def test_workers_that_see_another_file_say_which(which, tmp_path):
    paths = build(tmp_path)
    inputs = [input_of(paths.image), input_of(paths.boundary, name="boundary")]
    assert asyncio.run(inputs_seen(inputs)) is None
    in_place(getattr(paths, which))
    said = asyncio.run(inputs_seen(inputs))
    assert f"sees another file as {getattr(paths, which)}" in said


def test_workers_that_come_later_have_the_same_version():
    """A cluster that grows may start them with anything."""
    assert done_there(__version__, counted, Job(), "tiles", 7) == {}
    with pytest.raises(
        Unfinished, match=r"hdseg_gpu \S+, but the run has 0\.0\.9; stop that worker"
    ):
        done_there("0.0.9", counted, Job(), "tiles", 8)
    assert BEGUN == [7]


# ---- progress ------------------------------------------------------------------------------------


def test_time_left_is_that_of_what_is_left(monkeypatch):
    """3 of 10 tiles were done before; each of 50 pixels takes 4 seconds."""
    now, updates = [100.0], []
    constants(monkeypatch, perf_counter=lambda: now[0])
    meter = Meter(updates.append)
    meter.begin("tiles", 10, 3)
    assert (updates[-1].done, updates[-1].tiles, updates[-1].seconds_left) == (3, 10, None)
    for done in (4, 5, 6):
        now[0] += 4.0
        meter.done(50)
        assert (updates[-1].phase, updates[-1].done, updates[-1].tiles) == ("tiles", done, 10)
        assert updates[-1].seconds_left == pytest.approx(4.0 * (10 - done))
        assert updates[-1].pixels_per_second == pytest.approx(50 / 4.0)
    meter.begin("more", 2, 0)
    assert (updates[-1].done, updates[-1].tiles, updates[-1].seconds_left) == (0, 2, None)
