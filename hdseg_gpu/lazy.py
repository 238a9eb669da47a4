"""Refining a Dask array into a lazy Dask array.

Global values (seeds, sigma, doubt) need the whole image before any label is known. So one task
refines the image, tile by tile, and compresses all labels; every block is decompressed from its
result.
"""

import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.calls import values_of
from hdseg_gpu.core.options import CallOptions
from hdseg_gpu.core.tiles import TileGrid
from hdseg_gpu.core.validate import axis_of
from hdseg_gpu.files import coarse_labels, refine_file
from hdseg_gpu.io.npy import Npy

_CHUNK = 2048


def is_lazy(image: Any) -> bool:
    """Return whether an image is a Dask array, without importing Dask."""
    return type(image).__module__.partition(".")[0] == "dask"


def refine_lazily(image: Any, coarse: Any, call: CallOptions) -> Any:
    """Return the labels of a Dask array (H, W) or (H, W, C) as a Dask array (H, W)."""
    import dask.array
    from dask import delayed

    options = values_of(call, CallOptions)
    labels = coarse_labels(coarse, call.class_axis, call.ignore_index)
    shape = [int(n) for n in image.shape]
    if len(shape) == 3:
        del shape[axis_of("channel_axis", call.channel_axis)]
    grid = TileGrid((shape[0], shape[1]), _CHUNK)
    # Wrapped in an object, so that Dask does not compute any of the arrays before the task begins.
    packed = delayed(_packed, pure=False)(_Held((image, coarse, options)))
    unpacked = delayed(_unpacked, pure=True)
    rows = []
    for i in range(grid.rows):
        cores = [(j, grid.core(j)) for j in range(i * grid.columns, (i + 1) * grid.columns)]
        rows.append(
            [
                dask.array.from_delayed(unpacked(packed, j, core.shape), core.shape,
                                        labels.dtype)
                for j, core in cores
            ]
        )  # fmt: skip
    return dask.array.block(rows)


class _Held:
    def __init__(self, value: Any) -> None:
        self.value = value


def _packed(given: _Held) -> tuple[str, list[bytes]]:
    """Return the dtype of the labels, and the compressed labels of each block."""
    image, coarse, options = given.value
    with tempfile.TemporaryDirectory(prefix="hdseg-") as folder:
        path = Path(folder) / "labels.npy"
        refine_file(image, coarse, path, **options)
        with Npy(path) as labels:
            height, width = labels.shape
            grid = TileGrid((height, width), _CHUNK)
            blocks = [zlib.compress(labels[grid.core(i).slices].data, 1) for i in range(len(grid))]
            return labels.dtype.str, blocks


def _unpacked(packed: tuple[str, list[bytes]], index: int, shape: tuple[int, int]) -> NDArray[Any]:
    dtype, blocks = packed
    return np.frombuffer(zlib.decompress(blocks[index]), dtype).reshape(shape)
