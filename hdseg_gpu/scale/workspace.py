"""The folder of a run beside its output: what is done so far, so that a run can be resumed."""

import errno
import fcntl
import json
import os
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from hdseg_gpu.core.errors import InvalidInput, Unfinished
from hdseg_gpu.io.plane import write_whole

_PLAN = "run.json"
_LOCK = "lock"
_NAMED = "named.json"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# What may become of a setting when a run is resumed: what was done without loss stays right.
_MAY_BECOME = {"on_error": ("fail", "skip")}


@dataclass(frozen=True)
class Workspace:
    """A folder with the plan of a run, planes, and a record of each task that is done."""

    folder: Path

    def phase(self, name: str) -> Path:
        """Return the folder with the records of a phase."""
        return self.folder / name

    def record(self, phase: str, index: int, result: dict[str, Any]) -> None:
        """Say that a task is done, after all that it wrote."""
        write_whole(self._record(phase, index), _sealed(result))

    def recorded(self, phase: str, index: int) -> dict[str, Any] | None:
        """Return what a task said when it was done, None if it is not."""
        return _unsealed(self._record(phase, index))

    def _record(self, phase: str, index: int) -> Path:
        return self.phase(phase) / f"{index:08d}.json"

    def keep(self, name: str, content: dict[str, Any]) -> None:
        """Keep what the phases so far found."""
        write_whole(self.folder / name, _sealed(content))

    def kept(self, name: str) -> dict[str, Any] | None:
        """Return it, None where nothing is kept or it is damaged."""
        return _unsealed(self.folder / name)

    def about_to_name(self, complete: Path) -> None:
        """Keep which file is complete and about to get the output's name."""
        self.keep(_NAMED, _identity(complete))


def _sealed(content: dict[str, Any]) -> bytes:
    """Return JSON behind its check sum."""
    text = json.dumps(content).encode()
    return b"%08x %s" % (zlib.crc32(text), text)


def _unsealed(path: Path) -> dict[str, Any] | None:
    """Return what a file says, None if there is none or it is not as it was written."""
    try:
        seal, text = path.read_bytes().split(b" ", 1)
        if int(seal, 16) != zlib.crc32(text):
            return None
        found: dict[str, Any] = json.loads(text)
    except (OSError, ValueError):
        return None
    return found


def _identity(path: Path) -> dict[str, Any]:
    status = path.stat()
    return {"device": status.st_dev, "inode": status.st_ino}


def folder_for(output: Path) -> Path:
    """Return the folder of the runs that write `output`."""
    return output.with_name(f".{output.name}.hdseg")


def recorded_plan(output: Path) -> dict[str, Any]:
    """Return the plan of an unfinished run for an output; empty if there is none."""
    return Workspace(folder_for(output)).kept(_PLAN) or {}


def is_own(output: Path) -> bool:
    """Return whether a run wrote an output, and was stopped before it could remove its folder."""
    named = Workspace(folder_for(output)).kept(_NAMED)
    return named is not None and output.exists() and named == _identity(output)


@contextmanager
def resumable(folder: Path) -> Iterator[None]:
    """Say what to do where the body meets a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise Unfinished(
                f"{folder}: {error.strerror}; free space and continue with --resume."
            ) from error
        raise


@contextmanager
def opened(output: Path, plan: dict[str, Any], *, resume: bool, anew: bool) -> Iterator[Workspace]:
    """Return the workspace for an output, with what an earlier run left if it is to be resumed.

    plan: everything that results depend on. It is removed when the body succeeds, and stays when
    it fails. anew: whether what an earlier run left may be given up.
    """
    folder = folder_for(output)
    there = folder.exists()
    if there and not resume and not anew:
        raise InvalidInput(
            f"output {output} has an unfinished run in {folder}; pass --resume to continue it, "
            "or --overwrite to begin anew."
        )
    try:
        folder.mkdir(exist_ok=True)
        lock = (folder / _LOCK).open("w")
    except OSError as error:
        raise InvalidInput(f"output {output} cannot be written: {error.strerror}.") from error
    with lock:
        if not _locked(lock, folder / _LOCK):
            raise InvalidInput(
                f"output {output} is being written by another run; wait for it, or name another "
                "file."
            )
        if there and not resume:
            _empty(folder)
        workspace = Workspace(folder)
        with resumable(folder):
            _settle(workspace, output, plan)
            yield workspace
        # To whom the output belongs is known until nothing else is left.
        _empty(folder, but=(_LOCK, _NAMED))
        shutil.rmtree(folder, ignore_errors=True)


def _locked(lock: IO[str], path: Path) -> bool:
    """Return whether we have the lock, and not one that another run has just removed."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(lock.fileno()), path.stat())
    except OSError:
        return False


def _settle(workspace: Workspace, output: Path, plan: dict[str, Any]) -> None:
    """Keep the plan, or see that it is still the same."""
    plan = json.loads(json.dumps(plan))
    before = workspace.kept(_PLAN)
    if before is None:
        _empty(workspace.folder)
        workspace.keep(_PLAN, plan)
        return
    for name in sorted(before.keys() | plan.keys()):
        change = before.get(name), plan.get(name)
        if change[0] != change[1] and change != _MAY_BECOME.get(name):
            raise InvalidInput(
                f"output {output} cannot be resumed: {name} was {change[0]!r} and is "
                f"{change[1]!r} now; resume with the same, or begin anew with --overwrite."
            )
    if plan != before:
        workspace.keep(_PLAN, plan)


def _empty(folder: Path, but: tuple[str, ...] = (_LOCK,)) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name in but:
                continue
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                os.unlink(entry.path)
