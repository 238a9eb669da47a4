"""What can be said of a file by its path, and the two guards around its contents."""

import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.locks import RLock

PICTURES = (".png", ".jpg", ".jpeg")
JPEGS = (".jpg", ".jpeg")
TIFFS = (".tif", ".tiff")
ARRAYS = (".npy", ".npz")
READABLE = PICTURES + TIFFS + ARRAYS
WRITABLE = (".png", *TIFFS, *ARRAYS)
# Of large images only.
SLIDES = (".svs", ".ndpi", ".mrxs", ".scn", ".vms", ".vmu", ".bif", ".svslide", ".dcm")
RASTERS = (".jp2", ".img", ".vrt")
LARGE = (*PICTURES, *TIFFS, *SLIDES, *RASTERS, ".npy", ".zarr")
LARGE_OUTPUTS = (".png", *TIFFS, ".npy", ".zarr")

_LONGEST = 300  # characters of a library's error


def is_zarr(path: Path) -> bool:
    """Return whether a path is that of a Zarr store: a folder, or zipped."""
    return path.name.lower().endswith((".zarr", ".zarr.zip"))


def is_large_format(path: Path) -> bool:
    """Return whether only ``open_image`` reads a file, window by window."""
    return is_zarr(path) or path.suffix.lower() in SLIDES + RASTERS


def existing_suffix(path: Path, readable: tuple[str, ...] = READABLE) -> str:
    """Return the lower-case extension of a file that exists and can be read by its extension."""
    suffix = path.suffix.lower()
    if not _exists(path):
        raise InvalidInput(f"{path} does not exist.")
    if not path.is_file():
        raise InvalidInput(f"{path} is not a file.")
    if suffix not in readable:
        raise InvalidInput(
            f"{path} has the extension {suffix!r}; files ending in {', '.join(readable)} "
            "can be read."
        )
    return suffix


def check_output(
    path: Path,
    *,
    overwrite: bool,
    inputs: tuple[Path, ...] = (),
    writable: tuple[str, ...] = WRITABLE,
) -> None:
    """Refuse, before any work is done, an output that could not or should not be written."""
    if path.suffix.lower() not in writable:
        lossy = " (JPEG would change the labels)" if path.suffix.lower() in JPEGS else ""
        raise InvalidInput(
            f"output {path} has the extension {path.suffix!r}{lossy}; choose one of "
            f"{', '.join(writable)}."
        )
    there = _exists(path) or path.is_symlink()  # a link to nothing is something, too
    if not path.parent.is_dir():
        raise InvalidInput(f"output folder {path.parent} does not exist; create it first.")
    if path.is_dir() and not (is_zarr(path) and _is_store(path)):
        raise InvalidInput(f"output {path} is a folder; name a file in it.")
    for source in inputs:
        if there and _exists(source) and path.exists() and path.samefile(source):
            raise InvalidInput(f"output {path} is an input too; name another file.")
    if there and not overwrite:
        raise InvalidInput(f"output {path} exists; name another file, or pass --overwrite.")
    if not os.access(path.parent, os.W_OK):
        raise InvalidInput(f"output folder {path.parent} is not writable.")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:  # a name that is too long, say
        raise InvalidInput(f"{path} cannot be a file: {error.strerror}.") from error


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises in the body into one line that names the file."""
    try:
        yield
    except InvalidInput:
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
def completed(path: Path, overwrite: bool = True) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path` that takes its name only when the body succeeds.

    Without `overwrite`, a file that has come to that name in the meantime stays.
    """
    temporary = path.with_name(f".hdseg-{uuid4().hex[:12]}.part")
    try:
        stream = temporary.open("xb")
    except OSError as error:
        raise InvalidInput(f"output {path} cannot be written: {error.strerror}.") from error
    try:
        with stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        take_name(temporary, path, overwrite)
    finally:
        temporary.unlink(missing_ok=True)


def take_name(temporary: Path, path: Path, overwrite: bool) -> None:
    """Give a complete file, or folder, its name; without `overwrite` only if that is free."""
    if overwrite and path.is_dir():
        before = temporary.with_name(f".hdseg-{uuid4().hex[:12]}.old")
        path.rename(before)
        temporary.rename(path)
        shutil.rmtree(before, ignore_errors=True)
    elif overwrite:
        temporary.replace(path)
    elif temporary.is_dir():
        try:
            temporary.rename(path)  # fails where there is anything but an empty folder
        except OSError as error:
            raise InvalidInput(_appeared(path)) from error
    else:
        _take_free_name(temporary, path)


def _appeared(path: Path) -> str:
    return (
        f"output {path} has appeared in the meantime and is left as it is; name another file, "
        "or pass --overwrite."
    )


def _is_store(path: Path) -> bool:
    """Return whether a folder is a Zarr store, which may be replaced."""
    return any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zarray"))


def _take_free_name(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)  # unlike a rename, it fails where the name is taken
    except FileExistsError as error:
        raise InvalidInput(_appeared(path)) from error
    except OSError:  # a file system without links
        temporary.replace(path)
