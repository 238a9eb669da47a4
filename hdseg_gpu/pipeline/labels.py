"""From potentials to probabilities."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.pipeline.graph import Region


def seed_probabilities(seeds: NDArray[Any], count: int) -> NDArray[np.float32]:
    """Return (K, H, W) with 1 at the seeds of each class and 0 elsewhere."""
    probabilities = np.empty((count, *seeds.shape), np.float32)
    for k in range(count):
        probabilities[k] = seeds == k + 1
    return probabilities


def write_probabilities(
    region: Region, x: NDArray[Any], probabilities: NDArray[np.float32]
) -> None:
    """Write the potentials of a region's classes, x being those of all but the last: (m - 1, n).

    The exact potentials lie in [0, 1] and sum to 1; rounding is trimmed.
    """
    pixels = region.band.pixels()
    lengths = np.diff(region.band.start)
    flat = probabilities.reshape(len(probabilities), -1)
    rest = np.ones(pixels.size, np.float32)
    for j in range(region.labels.shape[1]):
        classes = np.repeat(region.labels[:, j].astype(np.intp) - 1, lengths)
        value = np.clip(x[j], 0.0, 1.0) if j < len(x) else np.clip(rest, 0.0, 1.0)
        flat[classes, pixels] = value
        rest -= value
