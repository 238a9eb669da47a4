"""Edges between neighbours of a grid, one array per axis, and as sparse rows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def diagonal_of(
    xp: Any, link: NDArray[np.int32], weight: NDArray[Any], row_sum: NDArray[Any]
) -> NDArray[Any]:
    """Return the row sum of each entry plus all its weights.

    link: (d, n), for each axis, the slowest first, the next entry along it, -1 if there is none;
    weight: (d, n), of that edge.
    """
    diagonal = row_sum + weight.sum(axis=0)
    for to, edge in zip(link, weight, strict=True):
        entry = xp.flatnonzero(to >= 0)
        diagonal[to[entry]] += edge[entry]  # each entry is the next one of one other at most
    found: NDArray[Any] = diagonal
    return found


def sparse_rows(
    xp: Any, link: NDArray[np.int32], weight: NDArray[Any]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[Any]]:
    """Return row starts (n + 1,), columns and weights of the same edges, columns ascending."""
    axes, n = link.shape
    column = xp.full((n, 2 * axes), -1, np.int32)
    weights = xp.zeros(column.shape, weight.dtype)
    for axis in range(axes):
        entry = xp.flatnonzero(link[axis] >= 0)
        other = link[axis, entry]
        column[other, axis], weights[other, axis] = entry, weight[axis, entry]
        column[:, -1 - axis], weights[:, -1 - axis] = link[axis], weight[axis]
    there = column >= 0
    start = xp.zeros(n + 1, np.int32)
    start[1:] = xp.cumsum(there.sum(axis=1))
    return start, column[there], weights[there]
