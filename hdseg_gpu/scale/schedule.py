"""Who does the tasks of a phase, and what doing one means."""

from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol

from hdseg_gpu.scale.job import Job
from hdseg_gpu.scale.workspace import resumable

Result = dict[str, Any]
Task = Callable[..., Result]


class Scheduler(Protocol):
    """Who does the tasks: threads of this process, or workers elsewhere."""

    def run(
        self, task: Task, job: Job, phase: str, indices: Sequence[int], *rest: Any
    ) -> Generator[tuple[int, Result]]:
        """Do task(job, index, *rest) for all indices, and yield the results as they come.

        The first error is raised, and nothing new is begun then, nor when it is closed early.
        """


def do(task: Task, job: Job, phase: str, index: int, *rest: Any) -> Result:
    """Do a task, and record that it is done."""
    job.check_workspace()
    with resumable(job.workspace.folder):
        with job.ops.here(job.device_memory), job.ops.threads(job.threads):
            result = task(job, index, *rest)
        job.check_workspace()
        job.workspace.record(phase, index, result)
    return result
