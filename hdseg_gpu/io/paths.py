"""Checks of paths, guards around reading and writing, and atomic renaming."""

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
from hdseg_gpu.io.zarr_files import NODES

_SYNCS = 8  # concurrent fsync calls
_HERE, _NOREPLACE, _EXCHANGE = -100, 1, 2  # AT_FDCWD and so on, of renameat2
# Errors of file systems without hard links.
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL)

_LONGEST = 300  # characters of a library's error


def is_zarr(path: Path) -> bool:
    """Return whether a path names a Zarr store: a folder, or zipped."""
    found = formats.format_of(path)
    return found is not None and found.store


def real_within(root: str, path: str | os.PathLike[str]) -> str | None:
    """Return the real path of `path`, None if it is outside `root`, which is a real path."""
    real = os.path.realpath(path)
    return real if real.startswith(root.rstrip(os.sep) + os.sep) else None


def format_to_read(path: Path) -> formats.Format:
    """Return the format of a file that exists and can be read."""
    found = formats.format_of(path)
    if found is not None and found.store:
        return found  # a folder or a file; its reader reports what is wrong
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
    """Return the format of an output by its extension."""
    found = formats.format_of(path)
    if found is None or found.write is None:
        lossy = f" ({found.name} would change the labels)" if found and found.lossy else ""
        raise InvalidInput(
            f"output {path} has the extension {path.suffix!r}{lossy}; choose one of "
            f"{formats.suffixes(formats.writable())}."
        )
    return found


def check_output(path: Path, *, overwrite: bool, inputs: tuple[Path, ...] = ()) -> Path:
    """Raise InvalidInput, before any work is done, if an output cannot or must not be written.

    Returns the path to write: the same, or with `overwrite` the target of a link.
    """
    there = exists(path, "output ") or path.is_symlink()  # a broken link exists, too
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
        raise InvalidInput(f"output {path} is {what}; name a file in it, or another file.")
    for source in inputs:
        if there and exists(source) and path.exists() and path.samefile(source):
            raise InvalidInput(f"output {path} is also an input; name another file.")
    if there and not overwrite:
        raise InvalidInput(f"output {path} exists; name another file, or pass overwrite=True.")
    if there:
        _check_replaceable(path, target)
    if not os.access(target.parent, os.W_OK):
        raise InvalidInput(f"output folder {target.parent} is not writable.")
    return target


def followed(path: Path) -> Path:
    """Return the target of a link, so that the target is replaced and not the link.

    Links of other users are refused: they could choose which of our files is replaced.
    """
    if not path.is_symlink():
        return path
    if path.lstat().st_uid not in (os.geteuid(), 0):
        raise InvalidInput(
            f"output {path} is a link of another user; remove it, or name another file."
        )
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:  # RuntimeError: circular links, before 3.13
        raise InvalidInput(f"output {path} is a link in a circle of links; remove it.") from error


def _check_replaceable(path: Path, target: Path) -> None:
    """Raise InvalidInput, before any work is done, if the output cannot be replaced."""
    try:
        status = target.lstat()
    except FileNotFoundError:  # the target of a broken link; it can be created
        return
    folder = stat.S_ISDIR(status.st_mode)
    if not folder and not stat.S_ISREG(status.st_mode):
        raise InvalidInput(f"output {path} is no file; remove it, or name another file.")
    if is_zarr(target) and not folder:
        raise InvalidInput(
            f"output {path} is a file, but a Zarr store is a folder; remove it, or name another."
        )
    parent, user = target.parent.stat(), os.geteuid()
    kept = parent.st_mode & stat.S_ISVTX and user not in (0, status.st_uid, parent.st_uid)
    if kept or (folder and not os.access(target, os.W_OK)):
        raise InvalidInput(f"output {path} belongs to someone else and cannot be replaced.")


def exists(path: Path, what: str = "") -> bool:
    """Return whether a path exists; what: prefix of the name in messages, such as "output "."""
    try:
        return path.exists()
    except OSError as error:  # a name that is too long, a folder without permission
        raise InvalidInput(f"{what}{path} cannot be a file: {error.strerror}.") from error


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Turn any exception of a decoder in the body into one line that names the file."""
    try:
        yield
    except (InvalidInput, RefinementWarning):
        raise
    except MemoryError as error:
        raise InvalidInput(
            f"{path} cannot be read, there is not enough memory for its content: {reason_of(error)}"
        ) from error
    except BaseException as error:  # decoders raise anything, from zlib.error to TokenError
        # Panics of Rust libraries are no Exceptions; neither is KeyboardInterrupt.
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
    """Return the text of an error on one line, shortened: some quote a whole file."""
    reason = " ".join(f"{type(error).__name__}: {error}"[: 2 * _LONGEST].split())
    return reason if len(reason) <= _LONGEST else f"{reason[:_LONGEST]} ..."


_warnings = RLock()  # warnings.catch_warnings changes global state


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress warnings of libraries in the body: callers cannot act on them."""
    with _warnings, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def completed(path: Path, overwrite: bool = True) -> Iterator[Any]:
    """Open a temporary file beside `path` that is renamed to it when the body succeeds.

    Without `overwrite`, a file that has appeared under that name in the meantime is kept.
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
    """An output stream that hides its file descriptor from libraries.

    Writes to the descriptor that bypass Python fail silently: on a full disk NumPy loses the end of
    a file.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.write, self.flush = stream.write, stream.flush
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int = -1) -> bytes:
        """Raise UnsupportedOperation; some libraries require the method of a stream."""
        raise UnsupportedOperation(f"read({size}) of an output")

    def seekable(self) -> bool:
        """Return whether the stream is seekable."""
        return True


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError in the body into NotWritten, which names the output and the reason."""
    try:
        yield
    except NotWritten as error:  # from a part of the output
        raise _not_written(path, error.reason, error) from error
    except (HdsegError, ConnectionError, TimeoutError):
        raise
    except OSError as error:
        # Not all libraries set strerror.
        reason = error.strerror or " ".join(str(error).split()) or type(error).__name__
        raise _not_written(path, reason, error) from error


def _not_written(path: Path, reason: str, error: OSError) -> NotWritten:
    return NotWritten(f"output {path} cannot be written: {reason}.", reason, error.errno)


def temporary_for(path: Path, suffix: str = ".part") -> Path:
    """Return an unused path in the same folder."""
    return path.with_name(f".hdseg-{uuid4().hex[:12]}{suffix}")


def take_name(temporary: Path, path: Path, overwrite: bool) -> None:
    """Rename a complete file, or folder, to `path`; without `overwrite` only if that is free.

    The content is synced before, and the name when this returns: after a power failure the name
    never stands for incomplete content.
    """
    synced(temporary)
    if overwrite and path.is_dir() and not path.is_symlink():
        _replace_folder(temporary, path)
    elif overwrite:
        temporary.replace(path)
    elif temporary.is_dir():
        try:
            temporary.rename(path)  # fails if anything but an empty folder exists there
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise InvalidInput(_appeared(path)) from error
            raise
    else:
        _take_free_name(temporary, path)
    synced_folder(path.parent)


def synced(path: Path) -> None:
    """Sync a file to disk, or a folder with its content."""
    if not path.is_dir():
        _sync(path)
        return
    folders, files = [path], []
    for folder, _, names in os.walk(path):
        folders.append(Path(folder))
        files += [Path(folder) / name for name in names]
    # Disks handle many requests at once.
    with ThreadPoolExecutor(_SYNCS) as pool:
        list(pool.map(_sync, files))
    for inner in reversed(folders):
        synced_folder(inner)


def synced_folder(path: Path | int) -> None:
    """Sync the entries of a folder to disk, if the file system supports it."""
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
    """Replace a folder by another, and remove the old one."""
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
    """Exchange two names atomically; return whether the system supports it."""
    return renamed(one, other, _EXCHANGE)


def renamed(one: Path, other: Path, how: int) -> bool:
    """Rename by ``renameat2``; return False if the system does not support it."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    names = _HERE, os.fsencode(one.absolute()), _HERE, os.fsencode(other.absolute())
    return bool(rename(*names, how) == 0)


def _appeared(path: Path) -> str:
    return (
        f"output {path} has appeared in the meantime and was not changed; name another file, "
        "or pass overwrite=True."
    )


def _is_store(path: Path) -> bool:
    """Return whether a folder is a Zarr store, which may be replaced."""
    try:
        return any((path / name).exists() for name in NODES)
    except OSError as error:
        raise InvalidInput(f"output {path} cannot be read: {error.strerror}.") from error


def _take_free_name(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)  # unlike a rename, fails if the name is taken
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
