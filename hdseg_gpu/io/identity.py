"""The identity of an image's files: detects changed or replaced files without reading them whole.

On one machine nothing may differ: sizes, times, sampled bytes. The time of status change (ctime)
cannot be set, and advances with every write, replacement, rename or link. Between machines it is
not compared, because a copy on another disk has its own. Inode and device numbers are never
compared: some network file systems reassign them, and a replaced file has another ctime anyway.
"""

import os
import socket
import stat
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from heapq import nsmallest
from pathlib import Path
from time import perf_counter
from typing import Any
from zlib import crc32

import numpy as np

from hdseg_gpu.core.errors import InvalidInput, Unfinished
from hdseg_gpu.core.locks import Lock
from hdseg_gpu.core.windows import Window
from hdseg_gpu.io.array_source import ArraySource
from hdseg_gpu.io.members import Member, members_of
from hdseg_gpu.io.paths import real_within
from hdseg_gpu.io.zarr_files import METADATA

_WHOLE = 1 << 20  # bytes: files up to this size are sampled entirely
_END = 1 << 16  # bytes sampled at the beginning and at the end of larger files
_SPREAD, _BLOCK = 32, 1 << 14  # number of blocks sampled in between, and bytes of each
_SAMPLED = 64  # sampled files, beside metadata
_FEW = 64  # files checked at each read of the image
_SHARE = 20  # a full check of more files is repeated after 20 times as long as it took
_TICK = 20_000_000  # ns: two changes within it may have the same time stamp
_FULL = 1 << 128
_STRIP = 16 << 20  # bytes of an array hashed at a time


class Changed(Unfinished):
    """The files of an image are not, or no longer, those that the run began with."""


@dataclass(frozen=True)
class Identity:
    """The state of an image's files at some time."""

    path: str
    host: str
    files: int
    size: int  # bytes of all files
    modified: int  # latest mtime, ns since 1970
    changed: int  # latest ctime
    listing: str  # hash of names, sizes, mtimes
    stamps: str  # hash of the same and of ctimes, in ns
    sample: str  # hash of some of the content

    def plain(self) -> dict[str, Any]:
        """Return the plain values that a later run compares, on any machine."""
        found = asdict(self)
        del found["host"]
        return found

    def difference(self, now: "Identity") -> str:
        """Return a description of how `now` differs, "" if it does not."""
        return difference(self.plain(), now.plain(), elsewhere=self.host != now.host)


def identity_of(path: Path, key: str | None = None, *, trusted: bool = False) -> Identity:
    """Return the identity of an image's files; `key` names an array in a Zarr folder.

    trusted: whether files named by a virtual mosaic may be opened wherever they are; otherwise only
    the sizes and times of those outside its folder count.

    Raises InvalidInput if the file does not exist or cannot be read.
    """
    try:
        return _looked_at(path, key, trusted)[0]
    except InvalidInput:
        raise
    except FileNotFoundError as error:
        raise InvalidInput(f"{error.filename or path} does not exist.") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise InvalidInput(f"{error.filename or path} cannot be read: {reason}.") from error
    except ValueError as error:  # a null byte
        raise InvalidInput(f"{str(path)!r} cannot be a file name: {error}.") from error


def difference(before: dict[str, Any], now: dict[str, Any], *, elsewhere: bool = False) -> str:
    """Return a description of the differences of two ``plain`` identities, "" if there are none.

    elsewhere: whether they were taken on different machines.
    """
    differ = {name for name in now if before.get(name) != now[name]}
    found = []
    if "path" in differ and not elsewhere:
        found.append(f"it is {now['path']} instead of {before.get('path')}")
    if "files" in differ:
        found.append(f"{now['files']} file(s) instead of {before.get('files')}")
    if "size" in differ:
        found.append(f"{now['size']} bytes instead of {before.get('size')}")
    if {"modified", "listing"} <= differ:
        found.append(f"modified {_at(now['modified'])} instead of {_at(before.get('modified'))}")
    if not found and differ & {"listing", "sample"}:
        found.append("other content")
    if not found and not elsewhere and differ - {"path"}:
        found.append(f"touched or replaced {_at(now['changed'])}")
    return ", ".join(found)


class Watch:
    """Checks that an image's files are still those of an identity; thread-safe."""

    def __init__(
        self, path: Path, key: str | None, expected: Identity, *, trusted: bool = False
    ) -> None:
        """Raise Changed if the files differ already."""
        self._path, self._key, self._expected, self._trusted = path, key, expected, trusted
        self._lock = Lock()
        self._look()

    def check(self, *, thoroughly: bool = False) -> None:
        """Raise Changed if the files have changed.

        Up to 64 files are all checked each time. Of more files, some are; all of them if
        `thoroughly`, or now and then, so that this takes at most a twentieth of the time.
        """
        with self._lock:
            due = self._many and perf_counter() - self._when > _SHARE * self._cost
            if thoroughly or due or any(_stamp(p) != stamp for p, stamp in self._glance.items()):
                self._look()

    def _look(self) -> None:
        began = perf_counter()
        try:
            now, main, first = _looked_at(self._path, self._key, self._trusted)
        except OSError as error:
            reason = error.strerror or str(error)
            raise Changed(f"{error.filename or self._path}: {reason}; {_REMEDY}.") from error
        except InvalidInput as error:  # such as a mosaic that is no longer valid
            raise Changed(
                f"{self._path} has changed since the run began: {error} Otherwise {_REMEDY}."
            ) from error
        differs = self._expected.difference(now)
        if differs:
            raise Changed(f"{self._path} has changed since the run began: {differs}; {_REMEDY}.")
        self._expected = now  # of this machine, where from now on nothing may differ
        self._many = now.files > _FEW
        folder = self._path.parent
        self._glance = {
            folder / name: _numbers(s) for name, s in first if not stat.S_ISLNK(s.st_mode)
        }
        self._glance[self._path] = _numbers(main)
        self._when = perf_counter()
        self._cost = self._when - began


_REMEDY = "start over with overwrite=True"


def _looked_at(
    path: Path, key: str | None, trusted: bool
) -> tuple[Identity, os.stat_result, list[Member]]:
    """Return the identity, the status of the path, and the status of a few important files."""
    for _ in range(3):
        main, sums, first = path.stat(), _Sums(), _First()
        for member in members_of(path, key, trusted=trusted):
            sums.add(member)
            first.add(member)
        if not 0 <= time.time_ns() - sums.changed < _TICK:
            break
        time.sleep(_TICK / 1e9)  # so that any later change has another time stamp
    found = first.found()
    identity = Identity(
        str(path.resolve()), _host(), sums.files, sums.size, sums.modified, sums.changed,
        f"{sums.listing:032x}", f"{sums.stamps:032x}", _sample(path, found, trusted),
    )  # fmt: skip
    return identity, main, found[:_FEW]


class _Sums:
    """Accumulates all files, which may be a million, independently of their order."""

    def __init__(self) -> None:
        self.files = self.size = self.modified = self.changed = self.listing = self.stamps = 0

    def add(self, member: Member) -> None:
        name, status = member
        self.files += 1
        self.size += status.st_size
        self.modified = max(self.modified, status.st_mtime_ns)
        self.changed = max(self.changed, status.st_ctime_ns)
        # Microseconds: some network file systems store no finer times.
        own = f"{name}\0{status.st_size} {status.st_mtime_ns // 1000}"
        self.listing = (self.listing + _number(own)) % _FULL
        own += f" {status.st_mtime_ns} {status.st_ctime_ns}"
        self.stamps = (self.stamps + _number(own)) % _FULL


def _number(text: str) -> int:
    return int.from_bytes(sha256(os.fsencode(text)).digest()[:16], "big")


class _First:
    """Selects the files to sample: metadata first, then others; deterministic."""

    def __init__(self) -> None:
        self._metadata: list[Member] = []
        self._others: list[Member] = []

    def add(self, member: Member) -> None:
        described = os.path.basename(member[0]) in METADATA
        found = self._metadata if described else self._others
        found.append(member)
        if len(found) > 64 * _SAMPLED:
            found[:] = self._chosen(found)

    def found(self) -> list[Member]:
        return [*self._chosen(self._metadata), *self._chosen(self._others)]

    @staticmethod
    def _chosen(found: list[Member]) -> list[Member]:
        return nsmallest(_SAMPLED, found, key=lambda m: (crc32(os.fsencode(m[0])), m[0]))


def _sample(path: Path, found: list[Member], trusted: bool) -> str:
    """Return a hash of some of the files' content."""
    digest, root = sha256(), os.path.realpath(path.parent)
    for name, status in found:
        # Files outside the folder, named in one or reached by a link, are opened only if trusted.
        asked = trusted or name == path.name or real_within(root, path.parent / name) is not None
        if asked and stat.S_ISREG(status.st_mode):  # opening a pipe would block
            with (path.parent / name).open("rb", buffering=0) as stream:
                for part in _parts(status.st_size):
                    digest.update(os.pread(stream.fileno(), len(part), part.start))
    return digest.hexdigest()[:32]


def _parts(size: int) -> Iterator[range]:
    """Yield the byte ranges to sample: both ends, and blocks in between."""
    if size <= _WHOLE:
        yield range(size)
        return
    yield range(_END)
    yield range(size - _END, size)
    for i in range(_SPREAD):
        start = _END + i * (size - 2 * _END - _BLOCK) // (_SPREAD - 1)
        yield range(start, start + _BLOCK)


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        return _numbers(path.stat())
    except OSError:
        return None


def _numbers(status: os.stat_result) -> tuple[int, ...]:
    return (
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )  # fmt: skip


def _host() -> str:
    """Return the name of this machine or container, and its start time."""
    try:
        started = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        started = ""
    return f"{socket.gethostname()} {started}"


def _at(nanoseconds: Any) -> str:
    if not isinstance(nanoseconds, int):
        return "at an unknown time"
    seconds, rest = divmod(nanoseconds, 10**9)
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(seconds))}.{rest:09d}"


def content_of(source: ArraySource, mapped: Path | None = None) -> str:
    """Return a hash of all values of an array.

    mapped: the file behind a memory map, whose identity and some values are enough.
    """
    digest = sha256(f"{source.shape} {source.channels} {source.dtype.str}".encode())
    height, width = source.shape
    rows = max(1, _STRIP // (width * source.channels * source.dtype.itemsize))
    tops = range(0, height, rows)
    if mapped is not None:
        digest.update(repr(sorted(identity_of(mapped).plain().items())).encode())
        rows, tops = 1, range(0, height, -(-height // _SPREAD))
    for top in tops:
        window = Window(top, 0, min(rows, height - top), width)
        digest.update(np.ascontiguousarray(source.array[window.slices], source.dtype).data)
    return digest.hexdigest()[:32]
