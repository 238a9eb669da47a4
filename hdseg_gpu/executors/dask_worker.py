"""Functions that run on Dask workers: tasks, and checks of files and folders."""

import asyncio
import os
import socket
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from hdseg_gpu.core.errors import HdsegError, InvalidInput, Unfinished
from hdseg_gpu.executors.base import Job, Result, Task
from hdseg_gpu.io.identity import Changed, identity_of
from hdseg_gpu.io.inputs import Input

PACKAGE = "hdseg_gpu"

_SYNCED = 5.0  # timeout in seconds until a shared disk shows a new folder on all machines


def done_there(release: str, task: Task, job: Job, phase: str, index: int, *rest: Any) -> Result:
    """Run a task on a worker; errors name the worker, in one line."""
    if version(PACKAGE) != release:
        raise Unfinished(
            f"{_here()} has {PACKAGE} {version(PACKAGE)}, but the run has {release}; stop that "
            "worker, and continue with resume=True."
        )
    try:
        return job.do(task, phase, index, *rest)
    except Changed as error:
        raise Changed(
            f"{_here()}: {error} If only that worker sees another file, stop it and continue with "
            "resume=True."
        ) from error
    except HdsegError:
        raise
    except Exception as error:
        raise Unfinished(
            f"{_here()}: tile {index} of phase {phase} failed, {type(error).__name__}: "
            f"{line_of(error)}; fix that and continue with resume=True."
        ) from error


async def inputs_seen(inputs: Sequence[Input | None]) -> str | None:
    """Return why this worker cannot read the inputs of a run, None if it can."""
    return await asyncio.to_thread(_why_no_inputs, inputs)


def _why_no_inputs(inputs: Sequence[Input | None]) -> str | None:
    for given in inputs:
        if given is None or given.identity is None:
            continue
        path = Path(str(given.where))
        try:
            here = identity_of(path, given.key, trusted=given.trust_vrt)
            differs = given.identity.difference(here)
        except InvalidInput as error:
            return f"{_here()}: {error}"
        if differs:
            return f"{_here()} sees another file as {path}: {differs}."
    return None


async def folder_seen(job: Job) -> str | None:
    """Return why this worker cannot write to the folder of a run, None if it can."""
    return await asyncio.to_thread(_why_no_folder, job)


def _why_no_folder(job: Job) -> str | None:
    until, folder = monotonic() + _SYNCED, job.folder
    while True:
        try:
            job.check_workspace()
            with tempfile.TemporaryFile(dir=folder):
                return None
        except OSError as error:
            return f"{_here()} cannot write to {folder}: {error.strerror or error}."
        except Unfinished as error:
            if monotonic() > until:
                return f"{_here()}: {error}"
            sleep(0.2)


def _here() -> str:
    return f"worker on {socket.gethostname()}, process {os.getpid()}"


def line_of(what: Any) -> str:
    """Return the text of an object as one line."""
    return " ".join(str(what).split())
