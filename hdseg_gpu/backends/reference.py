"""NumPy and SciPy, slow and obvious: the oracle of every other backend."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse.csgraph import connected_components

from hdseg_gpu.backends.reference_cells import ReferenceCells
from hdseg_gpu.backends.reference_evidence import ReferenceEvidence, places_of
from hdseg_gpu.core.ops import (
    Band,
    Classes,
    CsrMatrix,
    Edges,
    Evidence,
    Level,
    Mask,
    Ops,
    Places,
    class_dtype,
    wall_of,
)
from hdseg_gpu.core.windows import Placement, Window

_EDGE_FLOOR = 1e-10
_JACOBI = 0.8
_NEIGHBOURS = ((-1, 0), (0, -1), (0, 1), (1, 0))


class ReferenceOps(ReferenceCells, ReferenceEvidence):
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
        seeds = np.zeros(classes.shape, classes.dtype)
        for k in range(count):
            seeds[self.thinning(classes == k, elements, passes)] = k + 1
        return seeds

    def prune(self, seeds: Classes, length: int) -> Classes:
        pruned = seeds.copy()
        for k in np.unique(seeds[seeds > 0]):
            own = (seeds == k).astype(np.uint8)
            thick = ndimage.grey_opening(own, 3, mode="nearest")
            near = ndimage.maximum_filter(thick, 2 * length + 1, mode="nearest")
            pruned[(own > thick) & (near > 0)] = 0
        return pruned

    def majority(self, labels: Classes, band: Band, size: int) -> Classes:
        padded = np.pad(labels, size // 2, mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size))
        found = np.empty(band.size, labels.dtype)
        for i, pixel in enumerate(band.pixels()):
            own, votes = labels.flat[pixel], windows[np.divmod(pixel, labels.shape[1])]
            values, counts = np.unique(votes[votes != wall_of(labels.dtype)], return_counts=True)
            first = values[counts == counts.max()]
            found[i] = own if own in first else first[0]
        return found

    def histogram(self, values: Classes, count: int) -> NDArray[np.int64]:
        return np.bincount(values.ravel(), minlength=count).astype(np.int64)

    def upsample_labels(self, coarse: Classes, place: Placement) -> Classes:
        rows, columns = (
            (2 * axis.at + 1) * axis.coarse // (2 * axis.fine) - axis.begin for axis in _axes(place)
        )
        # Such an index may leave another memory order behind.
        return np.ascontiguousarray(coarse[rows][:, columns])

    def upsample_classes(self, coarse: Classes, place: Placement, interpolation: str) -> Classes:
        present = np.unique(coarse)
        planes = (coarse == present[:, np.newaxis, np.newaxis]).astype(np.float32)
        found: Classes = present[self.upsample_argmax(planes, place, interpolation)]
        return found

    def upsample_argmax(
        self, planes: NDArray[np.float32], place: Placement, interpolation: str
    ) -> Classes:
        shape = place.window.shape
        pixels = np.arange(shape[0] * shape[1])
        samples = self.sample_planes(planes, place, pixels, interpolation)
        first_largest: NDArray[np.int64] = samples.argmax(axis=1)
        fine: NDArray[Any] = first_largest.reshape(shape).astype(class_dtype(len(planes)))
        return fine

    def sample_planes(
        self,
        planes: NDArray[np.float32],
        place: Placement,
        pixels: NDArray[np.int64],
        interpolation: str,
    ) -> NDArray[np.float64]:
        y, x = np.divmod(pixels, place.window.width)
        in_rows, in_columns = _axes(place)
        rows = _taps(in_rows.at[y], in_rows, interpolation)
        columns = _taps(in_columns.at[x], in_columns, interpolation)
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

    def band(self, seeds: NDArray[Any]) -> Band:
        y, x = np.nonzero(seeds == 0)
        pixel = y * seeds.shape[1] + x
        begins = np.ones(pixel.size, np.bool_)
        begins[1:] = (np.diff(pixel) != 1) | (np.diff(y) != 0)
        start = np.append(np.flatnonzero(begins), pixel.size).astype(np.int32)
        shape = seeds.shape[0], seeds.shape[1]
        return Band(shape, pixel[begins].astype(np.int64), start, pixel.size)

    def components(self, band: Band) -> NDArray[np.int32]:
        neighbours = _neighbours(band)
        row, k = np.nonzero(neighbours >= 0)
        edges = sparse.coo_array(
            (np.ones(row.size), (row, neighbours[row, k])), shape=(band.size, band.size)
        )
        _, label = connected_components(edges, directed=False)
        _, first, label = np.unique(label, return_index=True, return_inverse=True)
        return np.argsort(np.argsort(first)).astype(np.int32)[label][band.start[:-1]]

    def says(
        self, band: Band, seeds: NDArray[Any], places: Places, evidence: Evidence | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        place = places_of(band, places)
        heard = set()
        for inside, other in _neighbour_pixels(band.pixels(), band.shape):
            label = seeds.ravel()[other].astype(np.int64)
            seeded = (label > 0) & (label < wall_of(seeds.dtype))
            heard |= set(zip(place[inside][seeded].tolist(), label[seeded].tolist(), strict=True))
        for labels in () if evidence is None else evidence.label.T:
            heard |= {(p, k) for p, k in zip(place.tolist(), labels.tolist(), strict=True) if k > 0}
        counted = np.repeat(places.first >= 0, np.diff(band.start))
        found = sorted(heard & {(p, k) for p in place[counted].tolist() for _, k in heard})
        return tuple(np.array(found, np.int64).reshape(-1, 2).T.copy())  # type: ignore[return-value]

    def assemble(
        self,
        band: Band,
        features: NDArray[Any],
        rule: str,
        strength: float,
        seeds: NDArray[Any],
        labels: NDArray[Any],
        places: Places,
        gamma: float,
    ) -> tuple[Edges, NDArray[Any]]:
        pixels, n = band.pixels(), band.size
        vectors = features.reshape(-1, features.shape[2]).astype(np.float64)
        sign = -1.0 if rule == "intensity" else 1.0
        weights = np.zeros((n, 4))
        flux = np.zeros((labels.shape[1], n))
        of_pixel: NDArray[Any] = labels[places_of(band, places)]
        for k, (inside, other) in enumerate(_neighbour_pixels(pixels, band.shape)):
            pairs = vectors[pixels[inside]] + sign * vectors[other]
            weights[inside, k] = np.exp(-strength * (pairs**2).sum(axis=1)) + _EDGE_FLOOR
            weights[inside, k] *= seeds.ravel()[other] != wall_of(seeds.dtype)
            for j in range(labels.shape[1]):
                same = (seeds.ravel()[other] == of_pixel[inside, j]) & (of_pixel[inside, j] > 0)
                flux[j, inside] += weights[inside, k] * same
        neighbours = _neighbours(band)
        row, side = np.nonzero(neighbours >= 0)
        off = sparse.csr_array((weights[row, side], (row, neighbours[row, side])), shape=(n, n))
        excess = gamma + np.where(neighbours < 0, weights, 0.0).sum(axis=1)
        colour = (pixels // band.shape[1] + pixels % band.shape[1]) % 2
        return _Matrix(off, excess, np.flatnonzero(colour == 0)), flux

    def laplacian(self, band: Band, edges: Edges) -> CsrMatrix:
        assert isinstance(edges, _Matrix)
        return _csr(edges.matrix())

    def excess(self, edges: Edges) -> NDArray[np.float64]:
        assert isinstance(edges, _Matrix)
        return edges.excess

    def reduce(self, band: Band, edges: Edges) -> Level:
        assert isinstance(edges, _Matrix)
        a, black, red = edges.matrix(), edges.black, edges.red()
        inverse = sparse.diags_array(1 / a.diagonal()[red])
        schur = a[black][:, black] - a[black][:, red] @ inverse @ a[red][:, black]
        off = sparse.csr_array(-schur + sparse.diags_array(schur.diagonal()))
        off.eliminate_zeros()
        excess = edges.excess[black] - a[black][:, red] @ inverse @ edges.excess[red]
        return _Matrix(off, excess)

    def reduce_columns(
        self, band: Band, edges: Edges, level: Level, b: NDArray[Any]
    ) -> NDArray[Any]:
        assert isinstance(edges, _Matrix)
        a, black, red = edges.matrix(), edges.black, edges.red()
        found: NDArray[Any] = b[:, black] - (a[black][:, red] @ (b[:, red] / a.diagonal()[red]).T).T
        return found

    def expand(
        self, band: Band, edges: Edges, level: Level, x: NDArray[Any], b: NDArray[Any]
    ) -> NDArray[Any]:
        assert isinstance(edges, _Matrix)
        a, black, red = edges.matrix(), edges.black, edges.red()
        whole = np.empty_like(b)
        whole[:, black] = x
        whole[:, red] = (b[:, red] - (a[red][:, black] @ x.T).T) / a.diagonal()[red]
        return whole

    def zeros(self, size: int, columns: int, dtype: Any = np.float32) -> NDArray[Any]:
        return np.zeros((columns, size))

    def body(self, columns: NDArray[Any]) -> NDArray[Any]:
        return columns

    def diagonal(self, level: Level) -> NDArray[Any]:
        assert isinstance(level, _Matrix)
        diagonal: NDArray[Any] = level.excess + level.off.sum(axis=1)
        return diagonal

    def row_sums(self, level: Level) -> NDArray[Any]:
        assert isinstance(level, _Matrix)
        return level.excess

    def coarsen(self, level: Level) -> tuple[NDArray[np.int32], Level]:
        assert isinstance(level, _Matrix)
        aggregate = _aggregate(level.off, level.excess, self.diagonal(level))
        kept = aggregate >= 0
        # P has a row of zeros where there is no aggregate.
        p = sparse.csr_array(
            (np.ones(kept.sum()), (np.flatnonzero(kept), aggregate[kept])),
            shape=(level.size, aggregate.max(initial=-1) + 1),
        )
        both = sparse.csr_array(p.T @ level.off @ p)
        size, inner = p.sum(axis=0), both.diagonal() / 2
        resistance = np.divide(size - 1, inner, out=np.zeros_like(inner), where=size > 1)
        both.setdiag(0)
        both.eliminate_zeros()
        off = both.tocoo()
        a, b = off.coords
        off.data = _in_series(off.data, resistance[a] + resistance[b])
        left_out = level.off @ (~kept).astype(np.float64)  # seen as seeds of 0
        excess = _in_series(p.T @ (level.excess + left_out), resistance)
        return aggregate, _Matrix(sparse.csr_array(off), excess)

    def submatrix(self, level: Level, chosen: NDArray[np.int64]) -> CsrMatrix:
        assert isinstance(level, _Matrix)
        return _csr(level.matrix()[chosen][:, chosen])

    def residual(
        self, level: Level, b: NDArray[Any], x: NDArray[np.float64], out: NDArray[Any]
    ) -> None:
        assert isinstance(level, _Matrix)
        out[:] = b - level.product(x)

    def refresh(
        self, level: Level, b: NDArray[Any], x: NDArray[np.float64], r: NDArray[Any]
    ) -> NDArray[np.float64]:
        before = _dot(r, r)
        self.residual(level, b, x, r)
        worst = (abs(r) / self.diagonal(level)).max(axis=1, initial=0.0)
        return np.stack([before, _dot(r, r), worst])

    def conjugate(
        self,
        level: Level,
        z: NDArray[Any],
        q: NDArray[Any],
        energy: NDArray[np.float64],
        p: NDArray[Any],
    ) -> None:
        p[:] = z - _quotients(_dot(z, q), energy) * p

    def step(
        self,
        level: Level,
        p: NDArray[Any],
        q: NDArray[Any],
        energy: NDArray[np.float64],
        x: NDArray[np.float64],
        r: NDArray[Any],
    ) -> None:
        assert isinstance(level, _Matrix)
        q[:] = level.product(p)
        energy[:] = _dot(p, q)
        along = _quotients(_dot(p, r), energy)
        x += along * p
        r -= along * q

    def relax(self, level: Level, r: NDArray[Any], out: NDArray[Any]) -> None:
        out[:] = r / self.diagonal(level)

    def descend(
        self,
        level: Level,
        aggregate: NDArray[np.int32],
        r: NDArray[Any],
        x: NDArray[Any],
        coarse: NDArray[Any],
    ) -> None:
        assert isinstance(level, _Matrix)
        x[:] = _JACOBI * r / self.diagonal(level)
        rest = r - level.product(x)
        coarse[:] = 0
        for to, row in zip(coarse, rest, strict=True):
            np.add.at(to, aggregate[aggregate >= 0], row[aggregate >= 0])

    def ascend(
        self,
        level: Level,
        aggregate: NDArray[np.int32],
        r: NDArray[Any],
        coarse: NDArray[Any],
        x: NDArray[Any],
        out: NDArray[Any],
    ) -> None:
        assert isinstance(level, _Matrix)
        x[:, aggregate >= 0] += coarse[:, aggregate[aggregate >= 0]]
        out[:] = x + _JACOBI * (r - level.product(x)) / self.diagonal(level)

    def multiply(self, matrix: NDArray[np.float64], r: NDArray[Any], out: NDArray[Any]) -> None:
        out[:] = r @ matrix.T

    def largest(self, level: Level, x: NDArray[Any]) -> float:
        return float(np.abs(x).max(initial=0.0))

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


def open_reference(device: int = 0) -> Ops:
    """Return the backend, which runs everywhere."""
    return ReferenceOps()


@dataclass(frozen=True)
class _Matrix(Edges, Level):
    """An M-matrix as weights between entries and row sums."""

    off: sparse.csr_array  # weights, at least 0, without diagonal
    excess: NDArray[np.float64]
    black: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    @property
    def size(self) -> int:
        return self.excess.size

    def matrix(self) -> sparse.csr_array:
        return sparse.csr_array(sparse.diags_array(self.excess + self.off.sum(axis=1)) - self.off)

    def product(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return A x of each column; A's diagonal would round an excess of 1e-10 away."""
        i, j = self.off.nonzero()
        flows = self.off.data * (x[:, i] - x[:, j])
        return np.array(
            [self.excess * c + np.bincount(i, f, self.size) for c, f in zip(x, flows, strict=True)]
        ).reshape(x.shape)

    def red(self) -> NDArray[np.int64]:
        return np.setdiff1d(np.arange(self.size), self.black)


def _dot(x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
    product: NDArray[np.float64] = (x * y).sum(axis=1)
    return product


def _quotients(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a / b as a factor of each column, 0 where b is not above 0."""
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0)[:, np.newaxis]


def _csr(matrix: sparse.csr_array) -> CsrMatrix:
    matrix.sort_indices()
    return CsrMatrix(matrix.data, matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32))


def _neighbours(band: Band) -> NDArray[np.int64]:
    """Return the (n, 4) positions of the neighbours in the band, -1 where they are not."""
    pixels = band.pixels()
    number = np.full(band.shape[0] * band.shape[1], -1)
    number[pixels] = np.arange(pixels.size)
    unknown = np.full((pixels.size, 4), -1)
    for k, (inside, other) in enumerate(_neighbour_pixels(pixels, band.shape)):
        unknown[inside, k] = number[other]
    return unknown


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


class _Axis(NamedTuple):
    """One axis of a placement."""

    at: NDArray[np.int64]  # the window's rows or columns in the picture
    fine: int  # of the picture
    coarse: int  # of the coarse map
    begin: int  # of the part


def _axes(place: Placement) -> tuple[_Axis, _Axis]:
    window, part = place.window, place.part
    rows = np.arange(window.top, window.bottom)
    columns = np.arange(window.left, window.right)
    return (
        _Axis(rows, place.shape[0], place.grid[0], part.top),
        _Axis(columns, place.shape[1], place.grid[1], part.left),
    )


def _taps(
    index: NDArray[np.int64], axis: _Axis, interpolation: str
) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Return indices in the part, and weights; half-pixel centres, edges repeated."""
    position = (index + 0.5) * axis.coarse / axis.fine - 0.5
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
        (np.clip(base.astype(np.int64) + first + k, 0, axis.coarse - 1) - axis.begin, weight)
        for k, weight in enumerate(weights)
    ]


def _in_series(weight: NDArray[Any], resistance: NDArray[Any]) -> NDArray[Any]:
    reduced: NDArray[Any] = weight * np.maximum(0.6, 1 / (1 + 0.2 * weight * resistance))
    return reduced


def _aggregate(
    off: sparse.csr_array, excess: NDArray[np.float64], diagonal: NDArray[np.float64]
) -> NDArray[np.int32]:
    """Return aggregates by pairing twice; see kernels/cpu/aggregation.cpp for the rules."""
    weight = off.toarray()
    group = np.where(excess > 0.5 * (diagonal - excess), -1, 0).astype(np.int32)
    group[group == 0] = np.arange(np.count_nonzero(group == 0))
    for _ in range(2):
        count = group.max(initial=-1) + 1
        p = (group[:, np.newaxis] == np.arange(count)).astype(np.float64)
        link, size = p.T @ weight @ p, p.T @ diagonal
        np.fill_diagonal(link, 0)
        merged = np.full(count, -1)
        found = 0
        for a in range(count):
            if merged[a] >= 0:
                continue
            quality = link[a] * (size[a] + size) / (size[a] * size)
            partners = ((merged < 0) & (link[a] >= 0.25 * link[a].max()) & (quality >= 0.25)) & (
                link[a] > 0
            )
            hosts = (merged >= 0) & (size[a] <= size) & (quality >= 0.25)
            if partners.any():
                merged[a] = merged[np.argmax(np.where(partners, link[a], -1))] = found
            elif hosts.any():
                merged[a] = merged[np.argmax(np.where(hosts, quality, -1))]
                continue
            else:
                merged[a] = found
            found += 1
        group[group >= 0] = merged[group[group >= 0]]
    return group
