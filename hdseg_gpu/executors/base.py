"""What runs the tasks of a phase, and what it needs to know of them: nothing but their number."""

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, Protocol

Result = dict[str, Any]
Task = Callable[..., Result]


class Job(Protocol):
    """What tasks work on; it travels to workers as plain values and paths."""

    @property
    def run(self) -> str:
        """Return the name of this attempt at the work."""

    @property
    def folder(self) -> Path:
        """Return the folder that all workers write to."""

    def check_workspace(self) -> None:
        """Raise Unfinished if the work was given up, or its folder is another's by now."""

    def do(self, task: Task, phase: str, index: int, *rest: Any) -> Result:
        """Do a task, and record that it is done."""


class Executor(Protocol):
    """Runs tasks: on threads of this process, or on workers elsewhere."""

    def run(
        self, task: Task, job: Job, phase: str, indices: Sequence[int], *rest: Any
    ) -> Generator[tuple[int, Result]]:
        """Do a task for all indices, each by ``job.do``; yield the results as they come.

        The first error is raised, and nothing new is begun then, nor when it is closed early.
        """
