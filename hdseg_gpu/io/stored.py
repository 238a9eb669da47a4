"""Reading the bytes of a file by position; unlike with a memory map, truncation is an error."""

import os
import stat
from io import BufferedReader, FileIO
from pathlib import Path
from typing import BinaryIO

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.locks import Lock


class Short(Exception):
    """A file ends too early: bytes that it should contain are missing."""


class Stored:
    """A regular file, opened once: renaming or replacing it does not affect later reads.

    Thread-safe: reads do not use the shared file position.
    """

    def __init__(self, path: Path) -> None:
        """Open in non-blocking mode: opening a named pipe would wait for its writer."""
        self.name = str(path)
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise InvalidInput(f"{path} cannot be opened: {error.strerror}.") from error
        self._lock = Lock()
        self.bytes_read = 0
        status = os.fstat(self._file)
        if not stat.S_ISREG(status.st_mode):
            self.close()
            raise InvalidInput(f"{path} is not a file.")
        self.size = status.st_size

    @property
    def closed(self) -> bool:
        """Return whether the file is closed."""
        return self._file < 0

    def fetch(self, offset: int, count: int) -> bytearray:
        """Return exactly `count` bytes from `offset` on; raises Short if there are fewer."""
        if not 0 <= offset <= offset + count <= self.size:
            raise Short(f"its bytes end at {offset + count}, the file at {self.size}")
        found = bytearray(count)
        self.fetch_into(offset, memoryview(found))
        return found

    def fetch_into(self, offset: int, target: memoryview) -> None:
        """Fill a buffer with the bytes from `offset` on; raises Short if there are fewer."""
        done = 0
        while done < len(target):  # the system returns at most 2 GiB at a time
            count = os.preadv(self._file, [target[done:]], offset + done)
            if not count:
                raise Short(
                    f"the file now ends at {offset + done}, but was longer when it was opened"
                    if offset + len(target) <= self.size
                    else f"its bytes end at {offset + len(target)}, the file at {self.size}"
                )
            done += count
        with self._lock:
            self.bytes_read += done

    @property
    def shrunk(self) -> bool:
        """Return whether the file has become shorter since it was opened."""
        return os.fstat(self._file).st_size < self.size

    def start(self, count: int) -> bytes:
        """Return the first `count` bytes, or fewer if the file is shorter."""
        return self.some(0, count)

    def some(self, offset: int, count: int) -> bytes:
        """Return up to `count` bytes from `offset` on."""
        return os.pread(self._file, count, offset)

    def stream(self) -> BinaryIO:
        """Return the file as a stream from its beginning, for libraries; one at a time."""
        stream = _Stream(FileIO(os.dup(self._file), "rb"))
        stream.size = self.size
        stream.seek(0)
        return stream

    def close(self) -> None:
        """Close the file."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)

    def __del__(self) -> None:
        if getattr(self, "_file", -1) >= 0:
            self.close()

    def __enter__(self) -> "Stored":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Stream(BufferedReader):
    """A stream that never allocates more than the file's size, whatever a header says."""

    size = 0

    def read(self, count: int | None = -1) -> bytes:
        left = max(0, self.size - self.tell())
        return super().read(left if count is None or count < 0 else min(count, left))


def read_within(path: Path, most: int) -> bytes:
    """Return the bytes of a file; raises InvalidInput if it has more than `most`."""
    with Stored(path) as file:
        if file.size > most:
            raise InvalidInput(f"{path} has {file.size} bytes; at most {most} are read.")
        return bytes(file.fetch(0, file.size))
