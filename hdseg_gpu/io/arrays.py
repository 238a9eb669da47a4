"""The arrays of .npy and .npz files, of any number of dimensions."""

import os
import tempfile
from contextlib import ExitStack, suppress
from math import prod
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput, shown
from hdseg_gpu.core.locks import Lock
from hdseg_gpu.core.memory import Budget, Cost, budget_of, nothing
from hdseg_gpu.io.npy import Npy, read_header
from hdseg_gpu.io.paths import decoding
from hdseg_gpu.io.stored import Stored
from hdseg_gpu.io.zipped import open_member, open_zip

_SUFFIX = ".npy"  # of the arrays in a .npz
_PIECE = 1 << 20  # bytes decompressed at a time


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


def read_array(
    path: Path, key: str | None = None, budget: Budget | None = None, cost: Cost = nothing
) -> NDArray[Any]:
    """Return the whole array of a .npy or .npz file.

    cost: further bytes that the array will need.
    """
    budget = budget or budget_of(None)
    with open_array(path, key, budget) as array:
        require_room(path, array, budget, cost(array.shape, array.dtype))
        return array[...]


def require_room(path: Path, array: "Npy | NpzMember", budget: Budget, besides: int) -> None:
    """Raise InvalidInput if an array and `besides` bytes exceed the budget."""
    budget.require(
        array.nbytes + besides,
        f"{path}: its array of shape {array.shape} and dtype {array.dtype}",
        "save a smaller one",
    )


class NpzMember:
    """An array of a .npz file.

    It can only be decompressed from the beginning, so parts are read from an unnamed temporary
    file.
    """

    def __init__(self, path: Path, key: str | None, budget: Budget) -> None:
        """Read the header of the array."""
        self.name, self.bytes_read = str(path), 0
        self._path, self._lock = path, Lock()
        self._unpacked: Npy | None = None
        with ExitStack() as stack:
            stream = stack.enter_context(stack.enter_context(Stored(path)).stream())
            self._store = stack.enter_context(open_zip(path, stream, budget))
            self._member = _chosen(path, self._store, key)
            with open_member(path, self._store, self._member) as member:
                header = read_header(f"{path}: {self._member}", member.read)
            self._files = stack.pop_all()
        self.shape, self.dtype, self.nbytes = header.shape, header.dtype, header.nbytes
        self.fortran = header.fortran and len(header.shape) > 1
        self._length = header.length

    def __getitem__(self, at: Any) -> NDArray[Any]:
        """Return a part, given by one slice without a step per axis; `...` is the whole array."""
        if at is Ellipsis and self._unpacked is None:
            with decoding(self._path):
                values = np.empty(prod(self.shape), self.dtype)
                self._unpack(values.view(np.uint8).data)
                return values.reshape(self.shape, order="F" if self.fortran else "C")
        with self._lock:
            if self._unpacked is None:
                self._unpacked = self._in_a_file()
        found: NDArray[Any] = self._unpacked[at]
        return found

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
                return Npy(Path(name))
            finally:
                with suppress(OSError):
                    os.unlink(name)
        except OSError as error:
            raise InvalidInput(
                f"{self.name} needs a temporary file for its array, which cannot be written in "
                f"{folder}: {error.strerror}; save the array as .npy."
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
                    raise InvalidInput(
                        f"{self._path} cannot be read, it may be damaged or cut short: "
                        f"{self._member} ends after {done} of {size} bytes."
                    )
                if header:
                    target.write(piece)
                else:
                    target[done : done + len(piece)] = piece
                done += len(piece)
            stream.read(1)  # reading the end verifies the checksum
        self.bytes_read += self._store.getinfo(self._member).compress_size

    def close(self) -> None:
        """Close the files."""
        if self._unpacked is not None:
            self._unpacked.close()
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
