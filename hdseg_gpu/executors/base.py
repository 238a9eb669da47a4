"""The interface of executors, which run the tasks of a phase without knowing what they do."""

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, Protocol

Result = dict[str, Any]
Task = Callable[..., Result]


class Job(Protocol):
    """The data that tasks work on; sent to workers as plain values and paths."""

    @property
    def run(self) -> str:
        """Return the unique name of this attempt."""

    @property
    def folder(self) -> Path:
        """Return the folder that all workers write to."""

    def check_workspace(self) -> None:
        """Raise Unfinished if the run was abandoned or its folder now belongs to another run."""

    def do(self, task: Task, phase: str, index: int, *rest: Any) -> Result:
        """Run a task and record its result."""


class Executor(Protocol):
    """Runs tasks on threads of this process or on remote workers."""

    def run(
        self, task: Task, job: Job, phase: str, indices: Sequence[int], *rest: Any
    ) -> Generator[tuple[int, Result]]:
        """Run a task for all indices by ``job.do``; yield (index, result) in order of completion.

        The first error is raised. After it, or if the generator is closed, no new task starts.
        """
