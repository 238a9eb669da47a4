"""The unknown band as a set of independent linear systems."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.ops import CsrMatrix, Ops


@dataclass(frozen=True)
class System:
    """(L_UU + gamma I) x^k = -L_US m^k + gamma lambda^k on components that see the same classes.

    The potentials of all its classes sum to 1, so there is no right-hand side for the last one.
    """

    rows: NDArray[np.int64]  # (n,) positions in the band
    classes: NDArray[np.int64]  # the m class indices that reach these components, ascending
    matrix: CsrMatrix
    b: NDArray[np.float64]  # (n, m - 1)


@dataclass(frozen=True)
class Band:
    """The unknown pixels, their edge weights, and which system each belongs to."""

    pixels: NDArray[np.int64]  # (n,) flat indices, ascending
    weights: NDArray[np.float64]  # (n, 4)
    group: NDArray[np.int64]  # (n,) index into `reach`
    reach: NDArray[np.bool_]  # (groups, K) the classes that reach a group's components
    prior: NDArray[np.float64] | None  # (n, K) evidence


def build_band(
    ops: Ops,
    pixels: NDArray[np.int64],
    seeds: NDArray[np.int32],
    weights: NDArray[np.float64],
    prior: NDArray[np.float64] | None,
    count: int,
) -> Band:
    """Return the band with its components grouped by the classes that reach them.

    A class reaches a component when one of its seeds adjoins it or, with evidence, when it has
    some there. Components are independent of one another, so those with the same classes can
    share a matrix, and a class costs nothing where it has no say.
    """
    component = ops.components(ops.neighbours(pixels, seeds.shape))
    reach = ops.contacts(pixels, seeds, component, count)
    if prior is not None:
        for k in range(count):
            reach[component[prior[:, k] > 0], k] = True
    distinct, group = np.unique(reach, axis=0, return_inverse=True)
    return Band(pixels, weights, group.reshape(-1)[component], distinct, prior)


def assemble(ops: Ops, band: Band, seeds: NDArray[np.int32], group: int, gamma: float) -> System:
    """Return the system of one group of components."""
    rows = np.flatnonzero(band.group == group)
    classes = np.flatnonzero(band.reach[group])
    pixels, weights = band.pixels[rows], band.weights[rows]
    b = np.empty((rows.size, classes.size - 1), order="F")
    for j, k in enumerate(classes[:-1]):
        b[:, j] = ops.flux_from_seeds(weights, pixels, seeds, int(k) + 1)
        if band.prior is not None:
            b[:, j] += gamma * band.prior[rows, k]
    matrix = ops.laplacian(weights, ops.neighbours(pixels, seeds.shape), gamma)
    return System(rows, classes, matrix, b)
