"""Converting potentials to probabilities, and classes to labels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.classes import wall_of
from hdseg_gpu.ops import Ops
from hdseg_gpu.pipeline.graph import Region


def seed_probabilities(ops: Ops, seeds: NDArray[Any], count: int) -> NDArray[np.float32]:
    """Return probabilities (K, H, W): 1 at the seeds of each class and 0 elsewhere."""
    probabilities: NDArray[np.float32] = ops.xp.zeros((count, *seeds.shape), np.float32)
    flat = seeds.reshape(-1)
    known = ops.xp.flatnonzero((flat > 0) & (flat != wall_of(seeds.dtype)))
    probabilities.reshape(count, -1)[flat[known].astype(np.int64) - 1, known] = 1
    return probabilities


def write_probabilities(
    ops: Ops, region: Region, x: NDArray[Any], probabilities: NDArray[np.float32]
) -> None:
    """Write the potentials of a region's m classes into probabilities (K, h, w).

    x: (m - 1, n), those of all but the last class. They are clipped to [0, 1], as rounding may take
    them slightly outside.
    """
    pixels, rows = ops.pixels(region.band), region.rows(ops)
    flat = probabilities.reshape(len(probabilities), -1)
    rest = ops.xp.ones(pixels.size, np.float32)
    for j in range(region.labels.shape[1]):
        labels = region.labels[:, j][rows].astype(np.int64)
        value = ops.xp.clip(x[j] if j < len(x) else rest, 0.0, 1.0)
        rest -= value
        if region.has_gaps:  # a column may stand for no class at some pixels
            there = ops.xp.flatnonzero(labels)
            flat[labels[there] - 1, pixels[there]] = value[there]
        else:
            flat[labels - 1, pixels] = value


def look_up(
    ops: Ops, values: NDArray[Any], labels: NDArray[Any], ignore_index: int | None = None
) -> NDArray[Any]:
    """Return values[labels - 1], ignore_index at walls; may overwrite labels.

    Works in strips, to avoid an index array as large as the image.
    """
    if ignore_index is None:
        if values.dtype == labels.dtype and np.array_equal(values, np.arange(len(values))):
            labels -= 1
            return labels
        ignore_index = values[-1]
    table = np.full(wall_of(labels.dtype) + 1, ignore_index, values.dtype)
    table[1 : len(values) + 1] = values
    found: NDArray[Any] = ops.xp.empty(labels.shape, values.dtype)
    table = ops.xp.asarray(table)
    rows = max(1, ops.block // labels.shape[1])
    for top in range(0, len(labels), rows):
        found[top : top + rows] = table[labels[top : top + rows]]
    return found
