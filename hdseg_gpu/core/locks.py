"""Locks that are free again in a forked child."""

import os
import threading
from typing import Any
from weakref import WeakSet


class Lock:
    """A lock that is free in a forked child, whoever held it in the parent.

    Only the forking thread exists in the child: a lock held by another thread at that moment would
    never be released there. So state protected by this lock must be harmless when half updated:
    counters, and caches whose entries are complete.
    """

    _make: Any = threading.Lock

    def __init__(self) -> None:
        self._lock = self._make()
        _all.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def renew(self) -> None:
        """Replace the lock by a free one."""
        self._lock = self._make()


class RLock(Lock):
    """A reentrant ``Lock``."""

    _make = threading.RLock


_all: WeakSet[Lock] = WeakSet()


def _renew() -> None:
    for lock in list(_all):
        lock.renew()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_renew)
