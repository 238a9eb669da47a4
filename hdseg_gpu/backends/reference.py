"""NumPy and SciPy, slow and obvious: the oracle of every other backend."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from hdseg_gpu.core.ops import Classes, CsrMatrix, Mask, Ops, Shape, class_dtype

_EDGE_FLOOR = 1e-10
_NEIGHBOURS = ((-1, 0), (0, -1), (0, 1), (1, 0))


class ReferenceOps(Ops):
    """The definitions, written down."""

    name = "reference"

    def thinning(self, mask: Mask, elements: NDArray[np.int8], passes: int) -> Mask:
        inside = mask != 0
        for _ in range(passes):
            before = inside.copy()
            for element in elements:
                inside &= ~_hit_or_miss(inside, element)
            if np.array_equal(inside, before):
                break
        thinned: Mask = mask * inside
        return thinned

    def thinning_packed(
        self, mask: NDArray[np.uint8], width: int, elements: NDArray[np.int8], passes: int
    ) -> NDArray[np.uint8]:
        bits = np.unpackbits(mask, axis=1, count=width, bitorder="little")
        return np.packbits(self.thinning(bits, elements, passes), axis=1, bitorder="little")

    def seeds(
        self, classes: Classes, count: int, elements: NDArray[np.int8], passes: int
    ) -> Classes:
        seeds = np.zeros_like(classes)
        for k in range(count):
            seeds[self.thinning(classes == k, elements, passes)] = k + 1
        return seeds

    def histogram(self, values: Classes, count: int) -> NDArray[np.int64]:
        return np.bincount(values.ravel(), minlength=count).astype(np.int64)

    def upsample_labels(self, coarse: Classes, shape: Shape) -> Classes:
        rows, columns = (
            (2 * np.arange(fine) + 1) * small // (2 * fine)
            for small, fine in zip(coarse.shape, shape, strict=True)
        )
        fine: Classes = coarse[rows][:, columns]
        return fine

    def upsample_argmax(
        self, planes: NDArray[np.float32], shape: Shape, interpolation: str
    ) -> Classes:
        pixels = np.arange(shape[0] * shape[1])
        samples = self.sample_planes(planes, shape, pixels, interpolation)
        first_largest: NDArray[np.int64] = samples.argmax(axis=1)
        return first_largest.reshape(shape).astype(class_dtype(len(planes)))

    def sample_planes(
        self,
        planes: NDArray[np.float32],
        shape: Shape,
        pixels: NDArray[np.int64],
        interpolation: str,
    ) -> NDArray[np.float64]:
        y, x = np.divmod(pixels, shape[1])
        rows = _taps(y, planes.shape[1], shape[0], interpolation)
        columns = _taps(x, planes.shape[2], shape[1], interpolation)
        total = np.zeros((planes.shape[0], pixels.size))
        for row, row_weight in rows:
            along = np.zeros_like(total)
            for column, column_weight in columns:
                along += column_weight * planes[:, row, column].astype(np.float64)
            total += row_weight * along
        return np.ascontiguousarray(total.T)

    def standard_deviation(self, values: NDArray[Any]) -> float:
        exact = values.astype(np.float64)
        # Relative to the first value, so that a constant picture has exactly 0.
        return float((exact - exact.flat[0]).std())

    def band(self, seeds: NDArray[np.int32]) -> NDArray[np.int64]:
        return np.flatnonzero(seeds == 0).astype(np.int64)

    def edge_weights(
        self, features: NDArray[Any], pixels: NDArray[np.int64], rule: str, strength: float
    ) -> NDArray[np.float64]:
        shape = features.shape[:2]
        vectors = features.reshape(-1, features.shape[2]).astype(np.float64)
        sign = -1.0 if rule == "intensity" else 1.0
        weights = np.zeros((pixels.size, 4))
        for k, (inside, other) in enumerate(_neighbour_pixels(pixels, shape)):
            pairs = vectors[pixels[inside]] + sign * vectors[other]
            weights[inside, k] = np.exp(-strength * (pairs**2).sum(axis=1)) + _EDGE_FLOOR
        return weights

    def neighbours(self, pixels: NDArray[np.int64], shape: Shape) -> NDArray[np.int32]:
        number = np.full(shape[0] * shape[1], -1, np.int32)
        number[pixels] = np.arange(pixels.size)
        unknown = np.full((pixels.size, 4), -1, np.int32)
        for k, (inside, other) in enumerate(_neighbour_pixels(pixels, shape)):
            unknown[inside, k] = number[other]
        return unknown

    def components(self, neighbours: NDArray[np.int32]) -> NDArray[np.int32]:
        n = len(neighbours)
        row, k = np.nonzero(neighbours >= 0)
        edges = sparse.coo_array((np.ones(row.size), (row, neighbours[row, k])), shape=(n, n))
        _, label = connected_components(edges, directed=False)
        _, first, label = np.unique(label, return_index=True, return_inverse=True)
        return np.argsort(np.argsort(first)).astype(np.int32)[label]

    def contacts(
        self,
        pixels: NDArray[np.int64],
        seeds: NDArray[np.int32],
        component: NDArray[np.int32],
        count: int,
    ) -> NDArray[np.bool_]:
        touches = np.zeros((np.unique(component).size, count), np.bool_)
        for inside, other in _neighbour_pixels(pixels, seeds.shape):
            label = seeds.ravel()[other]
            touches[component[inside][label > 0], label[label > 0] - 1] = True
        return touches

    def laplacian(
        self, weights: NDArray[np.float64], neighbours: NDArray[np.int32], gamma: float
    ) -> CsrMatrix:
        n = len(neighbours)
        row, k = np.nonzero(neighbours >= 0)
        every = np.arange(n)
        values = np.concatenate([-weights[row, k], weights.sum(axis=1) + gamma])
        where = np.concatenate([row, every]), np.concatenate([neighbours[row, k], every])
        matrix = sparse.csr_array((values, where), shape=(n, n))
        matrix.sort_indices()
        return CsrMatrix(
            matrix.data, matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32)
        )

    def flux_from_seeds(
        self,
        weights: NDArray[np.float64],
        pixels: NDArray[np.int64],
        seeds: NDArray[np.int32],
        label: NDArray[np.int32],
    ) -> NDArray[np.float64]:
        flux = np.zeros(pixels.size)
        for k, (inside, other) in enumerate(_neighbour_pixels(pixels, seeds.shape)):
            flux[inside] += weights[inside, k] * (seeds.ravel()[other] == label[inside])
        return flux


def _hit_or_miss(mask: NDArray[np.bool_], element: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Return where the element matches; outside the picture its edge pixels are repeated."""
    r = len(element) // 2
    padded = np.pad(mask, r, mode="edge")
    match = np.ones_like(mask)
    for y, x in np.argwhere(element != 0):
        shifted = padded[y : y + mask.shape[0], x : x + mask.shape[1]]
        match &= shifted if element[y, x] > 0 else ~shifted
    return match


def _neighbour_pixels(
    pixels: NDArray[np.int64], shape: tuple[int, ...]
) -> list[tuple[NDArray[np.bool_], NDArray[np.int64]]]:
    """Return for each direction which pixels have that neighbour, and its index for those."""
    y, x = np.divmod(pixels, shape[1])
    found = []
    for dy, dx in _NEIGHBOURS:
        inside = (y >= -dy) & (y + dy < shape[0]) & (x >= -dx) & (x + dx < shape[1])
        found.append((inside, (pixels + dy * shape[1] + dx)[inside]))
    return found


def _taps(
    index: NDArray[np.int64], small: int, fine: int, interpolation: str
) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Return coarse indices and weights for fine indices, half-pixel centres, edges repeated."""
    position = (index + 0.5) * small / fine - 0.5
    base = np.floor(position)
    t = position - base
    if interpolation == "linear":
        first, weights = 0, [1 - t, t]
    else:  # cubic convolution, a = -1/2 (Keys 1981)
        first = -1
        weights = [
            ((-0.5 * t + 1) * t - 0.5) * t,
            (1.5 * t - 2.5) * t * t + 1,
            ((-1.5 * t + 2) * t + 0.5) * t,
            (0.5 * t - 0.5) * t * t,
        ]
    return [
        (np.clip(base.astype(np.int64) + first + k, 0, small - 1), weight)
        for k, weight in enumerate(weights)
    ]
