"""How much memory this process occupies, how much is free, and what may still be taken."""

import os
import resource
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hdseg_gpu.core.errors import InvalidInput

MiB = 1 << 20
_GROUP = Path("/sys/fs/cgroup")
_LIMITS = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)


@dataclass(frozen=True)
class Budget:
    """Bytes that this process may occupy in all.

    What a file says of its size is held against it before anything is decoded.
    """

    total: int
    given: bool  # by the caller, as max_memory; else it is half of what was free

    @property
    def left(self) -> int:
        """Return the bytes that may still be taken."""
        return max(0, self.total - resident())

    @property
    def name(self) -> str:
        """Return what messages call it."""
        if self.given:
            return f"max_memory={self.total} ({self.total // MiB} MiB)"
        return f"half of the free memory ({self.total // MiB} MiB)"

    def require(self, need: int, what: str, remedy: str) -> None:
        """Refuse what takes more bytes than are left.

        Parameters
        ----------
        need : int
            Bytes that it takes at most.
        what : str
            "photo.png: decoding 9000 x 9000 pixels of 4 bytes" say.
        remedy : str
            What to do beside allowing more: "save it as a tiled TIFF" say.

        """
        left = self.left
        if need > left:
            more = (
                f"allow {-(-(self.total + need - left) // MiB)} MiB" if self.given else "free some"
            )
            raise InvalidInput(
                f"{what} takes {-(-need // MiB)} MiB, and {left // MiB} MiB are left of "
                f"{self.name}; {more}, or {remedy}."
            )


# Returns the bytes that an array will take beside itself, by its shape and dtype; may refuse it.
Cost = Callable[[tuple[int, ...], Any], int]


def nothing(_shape: tuple[int, ...], _dtype: Any) -> int:
    """Return the cost of an array that is used as it is."""
    return 0


def budget_of(max_memory: int | None) -> Budget:
    """Return the budget that a caller sets; by default half of what is free may be taken."""
    if max_memory is None:
        return Budget(resident() + free_memory() // 2, False)
    return Budget(max_memory, True)


def free_memory() -> int:
    """Return the bytes of memory that are free for this process."""
    free = [os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                free[0] = int(line.split()[1]) << 10
    except OSError:
        pass
    for limit, used in _LIMITS:
        try:
            free.append(int((_GROUP / limit).read_text()) - int((_GROUP / used).read_text()))
        except (OSError, ValueError):  # no such group, or no limit: "max"
            continue
    addresses, _ = resource.getrlimit(resource.RLIMIT_AS)  # ulimit -v
    if addresses != resource.RLIM_INFINITY:
        free.append(addresses - _status("VmSize:"))
    return max(0, min(free))


def resident() -> int:
    """Return the bytes of memory that this process occupies, 0 where that cannot be told."""
    return _status("VmRSS:")


def peak() -> int:
    """Return the most that it ever occupied."""
    return _status("VmHWM:")


def _status(name: str) -> int:
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) << 10
    except (OSError, ValueError, IndexError):
        pass
    return 0
