"""Locks that a fork does not leave locked."""

import os
import threading
from typing import Any
from weakref import WeakSet


class Lock:
    """A lock that is free in a forked child, whoever held it in the parent.

    A fork takes along the thread that calls it and no other: one that holds a lock at that moment
    would never give it back in the child. So what is changed under it must be harmless if it is
    half done: counters, and caches whose entries are complete.
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
        """Forget who holds it."""
        self._lock = self._make()


class RLock(Lock):
    """One that the thread that holds it may take again."""

    _make = threading.RLock


_all: WeakSet[Lock] = WeakSet()


def _renew() -> None:
    for lock in list(_all):
        lock.renew()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_renew)
