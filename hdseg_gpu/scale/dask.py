"""Tiles on the workers of Dask: one future each, paths instead of pictures."""

from collections.abc import Iterator, Sequence
from typing import Any

from hdseg_gpu.core.errors import InvalidInput, Unfinished
from hdseg_gpu.scale.job import Job
from hdseg_gpu.scale.schedule import Result, Task, do

# Futures for each thread of the workers: enough that none waits for the next.
_AHEAD = 3


class Distributed:
    """The workers of a cluster, by a ``distributed.Client``."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def run(
        self, task: Task, job: Job, phase: str, indices: Sequence[int], *rest: Any
    ) -> Iterator[tuple[int, Result]]:
        """Do a task for all indices; see ``schedule.Scheduler``.

        What a lost worker was at is done again by another: a tile is the same whoever writes it.
        """
        from distributed import as_completed
        from distributed.scheduler import KilledWorker

        waiting = iter(indices)
        running: dict[Any, int] = {}
        completed = as_completed(loop=self.client.loop)

        def hand_out() -> None:
            most = _AHEAD * max(1, sum(self.client.nthreads().values()))
            while len(running) < most and (index := next(waiting, None)) is not None:
                future = self.client.submit(do, task, job, phase, index, *rest, pure=False)
                running[future] = index
                completed.add(future)

        try:
            hand_out()
            while running:
                future = next(completed)
                index = running.pop(future)
                yield index, future.result()
                hand_out()
        except KilledWorker as error:
            raise Unfinished(
                f"Workers were lost again and again at tile {index} of phase {phase} (out of "
                "memory?); give them more, or fewer threads, and continue with --resume."
            ) from error
        finally:
            self.client.cancel(list(running), force=True)


def connect(address: str) -> Any:
    """Return a client of the scheduler at an address."""
    try:
        from distributed import Client
    except ImportError as error:
        raise InvalidInput(
            "scheduler='dask' needs Dask; run `pip install 'hdseg_gpu[dist]'`."
        ) from error
    try:
        return Client(address, timeout="10s", set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        reason = " ".join(str(error).split())
        raise InvalidInput(
            f"address={address!r} has no Dask scheduler: {reason}; start one with "
            "`dask scheduler`, and workers with `dask worker ADDRESS`."
        ) from error
