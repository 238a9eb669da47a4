"""The .npy and .npz files of NumPy."""

from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput, shown
from hdseg_gpu.core.memory import Budget, Cost, budget_of, nothing
from hdseg_gpu.io.npy import Header, Npy, read_header
from hdseg_gpu.io.paths import decoding
from hdseg_gpu.io.stored import Stored
from hdseg_gpu.io.zipped import open_member, open_zip

_SUFFIX = ".npy"  # of the arrays in a .npz


def read_array(
    path: Path, key: str | None = None, budget: Budget | None = None, cost: Cost = nothing
) -> NDArray[Any]:
    """Return the array of a .npy file, or the only array, or that named `key`, of a .npz file.

    cost: further bytes that the array will need.
    """
    budget = budget or budget_of(None)
    if path.suffix.lower() == _SUFFIX:
        with decoding(path), Npy(path) as npy:
            _require(path, npy, budget, cost)
            found: NDArray[Any] = npy[...]
    else:
        with (
            decoding(path),
            Stored(path) as file,
            file.stream() as stream,
            open_zip(path, stream, budget) as store,
        ):
            found = _member(path, store, _chosen(path, store, key), budget, cost)
    if found.size == 0:
        raise InvalidInput(f"{path} contains no pixels, its shape is {found.shape}.")
    return found


def _chosen(path: Path, store: ZipFile, key: str | None) -> str:
    """Return the member of the zip file that is the requested array."""
    files = {name.removesuffix(_SUFFIX): name for name in store.namelist()}
    names = list(files)
    if key is None and len(names) != 1:
        raise InvalidInput(
            f"{path} contains {len(names)} arrays; pass one of {_listed(names)} as the key, "
            "or save only one."
        )
    if key is not None and key not in files:
        raise InvalidInput(f"{path} has no array {shown(key)}; choose one of {_listed(names)}.")
    return files[names[0] if key is None else key]


def _listed(names: list[str]) -> str:
    return f"{names}" if len(names) <= 20 else f"{names[:20]} and {len(names) - 20} more"


def _member(path: Path, store: ZipFile, name: str, budget: Budget, cost: Cost) -> NDArray[Any]:
    """Return an array of a .npz file; only the bytes that its header announces are read."""
    with open_member(path, store, name) as stream:
        header = read_header(f"{path}: {name}", stream.read)
        _require(path, header, budget, cost)
        values = np.empty(header.nbytes // max(1, header.dtype.itemsize), header.dtype)
        target, done = values.view(np.uint8).data, 0
        while done < len(target):
            piece = stream.read(min(len(target) - done, 1 << 20))
            if not piece:
                raise InvalidInput(
                    f"{path} cannot be read, it may be damaged or cut short: {name} ends after "
                    f"{done} of {len(target)} bytes."
                )
            target[done : done + len(piece)] = piece
            done += len(piece)
        stream.read(1)  # reading the end verifies the checksum
    return values.reshape(header.shape, order="F" if header.fortran else "C")


def _require(path: Path, array: Header | Npy, budget: Budget, cost: Cost) -> None:
    budget.require(
        array.nbytes + cost(array.shape, array.dtype),
        f"{path}: its array of shape {array.shape} and dtype {array.dtype}",
        "save a smaller one",
    )
