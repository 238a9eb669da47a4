"""Resident memory of this process, free memory, and the memory budget."""

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
    """Limit of the resident memory of this process, in bytes.

    The size in a file's header is checked against it before anything is decoded.
    """

    total: int
    given: bool  # by the caller as max_memory; else half of what was free

    @property
    def left(self) -> int:
        """Return the bytes that may still be allocated."""
        return max(0, self.total - resident())

    @property
    def name(self) -> str:
        """Return the name of the budget in messages."""
        if self.given:
            return f"max_memory={self.total} ({self.total // MiB} MiB)"
        return f"half of the free memory ({self.total // MiB} MiB)"

    def require(self, need: int, what: str, remedy: str) -> None:
        """Raise InvalidInput if an operation needs more bytes than are left.

        Parameters
        ----------
        need : int
            Upper bound of the bytes needed.
        what : str
            The operation, such as "photo.png: decoding 9000 x 9000 pixels of 4 bytes".
        remedy : str
            The alternative to a larger budget, such as "save it in tiles".

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


# Bytes that an array of a shape and dtype needs beside itself; may raise InvalidInput.
Cost = Callable[[tuple[int, ...], Any], int]


def nothing(_shape: tuple[int, ...], _dtype: Any) -> int:
    """Return the cost of an array that is used unchanged."""
    return 0


def budget_of(max_memory: int | None) -> Budget:
    """Return the caller's budget; by default the resident memory and half of what is free."""
    if max_memory is None:
        return Budget(resident() + free_memory() // 2, False)
    return Budget(max_memory, True)


def free_memory() -> int:
    """Return the free memory in bytes, within the limits of cgroups and ``ulimit -v``."""
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
    """Return the resident memory in bytes, 0 where it is unavailable."""
    return _status("VmRSS:")


def peak() -> int:
    """Return the peak resident memory in bytes, 0 where it is unavailable."""
    return _status("VmHWM:")


def _status(name: str) -> int:
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) << 10
    except (OSError, ValueError, IndexError):
        pass
    return 0
