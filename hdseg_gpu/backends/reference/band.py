"""Bands, and the neighbours of their pixels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from hdseg_gpu.backends.host import HostOps
from hdseg_gpu.core.classes import wall_of
from hdseg_gpu.core.windows import Window
from hdseg_gpu.ops import Band, Evidence, Places

_NEIGHBOURS = ((-1, 0), (0, -1), (0, 1), (1, 0))


class ReferenceBandOps(HostOps):
    """The definitions, written down."""

    def band(self, seeds: NDArray[Any]) -> Band:
        y, x = np.nonzero(seeds == 0)
        pixel = y * seeds.shape[1] + x
        begins = np.ones(pixel.size, np.bool_)
        begins[1:] = (np.diff(pixel) != 1) | (np.diff(y) != 0)
        start = np.append(np.flatnonzero(begins), pixel.size).astype(np.int32)
        shape = seeds.shape[0], seeds.shape[1]
        return Band(shape, pixel[begins].astype(np.int64), start, pixel.size)

    def components(self, band: Band) -> NDArray[np.int32]:
        beside = neighbours(band)
        row, k = np.nonzero(beside >= 0)
        edges = sparse.coo_array(
            (np.ones(row.size), (row, beside[row, k])), shape=(band.size, band.size)
        )
        _, label = connected_components(edges, directed=False)
        _, first, label = np.unique(label, return_index=True, return_inverse=True)
        return np.argsort(np.argsort(first)).astype(np.int32)[label][band.start[:-1]]

    def labels_at(
        self, band: Band, seeds: NDArray[Any], places: Places, evidence: Evidence | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        place = places_of(band, places)
        pairs = set()
        for inside, other in neighbour_pixels(band.pixels(), band.shape):
            label = seeds.ravel()[other].astype(np.int64)
            seeded = (label > 0) & (label < wall_of(seeds.dtype))
            pairs |= set(zip(place[inside][seeded].tolist(), label[seeded].tolist(), strict=True))
        for labels in () if evidence is None else evidence.label.T:
            pairs |= {(p, k) for p, k in zip(place.tolist(), labels.tolist(), strict=True) if k > 0}
        counted = np.repeat(places.first >= 0, np.diff(band.start))
        found = sorted(pairs & {(p, k) for p in place[counted].tolist() for _, k in pairs})
        return tuple(np.array(found, np.int64).reshape(-1, 2).T.copy())  # type: ignore[return-value]

    def decide(
        self,
        band: Band,
        x: NDArray[Any],
        labels: NDArray[Any],
        places: Places,
        bound: NDArray[Any] | float,
        core: Window,
        seeds: NDArray[Any],
    ) -> int:
        if len(x) == 0:
            potentials, certain = np.ones((1, band.size)), np.ones(band.size, np.bool_)
        else:
            potentials = np.clip(np.vstack([x, 1 - np.clip(x, 0, 1).sum(axis=0)]), 0, 1)
            second, best = np.sort(potentials, axis=0)[-2:]
            certain = best - second > np.asarray(bound) * len(potentials)
        of_pixel = labels[places_of(band, places)]
        chosen = potentials.argmax(axis=0)[:, np.newaxis]
        seeds.reshape(-1)[band.pixels()] = np.take_along_axis(of_pixel, chosen, axis=1)[:, 0]
        rows, columns = np.divmod(band.pixels(), band.shape[1])
        inside = (rows >= core.top) & (rows < core.bottom)
        inside &= (columns >= core.left) & (columns < core.right)
        return int(np.count_nonzero(~certain & inside))


def places_of(band: Band, places: Places) -> NDArray[np.int64]:
    """Return the place of each pixel."""
    first: NDArray[np.int64] = np.repeat(places.first.astype(np.int64), np.diff(band.start))
    return first + band.pixels() % band.shape[1] // places.across


def neighbours(band: Band) -> NDArray[np.int64]:
    """Return the (n, 4) positions of the neighbours in the band, -1 where there is none."""
    pixels = band.pixels()
    number = np.full(band.shape[0] * band.shape[1], -1)
    number[pixels] = np.arange(pixels.size)
    unknown = np.full((pixels.size, 4), -1)
    for k, (inside, other) in enumerate(neighbour_pixels(pixels, band.shape)):
        unknown[inside, k] = number[other]
    return unknown


def neighbour_pixels(
    pixels: NDArray[np.int64], shape: tuple[int, ...]
) -> list[tuple[NDArray[np.bool_], NDArray[np.int64]]]:
    """Return for each direction which pixels have that neighbour, and its index for those."""
    y, x = np.divmod(pixels, shape[1])
    found = []
    for dy, dx in _NEIGHBOURS:
        inside = (y >= -dy) & (y + dy < shape[0]) & (x >= -dx) & (x + dx < shape[1])
        found.append((inside, (pixels + dy * shape[1] + dx)[inside]))
    return found
