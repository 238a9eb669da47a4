"""Files of ours in memory, for libraries that want all of a picture there."""

import mmap
import os
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import BinaryIO

from hdseg_gpu.core.memory import MiB
from hdseg_gpu.io.paths import decoding
from hdseg_gpu.io.stored import Stored

ROOM = 64 * MiB  # that its pages take until they are given back, at most
_PAUSE = 0.01  # seconds
_BLOCK = 8 << 20


class Mapped:
    """A temporary file without a name, mapped: nobody but us can cut it short.

    While it is open a thread gives its pages back to the system, again and again, so that they do
    not add up to this process's memory as a library goes through them. What was written to them is
    in the file all the same; pages that are needed again come back from there.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        """Let `file` have `size` bytes; an ``OSError`` says that there is no room for them."""
        # A full disk met through a page kills the process.
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
        """Give all pages back; the map itself goes with the last array on it."""
        self._done.set()
        self._thread.join()
        self.memory.madvise(mmap.MADV_DONTNEED)

    def _give_back(self) -> None:
        while not self._done.wait(_PAUSE):
            self.memory.madvise(mmap.MADV_DONTNEED)


def copy_into(target: BinaryIO, path: Path, file: Stored) -> None:
    """Copy all bytes of a file; an ``OSError`` is one of `target`."""
    for at in range(0, file.size, _BLOCK):
        with decoding(path):
            block = file.fetch(at, min(_BLOCK, file.size - at))
        target.write(block)
    target.flush()
