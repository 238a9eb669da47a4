"""Fixtures of the suites: input files, and contestants in child processes."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

# Last, so that the installed package comes before the source folder beside the benchmarks.
sys.path.append(str(Path(__file__).parent.parent))
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from numpy.typing import NDArray

from benchmarks.child import Child, Contestant, clock
from benchmarks.inputs import Case, Files
from benchmarks.machine import describe

PATIENCE = 1.0  # seconds after which a peer's first run is its only one
QUICK = 0.2  # seconds up to which five rounds are timed, not three
Compete = Callable[..., NDArray[Any]]


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to run in parallel, which would distort times."""
    if config.getoption("numprocesses", 0):
        raise pytest.UsageError("benchmarks run one after the other: add -n 0")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Use the times measured in children, without timeouts."""
    for item in items:
        item.add_marker(pytest.mark.benchmark(timer=clock))
        item.add_marker(pytest.mark.timeout(0))


def pytest_benchmark_update_machine_info(config: Any, machine_info: dict[str, Any]) -> None:
    """Add the machine's description to the JSON, for the report."""
    machine_info["described"] = describe()


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Files]:
    """Yield the inputs' files, several gigabytes in a full run; they are removed afterwards."""
    with TemporaryDirectory(dir=tmp_path_factory.getbasetemp()) as folder:
        yield Files(Path(folder))


@pytest.fixture
def present(case: Case, files: Files) -> Case:
    """Return the case, or skip if its images are missing."""
    try:
        files.picture(case)
    except FileNotFoundError as error:
        pytest.skip(f"no such picture: {error}")
    return case


@pytest.fixture
def compete(benchmark: Any) -> Compete:
    """Return the function that times one contestant and returns its array.

    The first run measures peak memory and warms up; the timed runs follow. A slow peer is timed by
    its first run alone, unless it names the options for timing.
    """

    def run(
        group: str,
        contestant: Contestant,
        folder: Path,
        *,
        threads: int | None = None,
        peer: bool = True,
        facts: dict[str, Any],
        **options: Any,
    ) -> NDArray[Any]:
        with Child(contestant, folder, threads) as child:
            first = child.run(**options)
            timed = first.remarks.pop("timed", None)
            once = peer and first.seconds > PATIENCE and timed is None
            rounds = 5 if first.seconds < QUICK else 3
            if once or (peer and first.seconds > 4 * PATIENCE):
                rounds = 1
            last = first

            def one_round() -> None:
                nonlocal last
                if not once:
                    last = child.run(**options, **(timed or {}))
                clock.now += last.seconds

            benchmark.group = group
            benchmark.pedantic(one_round, rounds=rounds)
            benchmark.extra_info.update(
                facts, peak_mib=first.peak_mib, threads=threads or os.cpu_count(), **last.remarks
            )
            return child.result()

    return run
