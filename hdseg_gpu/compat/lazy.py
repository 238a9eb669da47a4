"""Drop-in functions of Dask arrays: the whole call is one task."""

from collections.abc import Callable
from typing import Any

import numpy as np


def later(function: Callable[..., Any], data: Any, labels: Any, **options: Any) -> Any:
    """Return the labels or probabilities of Dask arrays as a Dask array of one block.

    The system couples all pixels, so there are no blocks to compute apart.
    """
    import dask.array
    from dask import delayed

    if labels.ndim != 2:
        raise TypeError(f"labels are a Dask array of shape {labels.shape}; pass a plane of them.")
    found = delayed(function, pure=False)(data, labels, **options)
    if not options["return_full_prob"]:
        return dask.array.from_delayed(found, labels.shape, labels.dtype)
    values = np.unique(np.asarray(labels))  # their number is part of the result's shape
    count = int(np.count_nonzero(values > 0))
    return dask.array.from_delayed(found, (count, *labels.shape), np.float64)
