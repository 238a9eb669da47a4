"""Safe Zarr stores in folders and zip files: only files inside, of bounded size, are read.

Zarr's own stores follow links anywhere, block on named pipes and read files of any size. This
module is imported late, because it needs zarr.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, Protocol
from zipfile import ZipFile

from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.locks import Lock
from hdseg_gpu.core.memory import Budget, MiB
from hdseg_gpu.io.paths import real_within
from hdseg_gpu.io.stored import Stored
from hdseg_gpu.io.zarr_files import METADATA
from hdseg_gpu.io.zipped import open_member, open_zip

_LONGEST = 64 * MiB  # bytes of metadata
_TREE = 20  # bytes of memory per byte of metadata


class _File(Protocol):
    size: int

    def fetch(self, offset: int, count: int) -> bytes | bytearray: ...

    def close(self) -> None: ...


class Folder:
    """A store in a folder. Links within it are followed, links out of it are refused."""

    def __init__(self, path: Path) -> None:
        self.name, self._root = str(path), os.path.realpath(path)

    def open(self, key: str) -> _File | None:
        """Return a file of the store, None if it does not exist."""
        path = real_within(self._root, os.path.join(self._root, key))
        if path is None:
            raise InvalidInput(
                f"{self.name}: {key} is a link that leads out of the folder; copy its target "
                "into the store."
            )
        return Stored(Path(path)) if os.path.exists(path) and not os.path.isdir(path) else None

    def names(self, prefix: str) -> Iterator[str]:
        """Yield what is in a folder of the store."""
        path = os.path.join(self._root, prefix)
        if prefix and real_within(self._root, path) is None:
            return
        try:
            with os.scandir(path) as entries:
                yield from (entry.name for entry in entries)
        except (FileNotFoundError, NotADirectoryError):
            return

    def close(self) -> None:
        """Do nothing."""


class Zipped:
    """A store in a zip file.

    A forked child opens its own, since processes would share the file position.
    """

    def __init__(self, path: Path, budget: Budget) -> None:
        self.name, self._path, self._budget, self._lock = str(path), path, budget, Lock()
        self._open()

    def _open(self) -> None:
        with Stored(self._path) as file:
            self._stream = file.stream()
        try:
            self._zip = open_zip(self._path, self._stream, self._budget)
        except BaseException:
            self._stream.close()
            raise
        self._process = os.getpid()

    def _own(self) -> ZipFile:
        with self._lock:
            if self._process != os.getpid():
                self._parents = self._zip, self._stream  # locks may be held, so never closed
                self._open()
            return self._zip

    def open(self, key: str) -> _File | None:
        """Return a file of the store, None if it does not exist."""
        archive = self._own()
        info = archive.NameToInfo.get(key)
        if info is None:
            return None
        return _Member(open_member(self._path, archive, key), info.file_size, self._lock)

    def names(self, prefix: str) -> Iterator[str]:
        """Yield what is in a folder of the store."""
        start = f"{prefix.rstrip('/')}/" if prefix else ""
        within = (n[len(start) :] for n in self._own().namelist() if n.startswith(start))
        yield from {name.partition("/")[0] for name in within} - {""}

    def close(self) -> None:
        """Close the zip file."""
        self._own().close()
        self._stream.close()


class _Member:
    """A member of a zip file, read by one thread at a time."""

    def __init__(self, stream: BinaryIO, size: int, lock: Lock) -> None:
        self._stream, self.size, self._lock = stream, size, lock

    def fetch(self, offset: int, count: int) -> bytes:
        """Return `count` bytes from `offset` on."""
        with self._lock:
            if offset:
                self._stream.seek(offset)
            return self._stream.read(count)

    def close(self) -> None:
        self._stream.close()


class Guarded(Store):  # type: ignore[misc]
    """The store that Zarr reads from.

    At most `most` bytes of a chunk are read; until it is set, only metadata are read.
    """

    supports_writes = False
    supports_partial_writes = False
    supports_deletes = False
    supports_listing = True

    def __init__(self, files: Folder | Zipped, budget: Budget) -> None:
        super().__init__(read_only=True)
        self._files, self._budget = files, budget
        self.most = 0

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__

    def __str__(self) -> str:
        return self._files.name

    def close(self) -> None:
        """Close files."""
        super().close()
        self._files.close()

    async def get(self, key: str, prototype: Any, byte_range: ByteRequest | None = None) -> Any:
        """Return some bytes of a file, None if it does not exist."""
        found = await asyncio.to_thread(self._fetch, key, byte_range)
        return None if found is None else prototype.buffer.from_bytes(found)

    async def get_partial_values(
        self, prototype: Any, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Any]:
        """Return some bytes of several files."""
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    async def exists(self, key: str) -> bool:
        """Return whether a file exists."""
        file = await asyncio.to_thread(self._files.open, key)
        if file is not None:
            file.close()
        return file is not None

    def _fetch(self, key: str, byte_range: ByteRequest | None) -> bytes | bytearray | None:
        file = self._files.open(key)
        if file is None:
            return None
        try:
            start, end = _part(byte_range, file.size)
            count = max(0, end - start)
            if key.rpartition("/")[2] in METADATA:
                self._check_metadata(key, count)
            elif count > self.most:
                raise InvalidInput(
                    f"{self._files.name}: {key} has {count} bytes, but its content takes at most "
                    f"{self.most}; the store may be damaged."
                )
            return file.fetch(start, count)
        finally:
            file.close()

    def _check_metadata(self, key: str, count: int) -> None:
        if count > _LONGEST:
            raise InvalidInput(
                f"{self._files.name}: the metadata {key} have {count} bytes; at most {_LONGEST} "
                "are read. Name an array in the store instead."
            )
        self._budget.require(
            _TREE * count,
            f"{self._files.name}: reading its metadata {key}",
            "name an array in it",
        )

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Yield the names in a folder."""
        for name in await asyncio.to_thread(lambda: list(self._files.names(prefix))):
            yield name

    async def list(self) -> AsyncIterator[str]:
        """Refuse; reading arrays does not need it."""
        self._refuse()
        yield ""

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Refuse; reading arrays does not need it."""
        self._refuse()
        yield prefix

    async def set(self, key: str, value: Any) -> None:
        """Refuse."""
        self._refuse()

    async def set_partial_values(self, key_start_values: Any) -> None:
        """Refuse; required by early versions of Zarr 3.1."""
        self._refuse()

    async def delete(self, key: str) -> None:
        """Refuse."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise NotImplementedError("the store is read-only, array by array")


def _part(byte_range: ByteRequest | None, size: int) -> tuple[int, int]:
    """Return the begin and end of a byte range in a file of `size` bytes."""
    if isinstance(byte_range, RangeByteRequest):
        return min(max(0, byte_range.start), size), min(byte_range.end, size)
    if isinstance(byte_range, OffsetByteRequest):
        return min(max(0, byte_range.offset), size), size
    if isinstance(byte_range, SuffixByteRequest):
        return max(0, size - byte_range.suffix), size
    return 0, size
