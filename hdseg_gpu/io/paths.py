"""What can be said of a file by its path, and the two guards around its contents."""

import ctypes
import errno
import os
import shutil
import stat
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import UnsupportedOperation
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from hdseg_gpu.core.errors import HdsegError, InvalidInput, NotWritten, RefinementWarning
from hdseg_gpu.core.locks import RLock
from hdseg_gpu.io import formats

_SYNCS = 8  # at once
_HERE, _NOREPLACE, _EXCHANGE = -100, 1, 2  # AT_FDCWD and so on, of renameat2
# What file systems without hard links say.
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL)

_LONGEST = 300  # characters of a library's error


def is_zarr(path: Path) -> bool:
    """Return whether a path is that of a Zarr store: a folder, or zipped."""
    found = formats.format_of(path)
    return found is not None and found.store


def real_within(root: str, path: str | os.PathLike[str]) -> str | None:
    """Return where a path leads, None if that is not in `root`, which is a real path."""
    real = os.path.realpath(path)
    return real if real.startswith(root.rstrip(os.sep) + os.sep) else None


def format_to_read(path: Path) -> formats.Format:
    """Return the format of a file that exists and can be read."""
    found = formats.format_of(path)
    if found is not None and found.store:
        return found  # a folder or a file; its reader says what is wrong
    if not exists(path):
        raise InvalidInput(f"{path} does not exist.")
    if not path.is_file():
        raise InvalidInput(f"{path} is not a file.")
    if found is None or found.read is None:
        raise InvalidInput(
            f"{path} has the extension {path.suffix.lower()!r}; files ending in "
            f"{formats.suffixes(formats.readable())} can be read."
        )
    return found


def format_to_write(path: Path) -> formats.Format:
    """Return the format that labels are written in under this name."""
    found = formats.format_of(path)
    if found is None or found.write is None:
        lossy = f" ({found.name} would change the labels)" if found and found.lossy else ""
        raise InvalidInput(
            f"output {path} has the extension {path.suffix!r}{lossy}; choose one of "
            f"{formats.suffixes(formats.writable())}."
        )
    return found


def check_output(path: Path, *, overwrite: bool, inputs: tuple[Path, ...] = ()) -> Path:
    """Refuse, before any work is done, an output that could not or should not be written.

    Returns where it is written: the same path, or with `overwrite` where a link there leads to.
    """
    there = exists(path, "output ") or path.is_symlink()  # a link to nothing is something, too
    target = followed(path) if overwrite else path
    format_to_write(path)
    if formats.suffix_of(path).lower() != formats.suffix_of(target).lower():
        raise InvalidInput(
            f"output {path} is a link to {target}, which has another extension; name that, or "
            "another file."
        )
    if not target.parent.is_dir():
        raise InvalidInput(f"output folder {target.parent} does not exist; create it first.")
    if target.is_dir() and not (is_zarr(target) and _is_store(target)):
        what = "a folder, but no Zarr store" if is_zarr(target) else "a folder"
        raise InvalidInput(f"output {path} is {what}; name a file in it, or another.")
    for source in inputs:
        if there and exists(source) and path.exists() and path.samefile(source):
            raise InvalidInput(f"output {path} is an input too; name another file.")
    if there and not overwrite:
        raise InvalidInput(f"output {path} exists; name another file, or pass --overwrite.")
    if there:
        _check_replaceable(path, target)
    if not os.access(target.parent, os.W_OK):
        raise InvalidInput(f"output folder {target.parent} is not writable.")
    return target


def followed(path: Path) -> Path:
    """Return where a link leads, so that the file it stands for is replaced and not the link.

    Links of others are refused: they would choose which of our files is replaced.
    """
    if not path.is_symlink():
        return path
    if path.lstat().st_uid not in (os.geteuid(), 0):
        raise InvalidInput(f"output {path} is somebody else's link; remove it, or name another.")
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle, before 3.13
        raise InvalidInput(f"output {path} is a link in a circle of links; remove it.") from error


def _check_replaceable(path: Path, target: Path) -> None:
    """Refuse to replace what could not be replaced after all the work."""
    try:
        status = target.lstat()
    except FileNotFoundError:  # where a link leads to; it can be made
        return
    folder = stat.S_ISDIR(status.st_mode)
    if not folder and not stat.S_ISREG(status.st_mode):
        raise InvalidInput(f"output {path} is no file; remove it, or name another.")
    if is_zarr(target) and not folder:
        raise InvalidInput(
            f"output {path} is a file, and a Zarr store is a folder; remove it, or name another."
        )
    parent, user = target.parent.stat(), os.geteuid()
    kept = parent.st_mode & stat.S_ISVTX and user not in (0, status.st_uid, parent.st_uid)
    if kept or (folder and not os.access(target, os.W_OK)):
        raise InvalidInput(f"output {path} belongs to someone else and cannot be replaced.")


def exists(path: Path, what: str = "") -> bool:
    """Return whether there is something; what: "output " say, before the name in messages."""
    try:
        return path.exists()
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        raise InvalidInput(f"{what}{path} cannot be a file: {error.strerror}.") from error


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises in the body into one line that names the file."""
    try:
        yield
    except (InvalidInput, RefinementWarning):
        raise
    except MemoryError as error:
        raise InvalidInput(
            f"{path} cannot be read, there is not enough memory for what it says to hold: "
            f"{reason_of(error)}"
        ) from error
    except BaseException as error:  # decoders pass on anything, from zlib.error to TokenError
        # Libraries in Rust panic with what is no Exception; Ctrl-C is none either.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        reason = reason_of(error)
        if "imagecodecs" in reason and "requires" in reason:
            raise InvalidInput(
                f"{path}: {reason}; run `pip install 'hdseg_gpu[io]'` for this compression."
            ) from error
        raise InvalidInput(
            f"{path} cannot be read, it may be damaged or cut short: {reason}"
        ) from error


def reason_of(error: BaseException) -> str:
    """Return what an error says, in a part of a line: some quote all of a file."""
    reason = " ".join(f"{type(error).__name__}: {error}"[: 2 * _LONGEST].split())
    return reason if len(reason) <= _LONGEST else f"{reason[:_LONGEST]} ..."


_warnings = RLock()  # what warnings.catch_warnings changes belongs to all threads


@contextmanager
def quiet() -> Iterator[None]:
    """Keep to ourselves what libraries warn of in the body: others cannot do anything about it."""
    with _warnings, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def completed(path: Path, overwrite: bool = True) -> Iterator[Any]:
    """Open a temporary file beside `path` that takes its name only when the body succeeds.

    Without `overwrite`, a file that has come to that name in the meantime stays.
    """
    target = followed(path) if overwrite else path
    temporary = temporary_for(target)
    with writing(path):
        stream = temporary.open("xb")
    try:
        with writing(path):
            with stream:
                yield Seen(stream)
            take_name(temporary, target, overwrite)
    finally:
        temporary.unlink(missing_ok=True)


class Seen:
    """A stream to write to of which libraries cannot take the descriptor.

    What is written to that beside Python fails unseen: on a full disk NumPy loses a file's end.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.write, self.flush = stream.write, stream.flush
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int = -1) -> bytes:
        """Raise: it is there for those that take it for a sign of a stream."""
        raise UnsupportedOperation(f"read({size}) of an output")

    def seekable(self) -> bool:
        """Return whether positions can be chosen."""
        return True


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say which output it was whose writing failed, and why."""
    try:
        yield
    except NotWritten as error:  # of a part of it
        raise _not_written(path, error.reason, error) from error
    except (HdsegError, ConnectionError, TimeoutError):
        raise
    except OSError as error:
        # Not all libraries say which error it was.
        reason = error.strerror or " ".join(str(error).split()) or type(error).__name__
        raise _not_written(path, reason, error) from error


def _not_written(path: Path, reason: str, error: OSError) -> NotWritten:
    return NotWritten(f"output {path} cannot be written: {reason}.", reason, error.errno)


def temporary_for(path: Path, suffix: str = ".part") -> Path:
    """Return a name beside a path that nothing has."""
    return path.with_name(f".hdseg-{uuid4().hex[:12]}{suffix}")


def take_name(temporary: Path, path: Path, overwrite: bool) -> None:
    """Give a complete file, or folder, its name; without `overwrite` only if that is free.

    All of it is on the disk before, and its name when this returns: after a power cut either is
    there, never a name of nothing.
    """
    synced(temporary)
    if overwrite and path.is_dir() and not path.is_symlink():
        _replace_folder(temporary, path)
    elif overwrite:
        temporary.replace(path)
    elif temporary.is_dir():
        try:
            temporary.rename(path)  # fails where there is anything but an empty folder
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise InvalidInput(_appeared(path)) from error
            raise
    else:
        _take_free_name(temporary, path)
    synced_folder(path.parent)


def synced(path: Path) -> None:
    """Force a file to the disk, or a folder with all that is in it."""
    if not path.is_dir():
        _sync(path)
        return
    folders, files = [path], []
    for folder, _, names in os.walk(path):
        folders.append(Path(folder))
        files += [Path(folder) / name for name in names]
    # Disks take many requests at once.
    with ThreadPoolExecutor(_SYNCS) as pool:
        list(pool.map(_sync, files))
    for inner in reversed(folders):
        synced_folder(inner)


def synced_folder(path: Path | int) -> None:
    """Force the names in a folder to the disk, where the file system can."""
    try:
        _sync(path)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES):
            raise


def _sync(path: Path | int) -> None:
    file = path if isinstance(path, int) else os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        if file is not path:
            os.close(file)


def _replace_folder(temporary: Path, path: Path) -> None:
    """Put a folder in the place of another, which is removed."""
    if not temporary.is_dir():
        raise InvalidInput(_appeared(path))
    if exchanged(temporary, path):
        synced_folder(path.parent)
        shutil.rmtree(temporary, ignore_errors=True)
        return
    before = temporary_for(path, ".old")
    path.rename(before)
    try:
        temporary.rename(path)
    except BaseException:
        before.rename(path)
        raise
    synced_folder(path.parent)
    shutil.rmtree(before, ignore_errors=True)


def exchanged(one: Path, other: Path) -> bool:
    """Exchange two names in one step; return whether the system can."""
    return renamed(one, other, _EXCHANGE)


def renamed(one: Path, other: Path, how: int) -> bool:
    """Rename as ``renameat2`` does; return whether the system can, and has."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    names = _HERE, os.fsencode(one.absolute()), _HERE, os.fsencode(other.absolute())
    return bool(rename(*names, how) == 0)


def _appeared(path: Path) -> str:
    return (
        f"output {path} has appeared in the meantime and is left as it is; name another file, "
        "or pass --overwrite."
    )


def _is_store(path: Path) -> bool:
    """Return whether a folder is a Zarr store, which may be replaced."""
    try:
        return any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zarray"))
    except OSError as error:
        raise InvalidInput(f"output {path} cannot be read: {error.strerror}.") from error


def _take_free_name(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)  # unlike a rename, it fails where the name is taken
    except FileExistsError as error:
        raise InvalidInput(_appeared(path)) from error
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if renamed(temporary, path, _NOREPLACE):
            return
        if os.path.lexists(path):
            raise InvalidInput(_appeared(path)) from None
        temporary.replace(path)
