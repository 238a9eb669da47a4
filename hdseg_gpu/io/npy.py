"""Parts of .npy files, and the headers of NumPy's arrays."""

import io
import struct
from collections.abc import Callable, Iterator
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.io.paths import quiet
from hdseg_gpu.io.stored import Short, Stored

_MAGIC = b"\x93NUMPY"
_VERSIONS = ((1, 0), (2, 0), (3, 0))
_LONGEST = 10_000  # bytes of a header, NumPy's own limit: it is Python source that is parsed
TURNED = 8 << 20  # bytes fetched at once where rows and columns are exchanged


class Header(NamedTuple):
    """What is said of an array before its values."""

    shape: tuple[int, ...]
    fortran: bool  # whether the first axis runs fastest
    dtype: np.dtype[Any]
    length: int  # bytes before the values

    @property
    def nbytes(self) -> int:
        """Return the bytes of the values."""
        return prod(self.shape) * self.dtype.itemsize


def read_header(name: str, read: Callable[[int], bytes]) -> Header:
    """Return the header of an array; `read` gives the next bytes."""
    start = read(8)
    if start[:6] != _MAGIC or len(start) < 8:
        raise InvalidInput(
            f"{name} cannot be read, it may be damaged or cut short: it is no array that "
            "numpy.save has written."
        )
    version = start[6], start[7]
    if version not in _VERSIONS:
        raise InvalidInput(
            f"{name} cannot be read, it may be damaged: it is of version {version[0]}.{version[1]} "
            "of NumPy's format; 1.0 to 3.0 are read."
        )
    layout = "<H" if version == (1, 0) else "<I"
    counted = read(struct.calcsize(layout))
    if len(counted) < struct.calcsize(layout):
        raise InvalidInput(f"{name} cannot be read, it may be damaged or cut short.")
    (length,) = struct.unpack(layout, counted)
    if length > _LONGEST:
        raise InvalidInput(
            f"{name} cannot be read, it may be damaged: its header is said to have {length} bytes; "
            f"{_LONGEST} are read at most."
        )
    stream = io.BytesIO(counted + read(length))
    # 3.0 differs from 2.0 in the letters that names of fields may have, and numbers have no fields.
    parse = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    with quiet():
        shape, fortran, dtype = parse(stream, _LONGEST)
    if dtype.hasobject:
        raise InvalidInput(
            f"{name} cannot be read: it holds Python objects, which could run programs; save "
            "numbers."
        )
    if min(shape, default=1) < 0:
        raise InvalidInput(f"{name} cannot be read, it may be damaged: its shape is {shape}.")
    return Header(shape, fortran, dtype, len(start) + len(counted) + length)


class Npy:
    """The array of a .npy file, of which parts are read as they are needed.

    Indexed by slices it gives new arrays, in the file's dtype. The file is opened once: it stays
    the same one, whatever happens to its name.
    """

    def __init__(self, path: Path) -> None:
        """Read the header. Whatever else is wrong with it raises what NumPy raises."""
        self._file = Stored(path)
        try:
            stream = io.BytesIO(self._file.start(_LONGEST + 12))
            header = read_header(str(path), stream.read)
            if header.length + header.nbytes > self._file.size:
                raise InvalidInput(
                    f"{path} cannot be read, it may be damaged or cut short: its array of the "
                    f"shape {header.shape} and type {header.dtype} needs "
                    f"{header.length + header.nbytes} bytes, the file has {self._file.size}."
                )
        except BaseException:
            self._file.close()
            raise
        self.name = str(path)
        self.shape, self.dtype, self.nbytes = header.shape, header.dtype, header.nbytes
        self.fortran = header.fortran and len(header.shape) > 1
        self._begin = header.length

    @property
    def bytes_read(self) -> int:
        """Return how many bytes were fetched so far."""
        return self._file.bytes_read

    def __getitem__(self, at: Any) -> NDArray[Any]:
        """Return the part that slices without steps cut out, one for each axis; `...` is all."""
        bounds = [each.indices(n)[:2] for each, n in zip(self._slices(at), self.shape, strict=True)]
        found = np.empty([max(0, end - start) for start, end in bounds], self.dtype)
        if found.size == 0:
            return found
        try:
            if self._file.shrunk:
                raise Short("it is shorter than when it was opened")
            if self.fortran:
                self._fill_turned(found, bounds)
            else:
                self._fill(found, self.shape, bounds)
        except (Short, OSError, ValueError) as error:
            if self._file.closed:
                raise InvalidInput(f"{self.name} is closed; open it again to read it.") from error
            raise InvalidInput(
                f"{self.name} cannot be read, it may be damaged or cut short: {error}"
            ) from error
        return found

    def close(self) -> None:
        """Give the file back."""
        self._file.close()

    def __enter__(self) -> "Npy":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _slices(self, at: Any) -> list[slice]:
        given = list(at) if isinstance(at, tuple) else [at]
        if Ellipsis in given:
            i = given.index(Ellipsis)
            given[i : i + 1] = [slice(None)] * (len(self.shape) - len(given) + 1)
        return given + [slice(None)] * (len(self.shape) - len(given))

    def _fill(
        self, target: NDArray[Any], shape: tuple[int, ...], bounds: list[tuple[int, int]]
    ) -> None:
        """Fetch the part of an array whose last axis runs fastest, in as few pieces as can be."""
        split = len(shape)  # all axes from here on are wanted whole
        while split > 0 and bounds[split - 1] == (0, shape[split - 1]):
            split -= 1
        outer, strides = bounds[: max(split - 1, 0)], _strides(shape)
        start = bounds[split - 1][0] * strides[split - 1] if split else 0
        pieces = target.reshape(-1).view(np.uint8).data
        run = target.nbytes // prod(end - first for first, end in outer)
        for i, offset in enumerate(_offsets(outer, strides)):
            position = self._begin + (offset + start) * self.dtype.itemsize
            self._file.fetch_into(position, pieces[i * run : (i + 1) * run])

    def _fill_turned(self, target: NDArray[Any], bounds: list[tuple[int, int]]) -> None:
        """Fetch the part of an array whose first axis runs fastest, some columns at a time."""
        shape, backwards = self.shape[::-1], bounds[::-1]
        for part in _halved(backwards, TURNED // self.dtype.itemsize):
            block = np.empty([end - start for start, end in part], self.dtype)
            self._fill(block, shape, part)
            place = [slice(a - c, b - c) for (a, b), (c, _) in zip(part, backwards, strict=True)]
            target.T[tuple(place)] = block


def _halved(bounds: list[tuple[int, int]], most: int) -> Iterator[list[tuple[int, int]]]:
    """Yield parts of `most` values at most; the first axes are divided first."""
    if prod(end - start for start, end in bounds) <= most:
        yield bounds
        return
    axis = next(i for i, (start, end) in enumerate(bounds) if end - start > 1)
    start, end = bounds[axis]
    for half in ((start, (start + end) // 2), ((start + end) // 2, end)):
        yield from _halved([*bounds[:axis], half, *bounds[axis + 1 :]], most)


def _strides(shape: tuple[int, ...]) -> list[int]:
    """Return how many values one step along each axis is."""
    return [prod(shape[i + 1 :]) for i in range(len(shape))]


def _offsets(bounds: list[tuple[int, int]], strides: list[int]) -> Iterator[int]:
    for at in product(*(range(start, end) for start, end in bounds)):
        yield sum(i * stride for i, stride in zip(at, strides, strict=False))
