"""The arrays of .npy and .npz files, of any number of dimensions, read part by part."""

import os
import tempfile
from contextlib import ExitStack, suppress
from math import prod
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput, shown
from hdseg_gpu.core.locks import Lock
from hdseg_gpu.core.memory import Budget, MiB, budget_of
from hdseg_gpu.io.npy import TURNED, Header, Npy, read_header
from hdseg_gpu.io.paths import decoding
from hdseg_gpu.io.stored import Stored
from hdseg_gpu.io.zipped import open_member, open_zip

_SUFFIX = ".npy"  # of the arrays in a .npz
_PIECE = 1 << 20  # bytes decompressed at a time
_DEFLATED = 1032  # the most bytes that a byte of a deflated member can stand for
# An array of up to this size is held in memory, if it takes at most 1 / _KEPT_SHARE of what is left
# of the budget. A temporary file costs about 0.2 ms more per MiB.
_KEPT = 32 * MiB
_KEPT_SHARE = 4


def open_array(
    path: Path, key: str | None = None, budget: Budget | None = None
) -> "Npy | NpzMember":
    """Return the array of a .npy file, or the only array, or that named `key`, of a .npz file.

    It is read part by part, and must be closed.
    """
    with decoding(path):
        npy = path.suffix.lower() == _SUFFIX
        found = Npy(path) if npy else NpzMember(path, key, budget or budget_of(None))
    if prod(found.shape) == 0:
        found.close()
        raise InvalidInput(f"{path} contains no pixels, its shape is {found.shape}.")
    return found


class NpzMember:
    """An array of a .npz file.

    It can only be decompressed from the beginning. At the first read of a part, a small array is
    decompressed into memory, a large one into an unnamed temporary file. Reading all of it does
    neither. See ``io.sliced`` for its attributes.
    """

    own = True
    chunks: tuple[int, ...] | None = None

    def __init__(self, path: Path, key: str | None, budget: Budget) -> None:
        """Read the header of the array."""
        self.name, self.bytes_read = str(path), 0
        self._path, self._lock = path, Lock()
        self._unpacked: Npy | NDArray[Any] | None = None
        with ExitStack() as stack:
            file = stack.enter_context(Stored(path))
            self._store = stack.enter_context(
                open_zip(path, stack.enter_context(file.stream()), budget)
            )
            self._member = _chosen(path, self._store, key)
            with open_member(path, self._store, self._member) as member:
                header = read_header(f"{path}: {self._member}", member.read)
            _check_length(path, file.size, self._store.getinfo(self._member), header)
            self._files = stack.pop_all()
        self.shape, self.dtype, self.nbytes = header.shape, header.dtype, header.nbytes
        self.fortran = header.fortran and len(header.shape) > 1
        self.decoding = TURNED if self.fortran else 0
        small = header.nbytes <= min(_KEPT, budget.left // _KEPT_SHARE)
        self.held = header.nbytes if small else 0
        self._length, self._closed = header.length, False

    def __getitem__(self, at: Any) -> NDArray[Any]:
        """Return a part, given by one slice without a step per axis; `...` is the whole array."""
        if self._closed:
            raise InvalidInput(f"{self.name} is closed; open it again to read it.")
        if at is Ellipsis and self._unpacked is None:
            return self._in_memory()
        with self._lock:
            if self._unpacked is None:
                self._unpacked = self._in_memory() if self.held else self._in_a_file()
            unpacked = self._unpacked
        return unpacked[at].copy() if isinstance(unpacked, np.ndarray) else unpacked[at]

    def _in_memory(self) -> NDArray[Any]:
        with decoding(self._path):
            values = np.empty(prod(self.shape), self.dtype)
            self._unpack(values.view(np.uint8).data)
            return values.reshape(self.shape, order="F" if self.fortran else "C")

    def _in_a_file(self) -> Npy:
        """Return the array in a temporary file that vanishes with the process."""
        folder = tempfile.gettempdir()
        try:
            handle, name = tempfile.mkstemp(".npy", "hdseg-", folder)
            try:
                with os.fdopen(handle, "wb") as target:
                    os.posix_fallocate(target.fileno(), 0, self._length + self.nbytes)
                    with decoding(self._path):
                        self._unpack(target, header=True)
                found = Npy(Path(name))
                found.name = self.name  # in messages
                return found
            finally:
                with suppress(OSError):
                    os.unlink(name)
        except OSError as error:
            raise InvalidInput(
                f"{self.name} needs a temporary file for its array, which cannot be written in "
                f"{folder}: {error.strerror}; free some space there, or name another folder in "
                "TMPDIR."
            ) from error

    def _unpack(self, target: Any, *, header: bool = False) -> None:
        """Decompress the values into a buffer, or with their header into a file."""
        size, done = self.nbytes, 0
        with open_member(self._path, self._store, self._member) as stream:
            start = stream.read(self._length)
            if header:
                target.write(start)
            while done < size:
                piece = stream.read(min(size - done, _PIECE))
                if not piece:
                    raise _cut_short(self._path, self._member, done, size)
                if header:
                    target.write(piece)
                else:
                    target[done : done + len(piece)] = piece
                done += len(piece)
            stream.read(1)  # reading the end verifies the checksum
        self.bytes_read += self._store.getinfo(self._member).compress_size

    def close(self) -> None:
        """Close the files; parts can no longer be read."""
        with self._lock:
            self._closed = True
            if isinstance(self._unpacked, Npy):
                self._unpacked.close()
            else:
                self._unpacked = None  # releases the memory
            self._files.close()

    def __enter__(self) -> "NpzMember":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _chosen(path: Path, store: ZipFile, key: str | None) -> str:
    """Return the member of the zip file that is the requested array."""
    files = {name.removesuffix(_SUFFIX): name for name in store.namelist()}
    names = list(files)
    if key is None and len(names) != 1:
        raise InvalidInput(
            f"{path} contains {len(names)} arrays; choose one of {_listed(names)} as the key, "
            "or save only one."
        )
    if key is not None and key not in files:
        raise InvalidInput(f"{path} has no array {shown(key)}; choose one of {_listed(names)}.")
    return files[names[0] if key is None else key]


def _listed(names: list[str]) -> str:
    return f"{names}" if len(names) <= 20 else f"{names[:20]} and {len(names) - 20} more"


def _check_length(path: Path, file_size: int, info: ZipInfo, header: Header) -> None:
    """Raise InvalidInput, before any room is taken, if a member cannot hold its array."""
    stored, size = min(info.compress_size, file_size), header.length + header.nbytes
    most = min(info.file_size, stored * (1 if info.compress_type == ZIP_STORED else _DEFLATED))
    if size > most:
        raise _cut_short(path, info.filename, most, size)


def _cut_short(path: Path, member: str, found: int, size: int) -> InvalidInput:
    return InvalidInput(
        f"{path} cannot be read, it may be damaged or cut short: {member} ends after {found} of "
        f"{size} bytes."
    )
