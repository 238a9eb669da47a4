"""TIFF, by tifffile."""

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.memory import Budget, Cost, budget_of, nothing
from hdseg_gpu.core.windows import whole
from hdseg_gpu.io.picture import Picture
from hdseg_gpu.io.tiff_source import open_tiff


def read_tiff(
    path: Path, as_labels: bool = False, budget: Budget | None = None, cost: Cost = nothing
) -> Picture:
    """Return the first page, channels last; `as_labels` returns a palette's indices.

    cost: what they will take besides.
    """
    budget = budget or budget_of(None)
    with open_tiff(path, as_labels=as_labels, budget=budget) as source:
        pixels = source.shape[0] * source.shape[1] * source.channels
        budget.require(
            pixels * source.dtype.itemsize + source.decoding + cost(source.shape, source.dtype),
            f"{path}: reading {source.shape[0]} x {source.shape[1]} pixels",
            "pass a smaller one",
        )
        found = source.read(whole(source.shape))
        return Picture(found[..., 0] if source.channels == 1 else found, source.alpha)


def write_tiff(stream: BinaryIO, labels: NDArray[Any]) -> None:
    """Write a label map, losslessly compressed; TIFF has no bools."""
    import tifffile

    if labels.dtype.kind == "b":
        labels = labels.astype(np.uint8)
    tifffile.imwrite(stream, labels, compression="zlib", bigtiff=labels.nbytes > 2**31)
