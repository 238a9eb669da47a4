"""What runs write into their workspace, so that anything else in such a folder is noticed."""

import os
import re
import shutil
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hdseg_gpu.engine.names import folders
from hdseg_gpu.io.own import ForeignPath, own_folder

PLAN = "run.json"
LOCK = "lock"
NAMED = "named.json"
COMPLETE = "output"
TEMPORARY = ".hdseg-"  # prefix of writers' unfinished files

_ASIDE = r"(\.[0-9a-f]{12})"  # suffix of a file before it is renamed
_FILES = re.compile(
    rf"{LOCK}|\.?({re.escape(PLAN)}|{re.escape(NAMED)}|coarse_[a-z]+\.npy){_ASIDE}?"
)
_FOLDERS = folders()
# What may be removed from a workspace.
NAMES = re.compile(rf"({_FILES.pattern}|{_FOLDERS.pattern})$|{COMPLETE}\.|{re.escape(TEMPORARY)}")
_WITHIN = re.compile(rf"\.?\d{{8,}}(\.json)?{_ASIDE}?")


@dataclass(frozen=True)
class Complete:
    """The names under which an unfinished output may be in a workspace."""

    files: str  # prefix of file names; without a plan, the one name for this output
    folder: str | None  # name of a Zarr store; only with a plan, which shows that a run wrote it


def check_content(folder: int, complete: Complete, within: Path | None = None) -> None:
    """Raise ForeignPath if a folder holds anything that runs do not write, links above all.

    within: the folder's path; if given, the folders of phases are checked as well.
    """
    owner = os.fstat(folder).st_uid
    with os.scandir(folder) as entries:
        for entry in entries:
            if not (_is_written_by_runs(entry, owner, complete) or _is_probe(folder, entry)):
                raise ForeignPath(f"holds {entry.name!r}, which no run has written")
            if within is not None and _FOLDERS.fullmatch(entry.name):
                with suppress(FileNotFoundError), own_folder(within / entry.name) as inner:
                    _check_phase(inner, entry.name, owner)


def _check_phase(folder: int, phase: str, owner: int) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            if not (_WITHIN.fullmatch(entry.name) and _is_plain(entry, owner)):
                raise ForeignPath(f"holds {f'{phase}/{entry.name}'!r}, which no run has written")


def _is_written_by_runs(entry: os.DirEntry[str], owner: int, complete: Complete) -> bool:
    name = entry.name
    if _FOLDERS.fullmatch(name):
        return entry.is_dir(follow_symlinks=False)
    if name.startswith((complete.files, TEMPORARY)):
        if entry.is_dir(follow_symlinks=False):
            own = name == complete.folder or name.startswith(TEMPORARY)
            return complete.folder is not None and own
        return _is_plain(entry, owner, names=2)  # a complete one may be linked as the output too
    return _FILES.fullmatch(name) is not None and _is_plain(entry, owner)


def _is_probe(folder: int, entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is an empty folder, created to find out the owner of new files."""
    if not (entry.name.startswith(TEMPORARY) and entry.is_dir(follow_symlinks=False)):
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
    except FileNotFoundError:  # removed by a run in progress
        return True
    return stat.S_ISREG(status.st_mode) and status.st_uid == owner and status.st_nlink <= names


def remove_content(folder: int, path: Path) -> None:
    """Remove a workspace; the record of which run wrote the output goes last."""
    empty(folder, lambda name: name in (LOCK, NAMED))
    for name in (LOCK, NAMED):
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)
    with suppress(OSError):  # files of others in it are kept
        os.rmdir(path)


def empty(folder: int, stays: Callable[[str], bool] = lambda name: name == LOCK) -> None:
    """Remove what runs write, and nothing else, without following links.

    The plan goes last: it identifies the other files as those of a run.
    """
    for name in sorted(os.listdir(folder), key=lambda name: name == PLAN):
        if stays(name) or not NAMES.match(name):
            continue
        if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            shutil.rmtree(name, ignore_errors=True, dir_fd=folder)
        else:
            os.unlink(name, dir_fd=folder)
