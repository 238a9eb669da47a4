"""Running tasks on threads of this process, so that reading, computing and writing overlap."""

from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from hdseg_gpu.executors.base import Job, Result, Task


class Local:
    """Runs up to `workers` tasks at once."""

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def run(
        self, task: Task, job: Job, phase: str, indices: Sequence[int], *rest: Any
    ) -> Generator[tuple[int, Result]]:
        """Run a task for all indices; see ``base.Executor``."""
        waiting = iter(indices)
        running: dict[Future[Result], int] = {}
        with ThreadPoolExecutor(self.workers, "tile") as pool:  # on exit waits for running tasks
            while True:
                # Tasks are submitted one by one, so that an error stops the rest.
                while len(running) < self.workers and (index := next(waiting, None)) is not None:
                    running[pool.submit(job.do, task, phase, index, *rest)] = index
                if not running:
                    return
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield running.pop(future), future.result()
