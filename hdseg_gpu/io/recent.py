"""A bounded cache of decoded arrays."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from hdseg_gpu.core.locks import Lock


class Recent:
    """A thread-safe LRU cache of arrays, of at most `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._arrays: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: int, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """Return the array of a key, made if missing; threads may make it concurrently."""
        with self._lock:
            found = self._arrays.get(key)
            if found is not None:
                self._arrays.move_to_end(key)
                return found
        made = make()
        with self._lock:
            if key not in self._arrays and made.nbytes <= self._limit:
                self._arrays[key] = made
                self._held += made.nbytes
                while self._held > self._limit:
                    _, oldest = self._arrays.popitem(last=False)
                    self._held -= oldest.nbytes
        return made

    def clear(self) -> None:
        """Empty the cache."""
        with self._lock:
            self._arrays.clear()
            self._held = 0
