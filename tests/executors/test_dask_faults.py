"""Faulty Dask clusters, and files that change during a run."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest
import tifffile
from large_files import START, beside, environment, folder_of
from small_files import build, during, in_place, picture, replace

from hdseg_gpu import InvalidInput, refine, refine_file
from hdseg_gpu.core.errors import Unfinished
from hdseg_gpu.executors import dask as here

distributed = pytest.importorskip("distributed")
dask = pytest.importorskip("dask")

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
TILE = {"tile": 2048}


@pytest.fixture(scope="module")
def cluster():
    before = dict(os.environ)
    os.environ.update(environment(OPENBLAS_NUM_THREADS="1"))
    try:
        with dask.config.set({"distributed.comm.timeouts.connect": "120s"}), (
            distributed.LocalCluster(
                n_workers=1, processes=True, threads_per_worker=1, dashboard_address=":0",
                silence_logs=50,
            )
        ) as cluster:  # fmt: skip
            yield cluster
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def client(cluster):
    with distributed.Client(cluster, set_as_default=False) as client:
        client.wait_for_workers(1, timeout=120)
        yield client


@pytest.fixture
def inputs(tmp_path):
    return build(tmp_path / "in")


@pytest.fixture
def output(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "labels.npy"


def assert_right(output, inputs):
    expected = refine(tifffile.imread(inputs.image), np.load(inputs.coarse))
    np.testing.assert_array_equal(np.load(output), expected)
    assert beside(output) == []


def opened_there(client):
    """Return how many sources each worker has open."""

    def count():
        from hdseg_gpu.io import inputs as sources

        return len(sources._open)

    return list(client.run(count).values())


# ---- files -----------------------------------------------------------------------------------


def test_workers_that_outlive_a_file(client, inputs, output):
    for _ in range(2):
        refine_file(*inputs[:2], output, scheduler=client, overwrite=True, **TILE)
        assert_right(output, inputs)
        assert opened_there(client) == [0]
        tifffile.imwrite(inputs.image, np.roll(picture(), 6, axis=1), tile=(64, 64))
    refine_file(*inputs[:2], output, scheduler=client, overwrite=True, **TILE)
    assert_right(output, inputs)


def test_workers_that_outlive_a_run_that_failed(client, inputs, output):
    """The source stays open where nobody could tell the worker that the run is over."""

    def lost(now):
        if now.phase == "redraw0":
            here._within = None  # whatever is called fails
            raise KeyError

    within = here._within
    try:
        with pytest.raises(KeyError):
            refine_file(*inputs[:2], output, scheduler=client, progress=lost, **TILE)
    finally:
        here._within = within
    assert opened_there(client) == [1]
    tifffile.imwrite(inputs.image, np.roll(picture(), 6, axis=1), tile=(64, 64))
    refine_file(*inputs[:2], output, scheduler=client, overwrite=True, **TILE)
    assert_right(output, inputs)
    client.restart(wait_for_workers=True)


@pytest.mark.parametrize("harm", [in_place, replace])
@pytest.mark.parametrize("phase", ["statistics", "redraw0", "tiles"])
def test_an_image_that_changes_during_a_run(phase, harm, client, inputs, output):
    progress = during(phase, harm, inputs.image)
    with pytest.raises(Unfinished, match=r"image\.tif has changed since the run began: "):
        refine_file(*inputs[:2], output, scheduler=client, progress=progress, **TILE)
    assert not output.exists()
    with pytest.raises(InvalidInput, match="cannot be resumed: image was another"):
        refine_file(*inputs[:2], output, scheduler=client, resume=True, **TILE)
    assert opened_there(client) == [0]


def test_arrays_do_not_travel(client, inputs, output):
    with pytest.raises(
        InvalidInput, match="arrays in memory are not sent to Dask workers; pass the path"
    ):
        refine_file(picture(), inputs.coarse, output, scheduler=client, **TILE)
    assert beside(output) == []


# ---- workers with another view ---------------------------------------------------------------


@contextmanager
def worker_elsewhere(client, script, *arguments):
    """Start a worker in a mount namespace of its own, after a script has changed what is where."""
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare")
    address = client.scheduler.address
    line = [sys.executable, "-P", "-m", "distributed.cli.dask_worker", address, "--no-nanny"]
    known = set(client.scheduler_info()["workers"])
    child = subprocess.Popen(
        ["unshare", "--map-root-user", "--mount", "--uts", "sh", "-c", f"{script} exec \"$@\"",
         "sh", *map(str, arguments), *line, "--nthreads", "1", "--no-dashboard"],
        env=environment(OPENBLAS_NUM_THREADS="1"), stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while not set(client.scheduler_info()["workers"]) - known:
            if child.poll() is not None:
                pytest.skip("no file systems can be mounted here")
            time.sleep(0.1)
        yield
    finally:
        child.kill()
        child.wait()
        while set(client.scheduler_info()["workers"]) - known:
            time.sleep(0.1)


OVER = 'mount --bind "$1" "$2" || exit 1; shift 2;'
ELSEWHERE = f"hostname elsewhere || exit 1; {OVER}"


def test_a_worker_that_sees_another_file(client, inputs, output, tmp_path):
    other = tmp_path / "other.tif"
    tifffile.imwrite(other, np.roll(picture(), 6, axis=1), tile=(64, 64))
    for script in (OVER, ELSEWHERE):
        with (
            worker_elsewhere(client, script, other, inputs.image),
            pytest.raises(
                InvalidInput,
                match=r"worker tcp://.* cannot take part: worker on .*, process \d+ sees another "
                r"file as .*image\.tif: modified .* instead of",
            ),
        ):
            refine_file(*inputs[:2], output, scheduler=client, **TILE)
    assert beside(output) == []


def test_a_worker_with_other_bytes_of_the_same_time(client, inputs, output, tmp_path):
    other = shutil.copy2(inputs.image, tmp_path / "other.tif")
    in_place(other)
    with (
        worker_elsewhere(client, ELSEWHERE, other, inputs.image),
        pytest.raises(
            InvalidInput, match=r"worker on elsewhere, .* as .*image\.tif: other content"
        ),
    ):
        refine_file(*inputs[:2], output, scheduler=client, **TILE)


def test_a_worker_that_has_a_copy(client, inputs, output, tmp_path):
    """On another machine's disk, that is as good."""
    other = shutil.copy2(inputs.image, tmp_path / "other.tif")
    with worker_elsewhere(client, ELSEWHERE, other, inputs.image):
        refine_file(*inputs[:2], output, scheduler=client, **TILE)
    assert_right(output, inputs)


def test_a_worker_without_the_file(client, inputs, output, tmp_path):
    (tmp_path / "empty").mkdir()
    with (
        worker_elsewhere(client, OVER, tmp_path / "empty", inputs.image.parent),
        pytest.raises(InvalidInput, match=r"process \d+: .*image\.tif does not exist"),
    ):
        refine_file(*inputs[:2], output, scheduler=client, **TILE)


def test_a_worker_that_does_not_share_the_outputs_folder(client, inputs, output, tmp_path):
    (tmp_path / "empty").mkdir()
    with (
        worker_elsewhere(client, OVER, tmp_path / "empty", output.parent),
        pytest.raises(
            Unfinished, match=r"process \d+: .*labels\.npy\.hdseg is not the folder of this run"
        ),
    ):
        refine_file(*inputs[:2], output, scheduler=client, **TILE)
    assert not output.exists()
    refine_file(*inputs[:2], output, scheduler=client, resume=True, **TILE)
    assert_right(output, inputs)


@pytest.mark.parametrize("there", ["0.0.9", None])
def test_workers_with_another_version(there, client, inputs, output):
    def pretend(there):
        import importlib.metadata as m

        old = m.version

        def version(name):
            if there is None:
                raise m.PackageNotFoundError(name)
            return there

        m.version, m.old = version, old

    def restore():
        import importlib.metadata as m

        m.version = m.old

    client.run(pretend, there)
    try:
        sentence = "does not have hdseg_gpu" if there is None else r"has hdseg_gpu 0\.0\.9, but"
        with pytest.raises(InvalidInput, match=rf"worker tcp://.* {sentence}"):
            refine_file(*inputs[:2], output, scheduler=client, **TILE)
    finally:
        client.run(restore)
    assert beside(output) == []


# ---- tasks -----------------------------------------------------------------------------------


def instead(client, replacement):
    """Have workers call replacement(old, *arguments) for each tile of seeds."""

    def patch():
        from hdseg_gpu.engine import tasks

        tasks.old = old = tasks.mark_seeds
        tasks.mark_seeds = lambda *a: replacement(old, *a)

    client.run(patch)


def as_before(client):
    def mend():
        from hdseg_gpu.engine import tasks

        tasks.mark_seeds = tasks.old

    client.run(mend)


@pytest.mark.parametrize("kind", [ZeroDivisionError, MemoryError, OSError, RuntimeError])
@pytest.mark.parametrize("on_error", ["fail", "skip"])
def test_a_task_that_raises_on_a_worker(kind, on_error, client, inputs, output):
    def fail(*_):
        raise kind("some\nreason")

    instead(client, fail)
    try:
        with pytest.raises(
            Unfinished,
            match=rf"^worker on .*, process \d+: tile 0 of phase seeds0 failed, {kind.__name__}: "
            r"some reason; fix that and continue with (--resume|resume=True)\.$",
        ):
            refine_file(*inputs[:2], output, scheduler=client, on_error=on_error, **TILE)
    finally:
        as_before(client)
    assert not output.exists()
    refine_file(
        *inputs[:2], output, scheduler=client, resume=True, on_error=on_error, **TILE
    )  # fmt: skip
    assert_right(output, inputs)


def test_nothing_is_written_for_a_run_that_was_stopped(client, inputs, output, tmp_path):
    """A tile that is under way is given up at its next look at files."""
    began = tmp_path / "began"

    def slow(old, *arguments):
        import time

        began.touch()
        time.sleep(2.0)
        return old(*arguments)

    def stop(now):
        if now.phase == "seeds0":
            signal.setitimer(signal.ITIMER_REAL, 1.0)

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    instead(client, slow)
    try:
        with pytest.raises(KeyboardInterrupt):
            refine_file(*inputs[:2], output, scheduler=client, progress=stop, **TILE)
        assert began.exists()
        kept = everything_in(folder_of(output))
        while any(client.processing().values()) or busy(client):
            time.sleep(0.1)
        assert everything_in(folder_of(output)) == kept
    finally:
        signal.signal(signal.SIGALRM, before)
        as_before(client)
    assert opened_there(client) == [0]
    refine_file(*inputs[:2], output, scheduler=client, overwrite=True, **TILE)
    assert_right(output, inputs)


def busy(client):
    """Return whether a worker still computes, for whomever."""

    def count(dask_worker):
        return dask_worker.state.executing_count + len(dask_worker.active_threads)

    return any(client.run(count).values())


def everything_in(folder):
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*")}


def test_two_runs_at_once(client, inputs, output):
    said = []

    def begin_another(now):
        if now.phase == "seeds0":
            for options in ({"resume": True}, {"overwrite": True}):
                with pytest.raises(InvalidInput, match="is being written by another run") as error:
                    refine_file(*inputs[:2], output, scheduler=client, **options, **TILE)
                said.append(error)

    refine_file(*inputs[:2], output, scheduler=client, progress=begin_another, **TILE)
    assert len(said) >= 2
    assert_right(output, inputs)


# ---- clients and schedulers ------------------------------------------------------------------


def test_closed_clients(cluster, inputs, output):
    closed = distributed.Client(cluster, set_as_default=False)
    closed.close()
    with pytest.raises(InvalidInput, match=r"scheduler=<Client.*> is closed; pass a"):
        refine_file(*inputs[:2], output, scheduler=closed, **TILE)
    assert beside(output) == []


def test_clients_of_an_event_loop(cluster, inputs, output):
    """There, a call of a client returns what is to be awaited, which we do not do."""

    async def run():
        address = cluster.scheduler_address
        async with distributed.Client(address, asynchronous=True, set_as_default=False) as client:
            with pytest.raises(InvalidInput, match=r"scheduler=<Client.*> is asynchronous; pass"):
                refine_file(*inputs[:2], output, scheduler=client, **TILE)

    asyncio.run(run())
    assert beside(output) == []


def test_no_workers(inputs, output, monkeypatch):
    said = []
    monkeypatch.setattr(here._log, "warning", lambda text, *args: said.append(text % args))
    monkeypatch.setattr(here, "_NOTICE", 0.2)
    monkeypatch.setattr(here, "_TICK", 0.1)
    with (
        distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as empty,
        distributed.Client(empty, set_as_default=False) as client,
    ):
        with pytest.raises(InvalidInput, match=r"has no workers after 1 s; start some with `dask"):
            refine_file(*inputs[:2], output, scheduler=client, worker_timeout=1.0, **TILE)
        assert any("waiting for workers at" in line for line in said)
    assert beside(output) == []


def test_workers_that_are_started_as_needed(inputs, output):
    """Such clusters have none before there is something to do."""
    with (
        distributed.LocalCluster(
            n_workers=0, processes=False, dashboard_address=":0", threads_per_worker=1
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        cluster.adapt(minimum=0, maximum=1, interval="100ms")
        refine_file(*inputs[:2], output, scheduler=client, worker_timeout=60, **TILE)
    assert_right(output, inputs)


class Processes:
    """A scheduler and a worker, each a process that can be killed."""

    def __init__(self, folder):
        self._file, self._all = folder / "scheduler.json", {}
        self.start("scheduler", "--no-dashboard", "--host", "127.0.0.1", "--port", "0")
        self.start("worker", "--no-dashboard", "--no-nanny", "--nthreads", "1")

    def start(self, name, *options):
        line = [sys.executable, "-P", "-m", f"distributed.cli.dask_{name}", *options]
        self._all[name] = subprocess.Popen(
            [*line, "--scheduler-file", self._file], env=environment(OPENBLAS_NUM_THREADS="1"),
            stderr=subprocess.DEVNULL,
        )  # fmt: skip

    @property
    def address(self):
        import json

        while True:
            try:
                return json.loads(self._file.read_text())["address"]
            except (OSError, ValueError):
                time.sleep(0.1)

    def kill(self, name):
        self._all[name].kill()
        self._all[name].wait()


@pytest.fixture
def processes(tmp_path):
    found = Processes(tmp_path)
    with distributed.Client(found.address, timeout="60s", set_as_default=False) as client:
        client.wait_for_workers(1, timeout=120)
    yield found
    for name in ("worker", "scheduler"):
        found.kill(name)


@pytest.mark.parametrize("name", ["worker", "scheduler"])
def test_what_is_lost_for_good(name, processes, inputs, output):
    """The command says one line, and how to go on."""
    line = [
        "refine", *map(str, inputs[:2]), "-o", str(output), "--tile", "2048",
        "--scheduler", "dask", "--address", processes.address,
    ]  # fmt: skip
    start = f"import hdseg_gpu.executors.dask as m; m._NOTICE = 0.1\n{START}"
    with subprocess.Popen(
        [sys.executable, "-P", "-c", start, *line, "--worker-timeout", "8"],
        env=environment(), stderr=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        said = []
        for text in child.stderr:
            if text.startswith("seeds0: 0"):
                break
            said.append(text)
        processes.kill(name)
        rest = child.communicate()[1].splitlines()
    assert child.returncode == 1, said + rest
    rest = [r for r in rest if not r.startswith(("seeds0: ", "waiting for workers"))]
    assert len(rest) == 1, rest
    reason = "has had no workers for 8 s" if name == "worker" else "was lost"
    assert rest[0].startswith("error: The Dask scheduler at tcp://")
    assert reason in rest[0]
    assert "--resume" in rest[0]
    assert not output.exists()
    refine_file(*inputs[:2], output, resume=True, **TILE)
    assert_right(output, inputs)
