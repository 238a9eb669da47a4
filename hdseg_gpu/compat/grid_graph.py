"""The random walker's system on a grid of any dimension, as a sparse matrix of unlabelled pixels.

Edges between labelled pixels never exist here, so memory follows the unlabelled ones.
"""

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FLOOR = 1e-10  # added to all weights, as by ``ops.assemble``
_CHUNK = 1 << 18  # pixels whose edges are found together, so that they stay in the cache


class Contacts(NamedTuple):
    """The edges from unlabelled to labelled pixels."""

    entry: NDArray[np.int64]  # (e,) number of the unlabelled pixel
    label: NDArray[Any]  # (e,) of the labelled one
    weight: NDArray[Any]  # (e,)


class GridGraph(NamedTuple):
    """The weights between n unlabelled pixels, in compressed sparse rows, and to labelled ones."""

    pixel: NDArray[np.int64]  # (n,) flat indices, ascending
    row_start: NDArray[np.int32]  # (n + 1,)
    column: NDArray[np.int32]
    weight: NDArray[Any]
    row_sum: NDArray[Any]  # (n,) weights to labelled pixels
    diagonal: NDArray[Any]  # (n,) all weights
    contacts: Contacts


class _Grid(NamedTuple):
    xp: Any
    values: NDArray[Any]  # (pixels, C)
    seeds: NDArray[Any]  # (pixels,)
    wall: int
    number: NDArray[np.int32]  # (pixels,) of unlabelled pixels, -1 of others
    shape: tuple[int, ...]
    scales: Sequence[float]
    dtype: type[np.floating[Any]]

    @property
    def steps(self) -> list[tuple[int, int]]:
        """Return axis and direction of each neighbour, in ascending order of the neighbours."""
        axes = [axis for axis, extent in enumerate(self.shape) if extent > 1]
        return [(axis, -1) for axis in axes] + [(axis, 1) for axis in reversed(axes)]


def grid_graph(
    xp: Any,
    image: NDArray[Any],
    seeds: NDArray[Any],
    wall: int,
    scales: Sequence[float],
    dtype: type[np.floating[Any]] = np.float32,
) -> GridGraph:
    """Return the graph of the pixels with seed 0.

    image: (..., C). seeds: label, or `wall` where pixels are excluded. scales: s of each axis;
    the weight of an edge along it is exp(-s sum_c (I_i - I_j)^2) + 1e-10. dtype: of weights.
    """
    flat = seeds.reshape(-1)
    pixel = xp.flatnonzero(flat == 0)
    number = xp.full(flat.size, -1, np.int32)
    number[pixel] = xp.arange(len(pixel), dtype=np.int32)
    grid = _Grid(
        xp, image.reshape(-1, image.shape[-1]), flat, wall, number, seeds.shape, scales, dtype
    )
    starts = range(0, max(1, len(pixel)), _CHUNK)
    parts = [_rows(grid, pixel[first : first + _CHUNK], first) for first in starts]
    linked, column, weight, row_sum, diagonal, entry, label, to_label = (
        xp.concatenate(arrays) for arrays in zip(*parts, strict=True)
    )
    row_start = xp.zeros(len(pixel) + 1, np.int32)
    row_start[1:] = xp.cumsum(linked)
    contacts = Contacts(entry, label, to_label)
    return GridGraph(pixel, row_start, column, weight, row_sum, diagonal, contacts)


def _rows(grid: _Grid, pixel: NDArray[np.int64], first: int) -> tuple[NDArray[Any], ...]:
    """Return the edges of some unlabelled pixels; first: the number of the first of them."""
    xp, n, steps = grid.xp, len(pixel), grid.steps
    column = xp.full((n, max(1, len(steps))), -1, np.int32)
    weight = xp.zeros(column.shape, grid.dtype)
    row_sum, diagonal = xp.zeros((2, n), grid.dtype)
    contacts = []
    own = grid.values[pixel].astype(np.float64)
    for i, (axis, direction) in enumerate(steps):
        stride, extent = prod(grid.shape[axis + 1 :]), grid.shape[axis]
        along = pixel // stride % extent
        there = along < extent - 1 if direction > 0 else along > 0
        other = xp.where(there, pixel + direction * stride, pixel)
        squares = ((grid.values[other] - own) ** 2).sum(axis=1)
        edge = (xp.exp(-grid.scales[axis] * squares) + FLOOR).astype(grid.dtype)
        seed = xp.where(there, grid.seeds[other], grid.wall)
        edge[seed == grid.wall] = 0
        column[:, i] = xp.where(seed == 0, grid.number[other], -1)
        weight[:, i] = edge
        diagonal += edge
        hit = xp.flatnonzero((seed != 0) & (seed != grid.wall))
        row_sum[hit] += edge[hit]
        contacts.append((hit + first, seed[hit], edge[hit]))
    linked = column >= 0
    ends = [xp.concatenate(arrays) for arrays in zip(*contacts, strict=True)] if contacts else [
        xp.zeros(0, np.int64), xp.zeros(0, grid.seeds.dtype), xp.zeros(0, grid.dtype)
    ]  # fmt: skip
    return linked.sum(axis=1), column[linked], weight[linked], row_sum, diagonal, *ends
