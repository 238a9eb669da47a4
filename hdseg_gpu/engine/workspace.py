"""The workspace: a folder beside the output with the state of a run, from which it is resumed.

It is accessible to this user only. A folder that is a link, belongs to another user, or holds any
file that runs do not write is neither written to nor emptied.
"""

import errno
import fcntl
import json
import os
import re
import stat
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from hdseg_gpu.core.errors import HdsegError, InvalidInput, NotWritten, Unfinished
from hdseg_gpu.core.plain import restored
from hdseg_gpu.core.report import FileReport
from hdseg_gpu.core.tiles import BLOCK
from hdseg_gpu.engine.workspace_content import (
    COMPLETE,
    LOCK,
    NAMED,
    PLAN,
    TEMPORARY,
    Complete,
    check_content,
    empty,
    remove_content,
)
from hdseg_gpu.io.formats import suffix_of
from hdseg_gpu.io.own import (
    ForeignPath,
    check_plain,
    make_folder,
    new_file,
    own_file,
    own_folder,
    write_whole,
)  # fmt: skip
from hdseg_gpu.io.paths import is_zarr, synced_folder

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Settings that may change when a run is resumed: (before, now); finished tiles stay valid.
_MAY_BECOME = {"on_error": ("fail", "skip")}
_MOST = 8 << 20  # limit in bytes of a record: with 65,535 classes it has 1 MB
_LONGEST_NAME = 255  # bytes, on all common file systems


@dataclass(frozen=True)
class Workspace:
    """A folder with the plan of a run, planes, and a record of each finished task."""

    folder: Path
    key: str = ""  # of the run, part of everything it writes

    def phase(self, name: str) -> Path:
        """Return the folder of a phase's records."""
        return self.folder / name

    def begin(self, phase: str) -> None:
        """Create the folder of a phase."""
        self.check()
        make_folder(self.phase(phase))

    def record(self, phase: str, index: int, result: dict[str, Any]) -> None:
        """Write the record of a finished task, after all it wrote."""
        place = {"run": self.key, "phase": phase, "task": index}
        write_whole(self._record(phase, index), _sealed(result | place))

    def recorded(self, phase: str, index: int) -> dict[str, Any] | None:
        """Return the result of a finished task of this run, None if there is none."""
        found = _unsealed(self._record(phase, index))
        if found is None:
            return None
        place = found.pop("run", None), found.pop("phase", None), found.pop("task", None)
        return found if place == (self.key, phase, index) else None

    def _record(self, phase: str, index: int) -> Path:
        return self.phase(phase) / f"{index:08d}.json"

    def file(self, name: str) -> Path:
        """Return the path of a file in the folder."""
        return self.folder / name

    def keep(self, name: str, content: dict[str, Any]) -> None:
        """Write a JSON file with a checksum."""
        write_whole(self.folder / name, _sealed(content))

    def kept(self, name: str) -> dict[str, Any] | None:
        """Return what ``keep`` wrote, None if there is none or it is damaged."""
        return _unsealed(self.folder / name)

    def new_file(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Return a context with a stream into a file that is written atomically."""
        return new_file(self.folder / name)

    def begin_output(self, output: Path) -> Path:
        """Remove unfinished outputs; return the path at which to write the output."""
        self.check()
        with own_folder(self.folder) as folder:
            empty(folder, lambda name: not name.startswith((COMPLETE, TEMPORARY)))
        return self.folder / f"{COMPLETE}{suffix_of(output)}"

    def is_there(self) -> bool:
        """Return whether this path, on this machine, is still the folder of this run."""
        return (self.kept(PLAN) or {}).get("run") == self.key

    def check(self) -> None:
        """Raise ForeignPath if the path now leads to another folder."""
        if not self.is_there():
            raise ForeignPath("is no longer the folder of this run")

    def about_to_name(self, complete: Path, report: FileReport) -> None:
        """Record which complete file is about to be renamed to the output, and the report."""
        plan = self.kept(PLAN)
        self.keep(NAMED, {"file": _identity(complete), "plan": plan, "report": report.to_dict()})
        synced_folder(self.folder)


def _sealed(content: Any) -> bytes:
    """Return content as JSON, preceded by its checksum."""
    text = json.dumps(content).encode()
    return b"%08x %s" % (zlib.crc32(text), text)


def _unsealed(path: Path) -> dict[str, Any] | None:
    """Return the content of a file written with ``_sealed``, None if missing or damaged."""
    try:
        with own_file(path, _MOST) as stream:
            seal, text = stream.read(_MOST + 1).split(b" ", 1)
        if seal != b"%08x" % zlib.crc32(text):
            return None
        found = json.loads(text)
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _identity(path: Path) -> list[int]:
    """Return numbers that identify a file or folder independently of its name."""
    status = path.lstat()
    if stat.S_ISDIR(status.st_mode):
        return [status.st_ino]
    return [status.st_ino, status.st_size, status.st_mtime_ns]


def folder_for(output: Path) -> Path:
    """Return the path of the workspace of runs that write `output`."""
    name = f".{output.name}.hdseg"
    if len(os.fsencode(name)) > _LONGEST_NAME:
        name = f".{sha256(os.fsencode(output.name)).hexdigest()[:32]}.hdseg"
    return output.with_name(name)


def recorded_plan(output: Path) -> dict[str, Any]:
    """Return the plan of an unfinished run for an output; empty if there is none."""
    return Workspace(folder_for(output)).kept(PLAN) or {}


def tile_of(plan: dict[str, Any]) -> int | None:
    """Return the side of a plan's tiles, None if it has no valid one."""
    tile = plan.get("tile")
    return tile if type(tile) is int and tile > 0 and tile % BLOCK == 0 else None


def is_own(output: Path) -> bool:
    """Return whether a run wrote this output, and was stopped before it removed its folder."""
    return _named(output) is not None


def _named(output: Path) -> dict[str, Any] | None:
    """Return what the run that wrote an output recorded before renaming it, None if nothing."""
    named = Workspace(folder_for(output)).kept(NAMED)
    try:
        own = named is not None and named.get("file") == _identity(output)
    except OSError:
        own = False
    return named if own else None


def check_folder(output: Path, *, resume: bool, overwrite: bool) -> None:
    """Raise InvalidInput, before any work, if a folder is in the way or not a workspace."""
    folder = folder_for(output)
    with _usable(folder):
        try:
            with own_folder(folder) as descriptor:
                check_content(descriptor, _complete(output), folder)
        except FileNotFoundError:
            return
    if not resume and not overwrite:
        raise InvalidInput(
            f"output {output} has an unfinished run in {folder}; pass resume=True to continue it, "
            "or overwrite=True to start over."
        )


def remove_remains(output: Path) -> None:
    """Remove a folder that holds only a free lock: a finished run left it."""
    folder = folder_for(output)
    with suppress(OSError, InvalidInput), own_folder(folder) as found:
        if not set(os.listdir(found)) <= {LOCK}:
            return
        with _opened(output, make=False) as descriptor:
            remove_content(descriptor, folder)


@contextmanager
def _usable(folder: Path) -> Iterator[None]:
    """Convert errors to InvalidInput that names the folder and the remedy."""
    try:
        yield
    except ForeignPath as error:
        raise InvalidInput(
            f"{folder} {error}, so it is neither used nor removed; remove it yourself, or choose "
            "another output."
        ) from error
    except OSError as error:
        raise InvalidInput(f"{folder} cannot be written: {error.strerror}.") from error


def _complete(output: Path) -> Complete:
    """Return the names under which an unfinished output may be in its workspace."""
    planned = _key_of(recorded_plan(output)) is not None
    name = f"{COMPLETE}{suffix_of(output)}"
    return Complete(
        f"{COMPLETE}." if planned else name, name if planned and is_zarr(output) else None
    )


def _key_of(plan: dict[str, Any]) -> str | None:
    """Return the key of a plan's run, None if the plan is not valid."""
    key = plan.get("run")
    return key if isinstance(key, str) and re.fullmatch("[0-9a-f]{32}", key) else None


@contextmanager
def resumable(folder: Path) -> Iterator[None]:
    """Convert errors of the disk to Unfinished, with the remedy."""
    try:
        yield
    except NotWritten as error:
        raise Unfinished(f"{str(error).rstrip('.')}; {_remedy(error)}") from error
    except ForeignPath as error:
        raise Unfinished(f"{folder} {error}; {_remedy(error)}") from error
    except OSError as error:
        if error.errno is None or isinstance(error, ConnectionError | TimeoutError | HdsegError):
            raise
        where = error.filename or folder
        raise Unfinished(f"{where}: {error.strerror}; {_remedy(error)}") from error


def _remedy(error: OSError) -> str:
    first = "free space" if error.errno in _FULL else "fix that"
    return f"{first} and continue with resume=True."


@contextmanager
def opened(
    output: Path, plan: dict[str, Any], *, resume: bool, overwrite: bool
) -> Iterator[Workspace]:
    """Yield the workspace for an output, with the state of an earlier run if `resume`.

    The workspace is removed if the body succeeds, and kept if it fails. plan: everything that
    results depend on. overwrite: whether the state of an earlier run may be discarded.
    """
    check_folder(output, resume=resume, overwrite=overwrite)
    path = folder_for(output)
    with _opened(output, make=True) as folder:
        if not resume:
            empty(folder)
        with resumable(path):
            yield _settled(Workspace(path), folder, output, plan)
        remove_content(folder, path)


@contextmanager
def _opened(output: Path, *, make: bool) -> Iterator[int]:
    """Yield a descriptor of the folder, locked until the end of the body."""
    path = folder_for(output)
    with ExitStack() as stack:
        with _usable(path):
            if make:
                make_folder(path)
            folder = stack.enter_context(own_folder(path))
            check_content(folder, _complete(output))
            lock = stack.enter_context(_lock_of(folder))
        if not _locked(lock, folder, path):
            raise InvalidInput(
                f"output {output} is being written by another run; wait for it, or choose another "
                "file."
            )
        yield folder


def _lock_of(folder: int) -> BinaryIO:
    """Open the lock file of a folder, and create it if missing; it stays empty."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    file = os.open(LOCK, flags, 0o600, dir_fd=folder)
    stream = os.fdopen(file, "r+b", buffering=0)
    try:
        check_plain(file, os.fstat(folder).st_uid)
    except BaseException:
        stream.close()
        raise
    return stream


def _locked(lock: BinaryIO, folder: int, path: Path) -> bool:
    """Take the lock; return whether we hold it, and another run has not just removed the file."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        there = os.stat(LOCK, dir_fd=folder, follow_symlinks=False)
        return os.path.samestat(os.fstat(lock.fileno()), there) and os.path.samestat(
            os.fstat(folder), path.lstat()
        )
    except OSError:
        return False


def _settled(workspace: Workspace, folder: int, output: Path, plan: dict[str, Any]) -> Workspace:
    """Return the workspace with its run's key; a resumed run must have the same plan."""
    plan = json.loads(json.dumps(plan))
    before = workspace.kept(PLAN) or {}
    key = _key_of(before)
    if key is None:
        empty(folder)
        key = uuid4().hex
        workspace.keep(PLAN, {**plan, "run": key})
        return Workspace(workspace.folder, key)
    plan["run"] = key
    _compare(output, before, plan)
    if plan != before:
        workspace.keep(PLAN, plan)
    return Workspace(workspace.folder, key)


def _compare(output: Path, before: dict[str, Any], plan: dict[str, Any]) -> None:
    """Raise InvalidInput if the settings or the version differ from those of the run."""
    check_version(output, before, plan["version"])
    for name in sorted(before.keys() | plan.keys()):
        change = before.get(name), plan.get(name)
        if change[0] != change[1] and change != _MAY_BECOME.get(name):
            raise InvalidInput(
                f"output {output} cannot be resumed: {name} was {change[0]!r} and is "
                f"{change[1]!r} now; resume with the same, or start over with overwrite=True."
            )


def check_version(output: Path, plan: dict[str, Any], now: str) -> None:
    """Raise InvalidInput if another version of this package began the run."""
    then = plan.get("version", now)
    if then != now:
        raise InvalidInput(
            f"output {output} cannot be resumed: hdseg_gpu {then} began it, and this is {now}; "
            "resume with that version, or start over with overwrite=True."
        )


def finished(output: Path, plan: dict[str, Any]) -> FileReport | None:
    """Finish a run that was stopped after its output was renamed: remove its folder.

    Returns its report, None if there is no such run. Raises InvalidInput if its plan differs.
    """
    named = _named(output)
    if named is None:
        return None
    before = named.get("plan")
    try:
        report = restored(FileReport, named.get("report"))
    except ValueError:
        return None
    if not isinstance(before, dict):
        return None
    _compare(output, before, {**json.loads(json.dumps(plan)), "run": before.get("run")})
    with _opened(output, make=False) as folder:
        remove_content(folder, folder_for(output))
    return report
