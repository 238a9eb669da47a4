"""Which arrays drop-in functions take."""

from typing import Any

import numpy as np

from hdseg_gpu.backends.interop import is_tensor


class UnsafeForOriginal(ValueError):
    """An argument that makes the original read other memory: it is never passed on."""


def is_dask(array: Any) -> bool:
    """Return whether a value is a Dask array, without importing Dask."""
    return type(array).__module__.partition(".")[0] == "dask"


def require_array(name: str, value: Any, also: tuple[type, ...] = ()) -> Any:
    """Return an array of NumPy, CuPy or torch, or of types in `also` as NumPy's.

    Raises TypeError for others, above all those with another ``__array_namespace__``.
    """
    if isinstance(value, also):
        return np.asarray(value)
    if isinstance(value, np.ndarray | np.generic) or is_tensor(value):
        return value
    if hasattr(value, "__cuda_array_interface__"):
        return value
    kind = type(value)
    raise TypeError(
        f"{name} is a {kind.__module__}.{kind.__qualname__}; pass an array of NumPy, CuPy or torch."
    )
