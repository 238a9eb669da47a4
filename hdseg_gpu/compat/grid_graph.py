"""The random walker's system on a grid of any dimension: the edges of unlabelled pixels.

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
    """The weights between n unlabelled pixels, one array per axis, and to labelled ones."""

    pixel: NDArray[np.int64]  # (n,) flat indices, ascending
    link: NDArray[np.int32]  # (d, n) the next unlabelled pixel along each axis; -1: there is none
    weight: NDArray[Any]  # (d, n) of that edge
    row_sum: NDArray[Any]  # (n,) weights to labelled pixels
    contacts: Contacts


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
    flat, values, shape = seeds.reshape(-1), image.reshape(-1, image.shape[-1]), seeds.shape
    pixel = xp.flatnonzero(flat == 0)
    number = xp.full(flat.size, -1, np.int32)
    number[pixel] = xp.arange(len(pixel), dtype=np.int32)
    axes = [axis for axis, extent in enumerate(shape) if extent > 1]
    link = xp.full((max(1, len(axes)), len(pixel)), -1, np.int32)
    weight, row_sum = xp.zeros(link.shape, dtype), xp.zeros(len(pixel), dtype)
    found: list[tuple[Any, ...]] = []
    for first in range(0, len(pixel), _CHUNK):
        part = slice(first, first + _CHUNK)
        here = pixel[part]
        for i, axis in enumerate(axes):
            stride, extent = prod(shape[axis + 1 :]), shape[axis]

            def edges(some: NDArray[Any], step: int, scale: float = scales[axis]) -> NDArray[Any]:
                squares = _squares(xp, values[some], values[some + step])
                weights: NDArray[Any] = (xp.exp(-scale * squares) + FLOOR).astype(dtype)
                return weights

            along = here // stride % extent
            for step, there in ((stride, along < extent - 1), (-stride, along > 0)):
                entry = xp.flatnonzero(there)
                seed = flat[here[entry] + step]
                if step > 0:
                    linked = entry[seed == 0]
                    link[i, first + linked] = number[here[linked] + step]
                    weight[i, first + linked] = edges(here[linked], step)
                met = (seed != 0) & (seed != wall)
                entry, seed = entry[met], seed[met]
                to_seed = edges(here[entry], step)
                row_sum[first + entry] += to_seed
                found.append((first + entry, seed, to_seed))
    if not found:
        found.append((xp.zeros(0, np.int64), xp.zeros(0, seeds.dtype), xp.zeros(0, dtype)))
    contacts = Contacts(*(xp.concatenate(arrays) for arrays in zip(*found, strict=True)))
    return GridGraph(pixel, link, weight, row_sum, contacts)


def _squares(xp: Any, one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.float64]:
    """Return the squared distances of colours (n, C)."""
    found: NDArray[np.float64] = xp.zeros(len(one))
    for channel in range(one.shape[1]):  # few, and a sum over the last axis is slow
        found += (one[:, channel].astype(np.float64) - other[:, channel]) ** 2
    return found
