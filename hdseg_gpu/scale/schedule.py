"""Who runs the tasks of a phase, and what running one means.

Nothing here knows what the tasks do.
"""

from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol

from hdseg_gpu.core.ops import Ops
from hdseg_gpu.core.report import Stages
from hdseg_gpu.scale.workspace import Workspace, resumable

Result = dict[str, Any]
Task = Callable[..., Result]


class Job(Protocol):
    """What tasks work on; it travels to workers as plain values and paths."""

    @property
    def ops(self) -> Ops:
        """Return the backend, which travels as its name."""

    @property
    def workspace(self) -> Workspace:
        """Return the folder of the run."""

    @property
    def threads(self) -> int:
        """Return how many threads a task may use."""

    @property
    def device_memory(self) -> int | None:
        """Return the bytes of a device that a task may use."""

    @property
    def run(self) -> str:
        """Return the name of this attempt at the work."""

    def check_workspace(self) -> None:
        """Raise Unfinished if the work was given up, or its folder is another's by now."""


class Scheduler(Protocol):
    """Who does the tasks: threads of this process, or workers elsewhere."""

    def run(
        self, task: Task, job: Job, phase: str, indices: Sequence[int], *rest: Any
    ) -> Generator[tuple[int, Result]]:
        """Do task(job, stages, index, *rest) for all indices; yield the results as they come.

        The first error is raised, and nothing new is begun then, nor when it is closed early.
        """


def do(task: Task, job: Job, phase: str, index: int, *rest: Any) -> Result:
    """Do a task, and record that it is done."""
    job.check_workspace()
    with resumable(job.workspace.folder):
        with job.ops.here(job.device_memory), job.ops.threads(job.threads):
            result = task(job, Stages(), index, *rest)
        job.check_workspace()
        job.workspace.record(phase, index, result)
    return result
