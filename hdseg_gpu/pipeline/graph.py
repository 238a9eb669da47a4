"""The unknown band as a few independent linear systems."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.ops import CsrMatrix, Ops


@dataclass(frozen=True)
class Band:
    """The unknown pixels, their edge weights, and which classes reach which component."""

    pixels: NDArray[np.int64]  # (n,) flat indices, ascending
    weights: NDArray[np.float64]  # (n, 4)
    component: NDArray[np.int32]  # (n,)
    reach: NDArray[np.bool_]  # (components, K)
    prior: NDArray[np.float64] | None  # (n, K) evidence

    def class_counts(self) -> NDArray[np.int64]:
        """Return for each component how many classes reach it."""
        counts: NDArray[np.int64] = self.reach.sum(axis=1)
        return counts


@dataclass(frozen=True)
class System:
    """(L_UU + gamma I) x^j = -L_US m^j + gamma lambda^j on the components that m classes reach.

    Component by component, j counts the classes that reach it, so components with different
    classes share the matrix and its m - 1 right-hand sides. The potentials sum to 1: there is
    none for the last class.
    """

    rows: NDArray[np.int64]  # (n,) positions in the band
    classes: NDArray[np.int32]  # (n, m) for each pixel the classes that reach it, ascending
    matrix: CsrMatrix
    b: NDArray[np.float64]  # (n, m - 1)


def build_band(
    ops: Ops,
    pixels: NDArray[np.int64],
    seeds: NDArray[np.int32],
    weights: NDArray[np.float64],
    prior: NDArray[np.float64] | None,
    count: int,
) -> Band:
    """Return the band with the classes that reach each of its components.

    A class reaches a component when one of its seeds adjoins it or, with evidence, when it has
    some there. Components are independent of one another: a class costs nothing where it has no
    say.
    """
    component = ops.components(ops.neighbours(pixels, seeds.shape))
    reach = ops.contacts(pixels, seeds, component, count)
    if prior is not None:
        for k in range(count):
            reach[component[prior[:, k] > 0], k] = True
    return Band(pixels, weights, component, reach, prior)


def assemble(
    ops: Ops, band: Band, seeds: NDArray[np.int32], class_count: int, gamma: float
) -> System:
    """Return the system of all components that so many classes reach."""
    counts = band.class_counts()
    rows = np.flatnonzero(counts[band.component] == class_count)
    # Row by row, nonzero() lists the classes of one component after the other.
    chosen = np.flatnonzero(counts == class_count)
    table = np.empty((counts.size, class_count), np.int32)
    table[chosen] = np.nonzero(band.reach[chosen])[1].reshape(-1, class_count)
    classes = table[band.component[rows]]
    pixels, weights = band.pixels[rows], band.weights[rows]
    b = np.empty((rows.size, class_count - 1), order="F")
    for j in range(class_count - 1):
        label = classes[:, j] + np.int32(1)
        b[:, j] = ops.flux_from_seeds(weights, pixels, seeds, label)
        if band.prior is not None:
            b[:, j] += gamma * band.prior[rows, classes[:, j]]
    matrix = ops.laplacian(weights, ops.neighbours(pixels, seeds.shape), gamma)
    return System(rows, classes, matrix, b)
