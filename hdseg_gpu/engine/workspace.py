"""The folder of a run beside its output: what is done so far, so that a run can be resumed.

It is made for this user alone. One that is a link, that belongs to someone else, or that holds
anything that no run writes is not ours: it is neither written to nor emptied.
"""

import errno
import fcntl
import json
import os
import re
import shutil
import stat
import zlib
from collections.abc import Callable, Iterator
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
from hdseg_gpu.io.formats import suffix_of
from hdseg_gpu.io.own import (
    NotOurs,
    check_plain,
    make_folder,
    new_file,
    own_file,
    own_folder,
    write_whole,
)  # fmt: skip
from hdseg_gpu.io.paths import is_zarr, synced_folder

_PLAN = "run.json"
_LOCK = "lock"
_NAMED = "named.json"
_COMPLETE = "output"
_TEMPORARY = ".hdseg-"  # what writers call what is not complete
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# What may become of a setting when a run is resumed: what was done without loss stays right.
_MAY_BECOME = {"on_error": ("fail", "skip")}
_MOST = 8 << 20  # bytes of a record: with 65,535 classes they have 1 MB
_LONGEST_NAME = 255  # bytes, on all usual file systems

_ASIDE = r"(\.[0-9a-f]{12})"  # a file that does not have its name yet
_FILES = re.compile(
    rf"{_LOCK}|\.?({re.escape(_PLAN)}|{re.escape(_NAMED)}|coarse_[a-z]+\.npy){_ASIDE}?"
)
_FOLDERS = re.compile(
    r"(statistics|edges|measure|tiles|labels)|(seeds|redraw|known|cells|classes)\d+"
)
_NAMES = re.compile(
    rf"({_FILES.pattern}|{_FOLDERS.pattern})$|{_COMPLETE}\.|{re.escape(_TEMPORARY)}"
)
_WITHIN = re.compile(rf"\.?\d{{8,}}(\.json)?{_ASIDE}?")


@dataclass(frozen=True)
class Workspace:
    """A folder with the plan of a run, planes, and a record of each task that is done."""

    folder: Path
    key: str = ""  # of the run, in all that it writes

    def phase(self, name: str) -> Path:
        """Return the folder with the records of a phase."""
        return self.folder / name

    def begin(self, phase: str) -> None:
        """Make the folder of a phase."""
        self.check()
        make_folder(self.phase(phase))

    def record(self, phase: str, index: int, result: dict[str, Any]) -> None:
        """Say that a task is done, after all that it wrote."""
        place = {"run": self.key, "phase": phase, "task": index}
        write_whole(self._record(phase, index), _sealed(result | place))

    def recorded(self, phase: str, index: int) -> dict[str, Any] | None:
        """Return what a task of this run said when it was done, None if it is not."""
        found = _unsealed(self._record(phase, index))
        if found is None:
            return None
        place = found.pop("run", None), found.pop("phase", None), found.pop("task", None)
        return found if place == (self.key, phase, index) else None

    def _record(self, phase: str, index: int) -> Path:
        return self.phase(phase) / f"{index:08d}.json"

    def file(self, name: str) -> Path:
        """Return the path of a file in it."""
        return self.folder / name

    def keep(self, name: str, content: dict[str, Any]) -> None:
        """Keep what is found by its name."""
        write_whole(self.folder / name, _sealed(content))

    def kept(self, name: str) -> dict[str, Any] | None:
        """Return it, None where nothing is kept or it is damaged."""
        return _unsealed(self.folder / name)

    def new_file(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Return a context with a stream into a file that appears when it is complete."""
        return new_file(self.folder / name)

    def begin_output(self, output: Path) -> Path:
        """Return where the output may be written: nothing is there."""
        self.check()
        with own_folder(self.folder) as folder:
            _empty(folder, lambda name: not name.startswith((_COMPLETE, _TEMPORARY)))
        return self.folder / f"{_COMPLETE}{suffix_of(output)}"

    def is_there(self) -> bool:
        """Return whether what lies under its path is still, or here too, the folder of this run."""
        return (self.kept(_PLAN) or {}).get("run") == self.key

    def check(self) -> None:
        """Raise NotOurs where another folder has taken the place of this run's."""
        if not self.is_there():
            raise NotOurs("is no longer the folder of this run")

    def about_to_name(self, complete: Path, report: FileReport) -> None:
        """Keep which file is complete and about to get the output's name, and what was done."""
        plan = self.kept(_PLAN)
        self.keep(_NAMED, {"file": _identity(complete), "plan": plan, "report": report.to_dict()})
        synced_folder(self.folder)


def _sealed(content: Any) -> bytes:
    """Return JSON behind its check sum."""
    text = json.dumps(content).encode()
    return b"%08x %s" % (zlib.crc32(text), text)


def _unsealed(path: Path) -> dict[str, Any] | None:
    """Return what a file says, None if there is none or it is not as it was written."""
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
    """Return what tells a file, or folder, from any other; names do not matter to it."""
    status = path.lstat()
    if stat.S_ISDIR(status.st_mode):
        return [status.st_ino]
    return [status.st_ino, status.st_size, status.st_mtime_ns]


def folder_for(output: Path) -> Path:
    """Return the folder of the runs that write `output`."""
    name = f".{output.name}.hdseg"
    if len(os.fsencode(name)) > _LONGEST_NAME:
        name = f".{sha256(os.fsencode(output.name)).hexdigest()[:32]}.hdseg"
    return output.with_name(name)


def recorded_plan(output: Path) -> dict[str, Any]:
    """Return the plan of an unfinished run for an output; empty if there is none."""
    return Workspace(folder_for(output)).kept(_PLAN) or {}


def tile_of(plan: dict[str, Any]) -> int | None:
    """Return the side of the tiles of a plan, None if there is none."""
    tile = plan.get("tile")
    return tile if type(tile) is int and tile > 0 and tile % BLOCK == 0 else None


def is_own(output: Path) -> bool:
    """Return whether a run wrote an output, and was stopped before it could remove its folder."""
    return _named(output) is not None


def _named(output: Path) -> dict[str, Any] | None:
    """Return what a run that gave its output a name kept of itself; None if there is none."""
    named = Workspace(folder_for(output)).kept(_NAMED)
    try:
        own = named is not None and named.get("file") == _identity(output)
    except OSError:
        own = False
    return named if own else None


def check_folder(output: Path, *, resume: bool, anew: bool) -> None:
    """Refuse, before any work is done, a folder that is in the way or not ours."""
    folder = folder_for(output)
    with _usable(folder):
        try:
            with own_folder(folder) as descriptor:
                _check_content(descriptor, _Complete.of(output), folder)
        except FileNotFoundError:
            return
    if not resume and not anew:
        raise InvalidInput(
            f"output {output} has an unfinished run in {folder}; pass --resume to continue it, "
            "or --overwrite to begin anew."
        )


def remove_remains(output: Path) -> None:
    """Remove a folder that holds nothing but a lock nobody has: a finished run left it so."""
    folder = folder_for(output)
    with suppress(OSError, InvalidInput), own_folder(folder) as found:
        if not set(os.listdir(found)) <= {_LOCK}:
            return
        with _opened(output, make=False) as descriptor:
            _remove(descriptor, folder)


@contextmanager
def _usable(folder: Path) -> Iterator[None]:
    """Say which folder cannot be used, and what to do."""
    try:
        yield
    except NotOurs as error:
        raise InvalidInput(
            f"{folder} {error}, so no run uses or removes it; remove it yourself, or name another "
            "output."
        ) from error
    except OSError as error:
        raise InvalidInput(f"{folder} cannot be written: {error.strerror}.") from error


@dataclass(frozen=True)
class _Complete:
    """What may be there of an output that was being written."""

    files: str  # what their names begin with; without a plan they must be this output's
    folder: str | None  # a store, of which a plan says that a run has written it

    @classmethod
    def of(cls, output: Path) -> "_Complete":
        planned = _key_of(recorded_plan(output)) is not None
        name = f"{_COMPLETE}{suffix_of(output)}"
        return cls(
            f"{_COMPLETE}." if planned else name, name if planned and is_zarr(output) else None
        )


def _key_of(plan: dict[str, Any]) -> str | None:
    """Return the key of a plan's run, None where it is no plan of ours."""
    key = plan.get("run")
    return key if isinstance(key, str) and re.fullmatch("[0-9a-f]{32}", key) else None


def _check_content(folder: int, complete: _Complete, within: Path | None = None) -> None:
    """Raise NotOurs if a folder holds what no run writes: links above all.

    within: the folder's path, for those of the phases to be looked into.
    """
    owner = os.fstat(folder).st_uid
    with os.scandir(folder) as entries:
        for entry in entries:
            if not (_is_written_by_runs(entry, owner, complete) or _is_probe(folder, entry)):
                raise NotOurs(f"holds {entry.name!r}, which no run has written")
            if within is not None and _FOLDERS.fullmatch(entry.name):
                with suppress(FileNotFoundError), own_folder(within / entry.name) as inner:
                    _check_phase(inner, entry.name, owner)


def _check_phase(folder: int, phase: str, owner: int) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            if not (_WITHIN.fullmatch(entry.name) and _is_plain(entry, owner)):
                raise NotOurs(f"holds {f'{phase}/{entry.name}'!r}, which no run has written")


def _is_written_by_runs(entry: os.DirEntry[str], owner: int, complete: _Complete) -> bool:
    name = entry.name
    if _FOLDERS.fullmatch(name):
        return entry.is_dir(follow_symlinks=False)
    if name.startswith((complete.files, _TEMPORARY)):
        if entry.is_dir(follow_symlinks=False):
            own = name == complete.folder or name.startswith(_TEMPORARY)
            return complete.folder is not None and own
        return _is_plain(entry, owner, names=2)  # when it is complete it has the output's name, too
    return _FILES.fullmatch(name) is not None and _is_plain(entry, owner)


def _is_probe(folder: int, entry: os.DirEntry[str]) -> bool:
    """Return whether it is an empty folder that was made to see whose it would be."""
    if not (entry.name.startswith(_TEMPORARY) and entry.is_dir(follow_symlinks=False)):
        return False
    try:
        inner = os.open(entry.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
    except FileNotFoundError:
        return True
    try:
        return not os.listdir(inner)
    finally:
        os.close(inner)


def _is_plain(entry: os.DirEntry[str], owner: int, names: int = 1) -> bool:
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:  # of a run that goes on
        return True
    return stat.S_ISREG(status.st_mode) and status.st_uid == owner and status.st_nlink <= names


@contextmanager
def resumable(folder: Path) -> Iterator[None]:
    """Say what to do where the body meets a full disk, or one that fails."""
    try:
        yield
    except NotWritten as error:
        raise Unfinished(f"{str(error).rstrip('.')}; {_remedy(error)}") from error
    except NotOurs as error:
        raise Unfinished(f"{folder} {error}; {_remedy(error)}") from error
    except OSError as error:
        if error.errno is None or isinstance(error, ConnectionError | TimeoutError | HdsegError):
            raise
        where = error.filename or folder
        raise Unfinished(f"{where}: {error.strerror}; {_remedy(error)}") from error


def _remedy(error: OSError) -> str:
    first = "free space" if error.errno in _FULL else "mend that"
    return f"{first} and continue with --resume."


@contextmanager
def opened(output: Path, plan: dict[str, Any], *, resume: bool, anew: bool) -> Iterator[Workspace]:
    """Return the workspace for an output, with what an earlier run left if it is to be resumed.

    plan: everything that results depend on. It is removed when the body succeeds, and stays when
    it fails. anew: whether what an earlier run left may be given up.
    """
    check_folder(output, resume=resume, anew=anew)
    path = folder_for(output)
    with _opened(output, make=True) as folder:
        if not resume:
            _empty(folder)
        with resumable(path):
            yield _settled(Workspace(path), folder, output, plan)
        _remove(folder, path)


@contextmanager
def _opened(output: Path, *, make: bool) -> Iterator[int]:
    """Return the descriptor of the folder, which is ours alone until the end of the body."""
    path = folder_for(output)
    with ExitStack() as stack:
        with _usable(path):
            if make:
                make_folder(path)
            folder = stack.enter_context(own_folder(path))
            _check_content(folder, _Complete.of(output))
            lock = stack.enter_context(_lock_of(folder))
        if not _locked(lock, folder, path):
            raise InvalidInput(
                f"output {output} is being written by another run; wait for it, or name another "
                "file."
            )
        yield folder


def _lock_of(folder: int) -> BinaryIO:
    """Return the lock of a folder, which is made if it is not there and never written to."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    file = os.open(_LOCK, flags, 0o600, dir_fd=folder)
    stream = os.fdopen(file, "r+b", buffering=0)
    try:
        check_plain(file, os.fstat(folder).st_uid)
    except BaseException:
        stream.close()
        raise
    return stream


def _locked(lock: BinaryIO, folder: int, path: Path) -> bool:
    """Return whether we have the lock, and not one that another run has just removed."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        there = os.stat(_LOCK, dir_fd=folder, follow_symlinks=False)
        return os.path.samestat(os.fstat(lock.fileno()), there) and os.path.samestat(
            os.fstat(folder), path.lstat()
        )
    except OSError:
        return False


def _settled(workspace: Workspace, folder: int, output: Path, plan: dict[str, Any]) -> Workspace:
    """Return the workspace with the key of its run, whose plan must still be the same."""
    plan = json.loads(json.dumps(plan))
    before = workspace.kept(_PLAN) or {}
    key = _key_of(before)
    if key is None:
        _empty(folder)
        key = uuid4().hex
        workspace.keep(_PLAN, {**plan, "run": key})
        return Workspace(workspace.folder, key)
    plan["run"] = key
    _compare(output, before, plan)
    if plan != before:
        workspace.keep(_PLAN, plan)
    return Workspace(workspace.folder, key)


def _compare(output: Path, before: dict[str, Any], plan: dict[str, Any]) -> None:
    """Refuse to resume with other settings, or with another version."""
    check_version(output, before, plan["version"])
    for name in sorted(before.keys() | plan.keys()):
        change = before.get(name), plan.get(name)
        if change[0] != change[1] and change != _MAY_BECOME.get(name):
            raise InvalidInput(
                f"output {output} cannot be resumed: {name} was {change[0]!r} and is "
                f"{change[1]!r} now; resume with the same, or begin anew with --overwrite."
            )


def check_version(output: Path, plan: dict[str, Any], now: str) -> None:
    """Refuse to resume what another version of this package began, if there is anything."""
    then = plan.get("version", now)
    if then != now:
        raise InvalidInput(
            f"output {output} cannot be resumed: hdseg_gpu {then} began it, and this is {now}; "
            "resume with that version, or begin anew with --overwrite."
        )


def finished(output: Path, plan: dict[str, Any]) -> FileReport | None:
    """Return the report of a run that was stopped when its output had its name, and end it.

    Refuses if it was one with another plan. None if there is no such run.
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
        _remove(folder, folder_for(output))
    return report


def _remove(folder: int, path: Path) -> None:
    """Remove a workspace; to whom the output belongs is known until nothing else is left."""
    _empty(folder, lambda name: name in (_LOCK, _NAMED))
    for name in (_LOCK, _NAMED):
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)
    with suppress(OSError):  # somebody has put something into it, and keeps it
        os.rmdir(path)


def _empty(folder: int, stays: Callable[[str], bool] = lambda name: name == _LOCK) -> None:
    """Remove what runs write, and nothing else; no link is followed.

    The plan goes last: it says that the rest is ours.
    """
    for name in sorted(os.listdir(folder), key=lambda name: name == _PLAN):
        if stays(name) or not _NAMES.match(name):
            continue
        if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            shutil.rmtree(name, ignore_errors=True, dir_fd=folder)
        else:
            os.unlink(name, dir_fd=folder)
