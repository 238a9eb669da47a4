"""Reading and writing parts of .npy files."""

import io
import os
import struct
from collections.abc import Callable, Iterator
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.io.paths import quiet
from hdseg_gpu.io.stored import Short, Stored

_MAGIC = b"\x93NUMPY"
_VERSIONS = ((1, 0), (2, 0), (3, 0))
_LONGEST = 10_000  # bytes of a header, NumPy's own limit, because it is parsed as Python source
TURNED = 8 << 20  # bytes fetched at once in Fortran order


class Header(NamedTuple):
    """The header of an array."""

    shape: tuple[int, ...]
    fortran: bool  # whether the first axis runs fastest
    dtype: np.dtype[Any]
    length: int  # bytes before the values

    @property
    def nbytes(self) -> int:
        """Return the bytes of the values."""
        return prod(self.shape) * self.dtype.itemsize


def read_header(name: str, read: Callable[[int], bytes]) -> Header:
    """Return the header of an array; `read` returns the next bytes."""
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
            f"{name} cannot be read, it may be damaged: its header claims {length} bytes; "
            f"at most {_LONGEST} are read."
        )
    stream = io.BytesIO(counted + read(length))
    # 3.0 differs from 2.0 only in the encoding of field names, and numbers have no fields.
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
    """The array of a .npy file, read part by part.

    Indexing by slices returns new arrays, in the file's dtype. The file is opened once, so renaming
    or replacing it has no effect. See ``io.sliced`` for its attributes.
    """

    own, held = True, 0
    chunks: tuple[int, ...] | None = None

    def __init__(self, path: Path) -> None:
        """Read the header; errors in it raise InvalidInput or an exception of NumPy."""
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
        self.decoding = TURNED if self.fortran else 0
        self._begin = header.length

    @property
    def bytes_read(self) -> int:
        """Return the bytes fetched so far."""
        return self._file.bytes_read

    def __getitem__(self, at: Any) -> NDArray[Any]:
        """Return a part, given by one slice without a step per axis; `...` is the whole array."""
        bounds = _bounds(at, self.shape)
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
        """Close the file."""
        self._file.close()

    def __enter__(self) -> "Npy":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _fill(
        self, target: NDArray[Any], shape: tuple[int, ...], bounds: list[tuple[int, int]]
    ) -> None:
        """Fetch a part of an array in C order, in as few pieces as possible."""
        for offset, piece in _pieces(target, shape, bounds):
            self._file.fetch_into(self._begin + offset, piece)

    def _fill_turned(self, target: NDArray[Any], bounds: list[tuple[int, int]]) -> None:
        """Fetch a part of an array in Fortran order, some columns at a time."""
        shape, backwards = self.shape[::-1], bounds[::-1]
        for part in _halved(backwards, TURNED // self.dtype.itemsize):
            block = np.empty([end - start for start, end in part], self.dtype)
            self._fill(block, shape, part)
            place = [slice(a - c, b - c) for (a, b), (c, _) in zip(part, backwards, strict=True)]
            target.T[tuple(place)] = block


class NewNpy:
    """An array that is written part by part into a .npy file, and can be read back.

    Indexed by slices, or by the number of a row. Values not written are 0.
    """

    def __init__(self, stream: BinaryIO, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Write the header; `stream` is an empty file open for reading and writing."""
        self.shape, self.dtype = shape, dtype
        described = {
            "descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape,
        }  # fmt: skip
        # Not by np.save, which does not report why a file cannot be written.
        np.lib.format.write_array_header_1_0(stream, described)
        stream.flush()
        self._stream, self._begin = stream, stream.tell()
        stream.truncate(self._begin + prod(shape) * dtype.itemsize)

    def __setitem__(self, at: Any, values: NDArray[Any]) -> None:
        """Write a part."""
        bounds = _bounds(at, self.shape)
        part = np.ascontiguousarray(values, self.dtype)
        assert part.size == prod(end - start for start, end in bounds)
        for offset, piece in _pieces(part, self.shape, bounds):
            done = 0
            while done < len(piece):
                place = self._begin + offset + done
                done += os.pwrite(self._stream.fileno(), piece[done:], place)

    def __getitem__(self, at: Any) -> NDArray[Any]:
        """Return a part."""
        bounds = _bounds(at, self.shape)
        part = np.empty([end - start for start, end in bounds], self.dtype)
        for offset, piece in _pieces(part, self.shape, bounds):
            done = 0
            while done < len(piece):
                place = self._begin + offset + done
                count = os.preadv(self._stream.fileno(), [piece[done:]], place)
                if not count:
                    raise Short("the file was cut short while it was written")
                done += count
        return part[0] if isinstance(at, int) else part


def _bounds(at: Any, shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return (start, stop) per axis for slices without steps; `...` is the whole array."""
    given = list(at) if isinstance(at, tuple) else [at]
    given = [slice(each, each + 1) if isinstance(each, int) else each for each in given]
    if Ellipsis in given:
        i = given.index(Ellipsis)
        given[i : i + 1] = [slice(None)] * (len(shape) - len(given) + 1)
    given += [slice(None)] * (len(shape) - len(given))
    return [each.indices(n)[:2] for each, n in zip(given, shape, strict=True)]


def _pieces(
    part: NDArray[Any], shape: tuple[int, ...], bounds: list[tuple[int, int]]
) -> Iterator[tuple[int, memoryview]]:
    """Yield the bytes of a part of an array in C order, and their offsets in the array.

    They are in as few pieces as possible. part: contiguous.
    """
    split = len(shape)  # axes from here on are complete
    while split > 0 and bounds[split - 1] == (0, shape[split - 1]):
        split -= 1
    outer, strides = bounds[: max(split - 1, 0)], _strides(shape)
    start = bounds[split - 1][0] * strides[split - 1] if split else 0
    pieces = part.reshape(-1).view(np.uint8).data
    run = part.nbytes // prod(end - first for first, end in outer)
    for i, offset in enumerate(_offsets(outer, strides)):
        yield (offset + start) * part.dtype.itemsize, pieces[i * run : (i + 1) * run]


def _halved(bounds: list[tuple[int, int]], most: int) -> Iterator[list[tuple[int, int]]]:
    """Yield parts of at most `most` values; the first axes are divided first."""
    if prod(end - start for start, end in bounds) <= most:
        yield bounds
        return
    axis = next(i for i, (start, end) in enumerate(bounds) if end - start > 1)
    start, end = bounds[axis]
    for half in ((start, (start + end) // 2), ((start + end) // 2, end)):
        yield from _halved([*bounds[:axis], half, *bounds[axis + 1 :]], most)


def _strides(shape: tuple[int, ...]) -> list[int]:
    """Return the stride of each axis, in values."""
    return [prod(shape[i + 1 :]) for i in range(len(shape))]


def _offsets(bounds: list[tuple[int, int]], strides: list[int]) -> Iterator[int]:
    for at in product(*(range(start, end) for start, end in bounds)):
        yield sum(i * stride for i, stride in zip(at, strides, strict=False))
