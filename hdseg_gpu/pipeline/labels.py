"""From potentials to labels and probabilities."""

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.pipeline.graph import System


def complete(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the potentials of all classes, (n, m), from those of all but the last, (n, m - 1).

    The exact potentials lie in [0, 1] and sum to 1; rounding is trimmed.
    """
    x = np.clip(x, 0.0, 1.0)
    return np.column_stack([x, np.clip(1.0 - x.sum(axis=1), 0.0, 1.0)])


def winners(system: System, potentials: NDArray[np.float64]) -> NDArray[np.int32]:
    """Return the class with the largest potential; the lowest class wins a tie."""
    best = potentials.argmax(axis=1)[:, np.newaxis]
    return np.take_along_axis(system.classes, best, axis=1)[:, 0]


def seed_probabilities(seeds: NDArray[np.int32], count: int) -> NDArray[np.float32]:
    """Return (K, H, W) with 1 at the seeds of each class and 0 elsewhere."""
    probabilities = np.empty((count, *seeds.shape), np.float32)
    for k in range(count):
        probabilities[k] = seeds == k + 1
    return probabilities
