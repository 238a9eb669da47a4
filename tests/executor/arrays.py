"""Arrays as strict as CuPy's: they never mix with NumPy's, and are never converted implicitly.

Only functions that we use are here; tests/backends/test_cuda_check.py compares the names with those
of CuPy.
"""

from collections import Counter
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

# The functions of cupy that are used, and nothing else.
_FUNCTIONS = """
    arange argsort array asarray ascontiguousarray bincount broadcast_to ceil clip concatenate
    count_nonzero copyto cumsum diff divide divmod empty empty_like exp expand_dims flatnonzero
    floor full full_like isfinite lexsort log1p maximum minimum moveaxis nonzero ones ones_like
    searchsorted sort sqrt stack subtract take tanh unique where zeros zeros_like abs
"""
FUNCTIONS = frozenset(_FUNCTIONS.split())
CONSTANTS = frozenset(
    ("bool_", "float32", "float64", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "inf")
)

# Kinds of counted events, by name, types and layouts:
# "allocation"  memory from the pool
# "compiled"    an operation that CuPy compiles when a process first asks for it
# "operation"   one that needs no compiling: a copy of bytes, a fill with zeros, a scan of CUB's
# "wait"        of the host for the device
_counts = None
_AT_HAND = frozenset(("copy of bytes", "cumsum", "fill with zeros", "from host"))
# CuPy has one kernel for all of these, compiled for each type and layout; only assignments and
# copyto may be copies of bytes.
_COPIES = frozenset(("array", "asarray", "ascontiguousarray", "astype", "copy", "reshape"))
# CuPy asks the device how large their results are.
_WAITING = frozenset(("bincount", "flatnonzero", "nonzero", "unique"))


@contextmanager
def counted():
    """Yield a Counter of (kind, name, types) of all that is asked of the device until the end."""
    global _counts  # noqa: PLW0603
    before, _counts = _counts, Counter()
    try:
        yield _counts
    finally:
        _counts = before


def count(kind, name, *values):
    """Count something, if anybody asked."""
    if _counts is not None:
        _counts[kind, name, " ".join(_kind_of(v) for v in values if hasattr(v, "dtype"))] += 1


def _kind_of(array):
    """Return what CuPy compiles a kernel for: a type, and the axes of what is not contiguous."""
    return f"{array.dtype}" if array.flags.c_contiguous else f"{array.dtype} in {array.ndim} axes"


def _count_operation(name, *values):
    name = "elementwise copy" if name in _COPIES else name
    count("operation" if name in _AT_HAND else "compiled", name, *values)


def _count_assignment(target, value):
    """Count target[...] = value as CuPy does it."""
    if isinstance(value, np.ndarray):
        alike = (value.shape, value.strides, value.dtype) == (
            target.shape, target.strides, target.dtype
        )  # fmt: skip
        if alike and target.ctypes.data == value.ctypes.data:
            return
        bytewise = alike and target.flags.c_contiguous
        _count_operation("copy of bytes" if bytewise else "copy", value, target)
    else:
        zeros = target.flags.c_contiguous and value == 0
        _count_operation("fill with zeros" if zeros else "fill", target)


def _made(name, found, sources):
    """Return what a function has found as arrays of the device; counted unless they are views."""
    arrays = [np.asarray(v) for v in (found if isinstance(found, tuple) else (found,))]
    sources = [s for s in sources if isinstance(s, np.ndarray)]
    fresh = [a for a in arrays if a.size and not any(np.may_share_memory(a, s) for s in sources)]
    if fresh and name in ("zeros", "zeros_like"):
        _count_operation("fill with zeros", *fresh)
    elif fresh and name not in ("empty", "empty_like"):
        _count_operation(name, *sources, *fresh)
    for array in fresh:
        count("allocation", name, array)
    wrapped = tuple(map(DeviceArray, arrays))
    return wrapped if isinstance(found, tuple) else wrapped[0]


def _inside(value):
    """Return what NumPy computes with; arrays in host memory are refused, as CuPy refuses them."""
    if isinstance(value, DeviceArray):
        return value.values
    if isinstance(value, np.ndarray):
        raise TypeError(f"an array in host memory, shape {value.shape}, meets one of the device")
    if isinstance(value, (tuple, list)):
        return type(value)(map(_inside, value))
    return value


class DeviceArray(NDArrayOperatorsMixin):
    """An array whose values are "on the device"."""

    __array_priority__ = 100
    __hash__ = None

    def __init__(self, values):
        self.values = values

    # NumPy's functions would copy to the host implicitly.
    def __array__(self, dtype=None, copy=None):
        raise TypeError("implicit conversion to a NumPy array; use ops.host()")

    def __array_function__(self, function, types, args, kwargs):
        raise TypeError(f"numpy.{function.__name__} of a device array; use ops.xp")

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        if method != "__call__" or kwargs.keys() - {"dtype"}:
            raise TypeError(f"{ufunc.__name__}.{method} with {sorted(kwargs)}")
        inputs = tuple(map(_inside, inputs))
        with np.errstate(all="ignore"):  # a device does not warn
            if out is not None:
                _count_operation(ufunc.__name__, *inputs, *map(_inside, out))
                ufunc(*inputs, out=tuple(map(_inside, out)), **kwargs)
                return out[0]
            return _made(ufunc.__name__, ufunc(*inputs, **kwargs), ())

    @property
    def __cuda_array_interface__(self):
        where = (self.values.ctypes.data, False)
        return {"shape": self.shape, "typestr": self.dtype.str, "version": 3, "data": where}

    @property
    def device(self):
        return SimpleNamespace(id=0)

    @property
    def data(self):
        return SimpleNamespace(ptr=self.values.ctypes.data)

    dtype = property(lambda self: self.values.dtype)
    shape = property(lambda self: self.values.shape)
    size = property(lambda self: self.values.size)
    ndim = property(lambda self: self.values.ndim)
    nbytes = property(lambda self: self.values.nbytes)
    strides = property(lambda self: self.values.strides)
    flags = property(lambda self: self.values.flags)
    T = property(lambda self: DeviceArray(self.values.T))

    def get(self):
        count("wait", "get", self)
        return self.values.copy()

    def __len__(self):
        return len(self.values)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index):
        index = _index(index)
        if _has_mask(index):
            count("wait", "mask", self)
        found = self.values[index]
        if isinstance(found, np.generic):  # a view of one value, as on a device
            found = self.values[(*index, ...)]
        return _made("getitem", found, (self.values,))

    def __setitem__(self, index, value):
        index, value = _index(index), _inside(value)
        if _has_mask(index) and np.ndim(value) > 0:
            count("wait", "mask", self)
        if any(isinstance(i, np.ndarray) for i in index):
            _count_operation("setitem", self.values, *index, value)
        else:
            view = index if any(i is Ellipsis for i in index) else (*index, ...)
            _count_assignment(self.values[view], value)
        self.values[index] = value

    def __int__(self):
        return int(self.item())

    def __float__(self):
        return float(self.item())

    def __bool__(self):
        return bool(self.item())

    __index__ = __int__

    def item(self):
        count("wait", "item", self)
        return self.values.item()

    def tolist(self):
        count("wait", "tolist", self)
        return self.values.tolist()

    def reshape(self, *shape):
        return _made("reshape", self.values.reshape(*shape), (self.values,))

    def ravel(self):
        return _made("reshape", self.values.ravel(), (self.values,))

    def transpose(self, *axes):
        return DeviceArray(self.values.transpose(*axes))

    def astype(self, dtype, order="K", casting=None, subok=None, copy=True):
        with np.errstate(all="ignore"):
            found = self.values.astype(dtype, order=order, copy=copy)
        return _made("astype", found, (self.values,))

    def view(self, dtype):
        return DeviceArray(self.values.view(dtype))

    def copy(self):
        return _made("copy", self.values.copy(), (self.values,))

    def fill(self, value):
        _count_assignment(self.values, value)
        self.values.fill(value)

    # With CuPy's arguments: no initial=, no where=.
    def sum(self, axis=None, dtype=None, out=None, keepdims=False):
        return _made("sum", self.values.sum(axis=axis, dtype=dtype, keepdims=keepdims), ())

    def mean(self, axis=None, dtype=None, out=None, keepdims=False):
        return _made("mean", self.values.mean(axis=axis, dtype=dtype, keepdims=keepdims), ())

    def max(self, axis=None, out=None, keepdims=False):
        return _made("max", self.values.max(axis=axis, keepdims=keepdims), ())

    def min(self, axis=None, out=None, keepdims=False):
        return _made("min", self.values.min(axis=axis, keepdims=keepdims), ())

    def any(self, axis=None, out=None, keepdims=False):
        return _made("any", self.values.any(axis=axis, keepdims=keepdims), ())

    def all(self, axis=None, out=None, keepdims=False):
        return _made("all", self.values.all(axis=axis, keepdims=keepdims), ())

    def argmax(self, axis=None, dtype=None, out=None, keepdims=False):
        return _made("argmax", self.values.argmax(axis=axis, keepdims=keepdims), ())

    def argsort(self, axis=-1):
        return _made("argsort", self.values.argsort(axis=axis, kind="stable"), ())


def _has_mask(index):
    return any(isinstance(i, np.ndarray) and i.dtype == bool for i in index)


def _index(index):
    index = tuple(index) if isinstance(index, tuple) else (index,)
    return tuple(_inside(i) for i in index)


def _cumsum(values, dtype=None, out=None):
    """Return sums as CuPy makes them: a scan in place, in memory that the values come to first."""
    count("allocation", "room of a scan", values)
    _count_operation("cumsum", values)
    if out is None:
        return _made("copy", np.cumsum(values, dtype=dtype), (values,))
    _count_assignment(out, values)
    return DeviceArray(np.cumsum(values, out=out))


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
                return _made("from host", np.array(args[0], *args[1:], **kwargs), ())
            args = tuple(map(_inside, args))
            kwargs = stable | {key: _inside(value) for key, value in kwargs.items()}
            if name in _WAITING or (name == "where" and len(args) == 1):
                count("wait", name, *args)
            if name == "cumsum":
                return _cumsum(*args, **kwargs)
            with np.errstate(all="ignore"):
                found = function(*args, **kwargs)
            if found is None:  # copyto
                if "where" in kwargs or not isinstance(args[1], np.ndarray):
                    _count_operation("copy", *args, kwargs.get("where"))
                else:
                    _count_assignment(*args)
                return None
            if name in ("empty", "empty_like"):
                found.reshape(-1).view(np.uint8).fill(0xA5)  # not to be taken for a result
            return _made(name, found, args)

        return on_device

    @staticmethod
    def asnumpy(array):
        return array.get()


namespace = _Namespace()
