"""Mapped temporary files, for libraries that need a whole image in memory."""

import mmap
import os
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import BinaryIO

from hdseg_gpu.core.memory import MiB
from hdseg_gpu.io.paths import decoding
from hdseg_gpu.io.stored import Stored

ROOM = 64 * MiB  # upper bound of the resident pages until they are released
_PAUSE = 0.01  # seconds
_BLOCK = 8 << 20


class Mapped:
    """An unnamed, mapped temporary file, which no other process can truncate.

    While it is open a thread keeps releasing its pages, so that they do not add up in this
    process's resident memory while a library goes through them. Written data stay in the file;
    pages that are needed again are read back from it.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        """Allocate `size` bytes for `file`; raises ``OSError`` if there is no space."""
        # A full disk hit through a mapped page would kill the process.
        os.posix_fallocate(file.fileno(), 0, size)
        self.memory = mmap.mmap(file.fileno(), size)
        self._done = Event()
        self._thread = Thread(target=self._give_back, name="hdseg-pages", daemon=True)

    def __enter__(self) -> mmap.mmap:
        self._thread.start()
        return self.memory

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        """Release all pages; the map itself is closed with the last array on it."""
        self._done.set()
        self._thread.join()
        self.memory.madvise(mmap.MADV_DONTNEED)

    def _give_back(self) -> None:
        while not self._done.wait(_PAUSE):
            self.memory.madvise(mmap.MADV_DONTNEED)


def copy_into(target: BinaryIO, path: Path, file: Stored) -> None:
    """Copy all bytes of a file; an ``OSError`` is about `target`."""
    for at in range(0, file.size, _BLOCK):
        with decoding(path):
            block = file.fetch(at, min(_BLOCK, file.size - at))
        target.write(block)
    target.flush()
