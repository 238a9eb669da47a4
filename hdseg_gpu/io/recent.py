"""What was decoded last, in bounded memory."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from hdseg_gpu.core.locks import Lock


class Recent:
    """The arrays used last, as many as fit into `limit` bytes; several threads may ask at once."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._arrays: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: int, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """Return the array of that key; two threads that both miss it both make it."""
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
        """Forget everything."""
        with self._lock:
            self._arrays.clear()
            self._held = 0
