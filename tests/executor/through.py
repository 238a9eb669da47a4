"""An Ops that takes and returns NumPy arrays but computes on a device, for tests of ops."""

import inspect

import numpy as np

from hdseg_gpu.core.windows import GridMapping, Window
from hdseg_gpu.ops import (
    Band,
    CoarseProbabilities,
    ColourModels,
    Estimation,
    Evidence,
    EvidenceTerms,
    Nearby,
    NearestMap,
    Ops,
    Places,
)

# What the contract keeps in host memory.
_HOST = {"elements", "row", "table"}
_TUPLES = (
    Band,
    ColourModels,
    Evidence,
    EvidenceTerms,
    Nearby,
    NearestMap,
    CoarseProbabilities,
    Places,
)


class ThroughDevice:
    """Copies arrays to the device, calls the op, and copies back what it may have changed."""

    def __init__(self, ops):
        self.inner, self.name, self.xp, self.check_interval = ops, ops.name, np, ops.check_interval

    def host(self, array):
        return array

    def body(self, columns):
        """Return a view, as the contract has it."""
        body = self.inner.body(self._over(columns, []))
        before = (columns.shape[-1] - body.shape[-1]) // 2
        return columns[..., before : before + body.shape[-1]]

    def __getattr__(self, op):
        method = getattr(self.inner, op)
        if not callable(method):
            return method
        signature = inspect.signature(getattr(Ops, op)).parameters
        names = [name for name in signature if name != "self"]

        def call(*args, **kwargs):
            carried = []
            args = [
                arg if name in _HOST else self._over(arg, carried)
                for name, arg in zip(names, args, strict=False)
            ]
            kwargs = {k: v if k in _HOST else self._over(v, carried) for k, v in kwargs.items()}
            found = method(*args, **kwargs)
            for array, there in carried:
                if array.flags.writeable:
                    array[...] = there.get()
            return self._back(found)

        return call

    def _over(self, value, carried):
        if isinstance(value, np.ndarray):
            for array, there in carried:
                if array is value:
                    return there
            there = self.inner.xp.asarray(np.ascontiguousarray(value))
            carried.append((value, there))
            return there
        if isinstance(value, _TUPLES):
            return type(value)(*(self._over(v, carried) for v in value))
        if isinstance(value, tuple) and not isinstance(value, Estimation | GridMapping | Window):
            return tuple(self._over(v, carried) for v in value)
        return value

    def _back(self, value):
        if isinstance(value, self.inner.xp.ndarray):
            return value.get()
        if isinstance(value, tuple):
            found = [self._back(v) for v in value]
            return type(value)(*found) if hasattr(value, "_fields") else tuple(found)
        return value
