"""Tiles on Dask workers: the same output, whichever workers ran them, and however these died."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from large_files import OPTIONS, beside, build, environment

from hdseg_gpu import InvalidInput, refine_file
from hdseg_gpu.core.errors import Unfinished

distributed = pytest.importorskip("distributed")
dask = pytest.importorskip("dask")

PATIENCE = {  # long timeouts, for busy machines
    "distributed.comm.timeouts.connect": "120s",
    "distributed.nanny.pre-spawn-environ.OPENBLAS_NUM_THREADS": 1,
}

# Warnings from Dask: sockets of killed workers, and deprecated functions that it calls.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return build(tmp_path_factory.mktemp("large"))


@pytest.fixture(scope="module")
def undisturbed(inputs, tmp_path_factory):
    output = tmp_path_factory.mktemp("undisturbed") / "out.tif"
    refine_file(*inputs, output, **OPTIONS)
    return output.read_bytes()


@pytest.fixture(scope="module")
def cluster():
    # Workers are processes of their own, which must meet the same package.
    before = dict(os.environ)
    os.environ.update(environment())
    try:
        with dask.config.set(PATIENCE), distributed.LocalCluster(
            n_workers=2, processes=True, threads_per_worker=1, dashboard_address=":0",
            silence_logs=50,
        ) as cluster:  # fmt: skip
            yield cluster
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def client(cluster):
    with distributed.Client(cluster, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=120)
        yield client


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out.tif"


def test_the_same_file_by_a_client(inputs, undisturbed, client, output):
    seen = []
    report = refine_file(*inputs, output, scheduler=client, progress=seen.append, tile=2048)
    assert output.read_bytes() == undisturbed
    assert beside(output) == []
    assert report.decided_tiles == 8
    assert {now.phase for now in seen} >= {"statistics", "seeds0", "redraw2", "tiles"}
    assert client.status == "running"  # it is not ours to close


def test_the_same_file_by_an_address(inputs, undisturbed, cluster, output):
    refine_file(
        *inputs, output, scheduler="dask", address=cluster.scheduler_address, tile=2048
    )  # fmt: skip
    assert output.read_bytes() == undisturbed


@pytest.mark.parametrize("phase", ["seeds0", "tiles"])
def test_a_worker_that_is_killed(phase, inputs, undisturbed, client, output):
    victims = list(client.run(os.getpid).values())[:1]

    def kill(now):
        if now.phase == phase and now.done == 1 and victims:
            os.kill(victims.pop(), signal.SIGKILL)

    refine_file(*inputs, output, scheduler=client, progress=kill, tile=2048)
    assert victims == []
    assert output.read_bytes() == undisturbed
    assert beside(output) == []


def test_an_error_in_a_tile_comes_back(inputs, client, output, tmp_path):
    content = inputs.image.read_bytes()
    damaged = inputs._replace(image=tmp_path / "cut.tif")
    damaged.image.write_bytes(content[: len(content) // 2])
    with pytest.raises(
        InvalidInput, match=r"cut\.tif: the tile at rows \d+ to \d+, columns \d+ to \d+"
    ):
        refine_file(*damaged, output, scheduler=client, tile=2048)
    assert not output.exists()


def test_an_interrupted_run_goes_on_elsewhere(inputs, undisturbed, client, output):
    def stop(now):
        if now.phase == "redraw0" and now.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        refine_file(*inputs, output, scheduler=client, progress=stop, tile=2048)
    refine_file(*inputs, output, resume=True, **OPTIONS)
    assert output.read_bytes() == undisturbed


def test_a_damaged_plane_comes_back(inputs, client, output):
    def harm(now):
        if now.phase == "tiles" and now.done == 0:
            for path in output.with_name(".out.tif.hdseg").glob("known3/*"):
                path.write_bytes(path.read_bytes()[:100])

    with pytest.raises(Unfinished, match=r"known3/\d+ is damaged; continue with resume=True"):
        refine_file(*inputs, output, scheduler=client, progress=harm, tile=2048)


def test_addresses_that_do_not_answer(inputs, output):
    began = time.monotonic()
    with pytest.raises(InvalidInput, match=r"address='tcp://127\.0\.0\.1:9' has no Dask scheduler"):
        refine_file(*inputs, output, scheduler="dask", address="tcp://127.0.0.1:9")
    with pytest.raises(InvalidInput, match="address='nonsense://x' has no Dask scheduler"):
        refine_file(*inputs, output, scheduler="dask", address="nonsense://x")
    assert time.monotonic() - began < 30
    assert beside(output) == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"scheduler": "dask"}, "scheduler='dask' needs address="),
        ({"address": "tcp://127.0.0.1:9"}, "is for scheduler='dask'; pass that, too"),
        ({"scheduler": "slurm"}, "scheduler='slurm' is unknown"),
        ({"scheduler": ThreadPoolExecutor(1)}, "scheduler=<concurrent.* is unknown"),
        (
            {"scheduler": "dask", "address": "a", "worker_timeout": -1.0},
            "worker_timeout=-1.0 must be",
        ),
    ],
)
def test_schedulers_that_are_not_known(options, sentence, inputs, output):
    with pytest.raises(InvalidInput, match=sentence):
        refine_file(*inputs, output, **options)
    assert beside(output) == []
