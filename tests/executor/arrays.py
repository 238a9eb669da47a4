"""Arrays that behave like CuPy's where it hurts: they never mix with NumPy's, nor become them.

What is not here, we do not use; tests/test_cuda_check.py compares the names with CuPy's own.
"""

from types import SimpleNamespace

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

# The functions of cupy that are used, and nothing else.
_FUNCTIONS = """
    arange argsort array asarray ascontiguousarray bincount broadcast_to ceil clip concatenate
    count_nonzero copyto cumsum diff divide divmod empty empty_like expand_dims flatnonzero
    floor full full_like isfinite lexsort log1p maximum minimum moveaxis nonzero ones ones_like
    searchsorted sort sqrt stack subtract take tanh unique where zeros zeros_like abs
"""
FUNCTIONS = frozenset(_FUNCTIONS.split())
CONSTANTS = frozenset(
    ("bool_", "float32", "float64", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "inf")
)


def _inside(value):
    """Return what NumPy computes with; arrays in host memory are refused, as CuPy refuses them."""
    if isinstance(value, DeviceArray):
        return value.values
    if isinstance(value, np.ndarray):
        raise TypeError(f"an array in host memory, shape {value.shape}, meets one of the device")
    if isinstance(value, (tuple, list)):
        return type(value)(map(_inside, value))
    return value


def _outside(value):
    if isinstance(value, (np.ndarray, np.generic)):
        return DeviceArray(np.asarray(value))
    if isinstance(value, tuple):
        return tuple(map(_outside, value))
    return value


class DeviceArray(NDArrayOperatorsMixin):
    """An array whose values are "on the device"."""

    __array_priority__ = 100
    __hash__ = None

    def __init__(self, values):
        self.values = values

    # What NumPy's functions would do is a copy to the host that nobody asked for.
    def __array__(self, dtype=None, copy=None):
        raise TypeError("implicit conversion to a NumPy array; use ops.host()")

    def __array_function__(self, function, types, args, kwargs):
        raise TypeError(f"numpy.{function.__name__} of a device array; use ops.xp")

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        if method != "__call__" or kwargs.keys() - {"dtype"}:
            raise TypeError(f"{ufunc.__name__}.{method} with {sorted(kwargs)}")
        if out is not None:
            kwargs["out"] = tuple(map(_inside, out))
        with np.errstate(all="ignore"):  # a device does not warn
            found = ufunc(*map(_inside, inputs), **kwargs)
        return out[0] if out is not None else _outside(found)

    @property
    def __cuda_array_interface__(self):
        return {"shape": self.shape, "typestr": self.dtype.str, "version": 3}

    @property
    def device(self):
        return SimpleNamespace(id=0)

    dtype = property(lambda self: self.values.dtype)
    shape = property(lambda self: self.values.shape)
    size = property(lambda self: self.values.size)
    ndim = property(lambda self: self.values.ndim)
    nbytes = property(lambda self: self.values.nbytes)
    strides = property(lambda self: self.values.strides)
    flags = property(lambda self: self.values.flags)
    T = property(lambda self: DeviceArray(self.values.T))

    def get(self):
        return self.values.copy()

    def __len__(self):
        return len(self.values)

    def __iter__(self):
        return (DeviceArray(np.asarray(v)) for v in self.values)

    def __getitem__(self, index):
        return DeviceArray(np.asarray(self.values[_index(index)]))

    def __setitem__(self, index, value):
        self.values[_index(index)] = _inside(value)

    def __int__(self):
        return int(self.values)

    def __float__(self):
        return float(self.values)

    def __bool__(self):
        return bool(self.values)

    __index__ = __int__

    def item(self):
        return self.values.item()

    def tolist(self):
        return self.values.tolist()

    def reshape(self, *shape):
        return DeviceArray(self.values.reshape(*shape))

    def ravel(self):
        return DeviceArray(self.values.ravel())

    def transpose(self, *axes):
        return DeviceArray(self.values.transpose(*axes))

    def astype(self, dtype, order="K", casting=None, subok=None, copy=True):
        with np.errstate(all="ignore"):
            return DeviceArray(self.values.astype(dtype, order=order, copy=copy))

    def view(self, dtype):
        return DeviceArray(self.values.view(dtype))

    def copy(self):
        return DeviceArray(self.values.copy())

    def fill(self, value):
        self.values.fill(value)

    # With CuPy's arguments: no initial=, no where=.
    def sum(self, axis=None, dtype=None, out=None, keepdims=False):
        return _outside(self.values.sum(axis=axis, dtype=dtype, keepdims=keepdims))

    def mean(self, axis=None, dtype=None, out=None, keepdims=False):
        return _outside(self.values.mean(axis=axis, dtype=dtype, keepdims=keepdims))

    def max(self, axis=None, out=None, keepdims=False):
        return _outside(self.values.max(axis=axis, keepdims=keepdims))

    def min(self, axis=None, out=None, keepdims=False):
        return _outside(self.values.min(axis=axis, keepdims=keepdims))

    def any(self, axis=None, out=None, keepdims=False):
        return _outside(np.asarray(self.values.any(axis=axis, keepdims=keepdims)))

    def all(self, axis=None, out=None, keepdims=False):
        return _outside(np.asarray(self.values.all(axis=axis, keepdims=keepdims)))

    def argmax(self, axis=None, dtype=None, out=None, keepdims=False):
        return _outside(self.values.argmax(axis=axis, keepdims=keepdims))

    def argsort(self, axis=-1):
        return _outside(self.values.argsort(axis=axis, kind="stable"))


def _index(index):
    index = tuple(index) if isinstance(index, tuple) else (index,)
    return tuple(_inside(i) for i in index)


class _Namespace:
    """Stands for the module cupy."""

    ndarray = DeviceArray

    def __getattr__(self, name):
        if name in CONSTANTS:
            return getattr(np, name)
        if name not in FUNCTIONS:
            raise AttributeError(f"cupy.{name} is not among what the executor knows")
        function = getattr(np, name)
        stable = {"kind": "stable"} if name in ("argsort", "sort") else {}  # as CuPy's are
        # These two bring arrays over from the host.
        arriving = name in ("asarray", "array")

        def on_device(*args, **kwargs):
            if arriving and isinstance(args[0], np.ndarray):
                return DeviceArray(np.array(args[0], *args[1:], **kwargs))
            args = tuple(map(_inside, args))
            kwargs = stable | {key: _inside(value) for key, value in kwargs.items()}
            if name in ("empty", "empty_like"):
                return _poisoned(function(*args, **kwargs))
            with np.errstate(all="ignore"):
                return _outside(function(*args, **kwargs))

        return on_device

    @staticmethod
    def asnumpy(array):
        return array.get()


def _poisoned(values):
    """Return fresh memory with what should not be taken for a result."""
    values.reshape(-1).view(np.uint8).fill(0xA5)
    return DeviceArray(values)


namespace = _Namespace()
