"""Private folders and files of a run, safe against foreign ones under the same names.

A name may be a link, a pipe or someone else's file. So folders are opened without following links
and checked before use, files are created under a new name and then renamed, and only regular files
of a bounded size are read.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
# Non-blocking, so that opening a pipe does not wait for its writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
_OTHERS = stat.S_IWGRP | stat.S_IWOTH  # others may write
_REASON = "belongs to someone else, or others may write to it"


class ForeignPath(PermissionError):
    """A folder or file that is not ours and must not be used; the text says why."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.strerror = why


def make_folder(path: Path) -> bool:
    """Create a folder with mode 0700 if it does not exist; return whether it was created."""
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        return False
    return True


@contextmanager
def own_folder(path: Path) -> Iterator[int]:
    """Return the descriptor of a folder of our own.

    Raises ForeignPath if it is a link or no folder, or if others own it or may write to it;
    FileNotFoundError if it does not exist.
    """
    try:
        folder = os.open(path, _FOLDER)
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            raise ForeignPath("is a link" if path.is_symlink() else "is no folder") from error
        if error.errno == errno.EACCES:
            raise ForeignPath(_REASON) from error
        raise
    try:
        if not _is_ours(os.fstat(folder), path.parent):
            raise ForeignPath(_REASON)
        yield folder
    finally:
        os.close(folder)


def _is_ours(status: os.stat_result, beside: Path) -> bool:
    """Return whether a folder belongs to this user and nobody else may write to it."""
    found = status.st_uid, status.st_mode & _OTHERS
    if found == (os.geteuid(), 0):
        return True
    # Some file systems have no owners or modes: then a new file of ours looks the same.
    probe = beside / f".hdseg-{uuid4().hex[:12]}.probe"
    try:
        probe.mkdir(mode=0o700)
    except OSError:
        return False
    try:
        made = probe.lstat()
    finally:
        probe.rmdir()
    return found == (made.st_uid, made.st_mode & _OTHERS)


@contextmanager
def own_file(path: Path, most: int | None = None) -> Iterator[BinaryIO]:
    """Open a regular file of at most `most` bytes in a folder of our own for reading.

    Raises ForeignPath for links, pipes, files of others, hard-linked files, and larger ones.
    """
    with own_folder(path.parent) as folder:
        within = os.fstat(folder)
        try:
            file = os.open(path.name, _FILE, dir_fd=folder)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO):
                raise ForeignPath("is no plain file") from error
            raise
    with os.fdopen(file, "rb") as stream:
        check_plain(file, within.st_uid)
        if most is not None and os.fstat(file).st_size > most:
            raise ForeignPath(f"is larger than {most} bytes")
        yield stream


def check_plain(file: int, owner: int) -> None:
    """Raise ForeignPath unless it is a regular file of `owner` with a single hard link."""
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != owner or status.st_nlink > 1:
        raise ForeignPath("is no plain file of our own")


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file that gets its name when the body succeeds and the file is synced to disk.

    It replaces an existing file. The folder must be our own.
    """
    with own_folder(path.parent) as folder:
        temporary = f".{path.name}.{uuid4().hex[:12]}"
        file = os.open(temporary, _NEW, 0o600, dir_fd=folder)
        try:
            with os.fdopen(file, "wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=folder)
            raise


def write_whole(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    with new_file(path) as stream:
        stream.write(content)
