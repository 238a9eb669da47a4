"""Evidence by its definition."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.host import HostOps
from hdseg_gpu.backends.reference.band import places_of
from hdseg_gpu.backends.reference.cells import standardised
from hdseg_gpu.core.classes import Classes
from hdseg_gpu.ops import (
    Band,
    ColourModels,
    Estimation,
    Evidence,
    EvidenceTerms,
    Nearby,
    NearestMap,
    Places,
    channel_count,
)

_CONSIDERED = 8
_LEAST_KEPT = 1e-3
_LEAST_PROBABILITY = 0.01  # bound on the network's certainty


class ReferenceEvidenceOps(HostOps):
    """The definitions, written down."""

    def nearby_classes(
        self, maps: tuple[Classes, ...], count: int, cell: int, group: int
    ) -> Nearby:
        height, width = maps[0].shape
        grid = -(-height // group), -(-width // group)
        needed: list[set[int]] = [set() for _ in range(grid[0] * grid[1])]
        rows, columns = (
            _looked(n, cell, group, windows) for n, windows in zip(maps[0].shape, grid, strict=True)
        )
        for y, x in np.ndindex(height, width):
            for v in rows[y]:
                for u in columns[x]:
                    needed[v * grid[1] + u] |= {int(one[y, x]) for one in maps}
        start = np.cumsum([0, *map(len, needed)], dtype=np.int64)
        label = [k for window in needed for k in sorted(window)]
        return Nearby(start, np.array(label, maps[0].dtype))

    def colour_models(
        self,
        moments: NDArray[np.float32],
        own: Classes,
        weight: NDArray[np.float32],
        count: int,
        nearby: Nearby,
        how: Estimation,
    ) -> NDArray[np.float32]:
        grid = tuple(-(-n // how.group) for n in own.shape)
        window = np.repeat(np.arange(grid[0] * grid[1]), np.diff(nearby.start))
        models = np.empty((window.size, moments.shape[2]), np.float32)
        for k in np.unique(nearby.label):
            whole = _colour_model(moments, np.maximum(weight, 0) * (own == k), how)
            entries = nearby.label == k
            models[entries] = whole.reshape(-1, moments.shape[2])[window[entries]]
        return models

    def class_evidence(
        self,
        band: Band,
        image: NDArray[Any],
        origin: tuple[int, int],
        terms: EvidenceTerms,
        kept: int,
    ) -> Evidence:
        models, maps, cell, network = terms.models, terms.maps, terms.cell, terms.network
        rows, columns = np.divmod(band.pixels(), band.shape[1])
        colour = standardised(image[rows, columns], terms.center, terms.scale).astype(np.float64)
        rows, columns = rows + origin[0], columns + origin[1]
        grid = maps[0].own.shape
        windows = tuple(-(-n * cell // models.size) for n in grid)
        corners = _corners(rows, columns, cell, grid)
        classes = _candidates(maps, corners)
        if network is not None:
            p = self.sample_planes(
                network.planes, network.place, band.pixels(), network.interpolation
            )
        score = np.where(classes < 0, -np.inf, 0.0)
        for k in np.unique(classes[classes >= 0]):
            known, likelihood = _log_likelihood(models, k, rows, columns, colour, windows)
            total = np.where(known, terms.weight * likelihood, -1e9)
            for one in maps:
                total = total + 0.5 * _counted(one, k, corners, cell / terms.unit)
            if network is not None:
                sure = np.clip(p[:, k], _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
                total = total + network.log * np.log(sure) + network.linear * p[:, k]
            score = np.where(classes == k, total[:, np.newaxis], score)
        return _ranked(classes, score, kept, maps[0].own.dtype)

    def add_evidence(
        self,
        band: Band,
        position: NDArray[np.int32] | None,
        evidence: Evidence,
        labels: NDArray[Any],
        places: Places,
        gamma: float,
        b: NDArray[Any],
    ) -> None:
        rows = np.arange(band.size) if position is None else position
        wanted = labels[places_of(band, places)]
        for j, column in enumerate(wanted.T):
            same = evidence.label[rows] == column[:, np.newaxis]
            b[j] += gamma * np.where(
                same & (column > 0)[:, np.newaxis], evidence.probability[rows], 0
            ).sum(1)


def _colour_model(
    moments: NDArray[np.float32], weight: NDArray[Any], how: Estimation
) -> NDArray[np.float32]:
    """Return the models of one class in all windows: (gh / group, gw / group, M)."""
    grid = tuple(-(-n // how.group) for n in weight.shape)
    cells = moments * weight[..., np.newaxis]
    sums = np.zeros((*grid, moments.shape[2]))
    for y, x in np.ndindex(*grid):
        rows, columns = (slice(i * how.group, (i + 1) * how.group) for i in (y, x))
        sums[y, x] = cells[rows, columns].sum(axis=(0, 1)) / how.area
    channels = channel_count(moments.shape[2])
    mean = np.concatenate([[1], np.zeros(channels), np.eye(channels)[np.triu_indices(channels)]])
    counts = how.start
    for radius in reversed(how.radii):
        found = _smooth(sums, radius)
        mean = (found + counts * mean) / (found[..., :1] + counts)
        counts = how.prior
    return _gaussians(mean, channels, how.ridge)


def _smooth(values: NDArray[Any], radius: int) -> NDArray[Any]:
    height, width, _ = values.shape
    for _ in range(3):
        for down, along in ((0, 1), (1, 0)):
            padded = np.pad(values, [(down * radius,) * 2, (along * radius,) * 2, (0, 0)])
            total = np.zeros(values.shape)
            for i in range(2 * radius + 1):
                total += padded[down * i :, along * i :][:height, :width]
            values = total / (2 * radius + 1)
    return values


def _gaussians(moments: NDArray[Any], channels: int, ridge: float) -> NDArray[np.float32]:
    """Return -1/2 ((x - mean)^T C^-1 (x - mean) + log det C) as coefficients of 1, x, x x."""
    upper = np.triu_indices(channels)
    mean = moments[..., 1 : 1 + channels]
    covariance = np.empty((*moments.shape[:2], channels, channels))
    covariance[..., upper[0], upper[1]] = moments[..., 1 + channels :]
    covariance[..., upper[1], upper[0]] = moments[..., 1 + channels :]
    covariance -= mean[..., :, np.newaxis] * mean[..., np.newaxis, :]
    covariance += ridge * np.eye(channels)
    precision = np.linalg.inv(covariance)
    linear = np.einsum("...ij,...j->...i", precision, mean)
    constant = -0.5 * (np.einsum("...i,...i->...", linear, mean) + np.linalg.slogdet(covariance)[1])
    factor = np.where(upper[0] == upper[1], -0.5, -1.0)
    parts = constant[..., np.newaxis], linear, precision[..., upper[0], upper[1]] * factor
    return np.concatenate(parts, axis=-1).astype(np.float32)


def _ranked(
    classes: NDArray[np.int64], score: NDArray[np.float64], kept: int, dtype: Any
) -> Evidence:
    """Return the softmax of the best scores."""
    order = np.argsort(-score, axis=1, kind="stable")[:, :kept]
    classes = np.take_along_axis(classes, order, axis=1)
    score = np.take_along_axis(score, order, axis=1)
    share = np.exp(score - score[:, :1])
    share[share < _LEAST_KEPT] = 0.0
    label = np.where(share > 0, classes + 1, 0).astype(dtype)
    share /= share.sum(axis=1, keepdims=True)
    return Evidence(label, share.astype(np.float32))


def _between(
    i: NDArray[np.int64], size: int, count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return the two entries whose centres lie around pixel i, and the weight of the second."""
    position = np.clip((i + 0.5) / size - 0.5, 0, count - 1)
    first = np.minimum(position.astype(np.int64), max(count - 2, 0))
    return first, np.minimum(first + 1, count - 1), position - first


def _corners(
    rows: NDArray[np.int64], columns: NDArray[np.int64], size: int, grid: tuple[int, ...]
) -> list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]:
    """Return row, column and weight of the four entries of a grid around each pixel."""
    top, bottom, v = _between(rows, size, grid[0])
    left, right, u = _between(columns, size, grid[1])
    return [
        (top, left, (1 - v) * (1 - u)),
        (top, right, (1 - v) * u),
        (bottom, left, v * (1 - u)),
        (bottom, right, v * u),
    ]


def _candidates(maps: tuple[NearestMap, ...], corners: list[Any]) -> NDArray[np.int64]:
    """Return the own and nearest other classes around each pixel, each once: (n, 8)."""
    found = np.full((corners[0][0].size, _CONSIDERED), -1, np.int64)
    count = np.zeros(len(found), np.int64)
    for one in maps:
        for y, x, weight in corners:
            for k in (one.own[y, x].astype(np.int64), one.nearest_other[y, x].astype(np.int64)):
                new = (weight > 0) & ~(found == k[:, np.newaxis]).any(axis=1)
                new &= count < _CONSIDERED
                found[new, count[new]] = k[new]
                count[new] += 1
    return found


def _counted(one: NearestMap, k: int, corners: list[Any], cell: float) -> NDArray[np.float64]:
    distance = np.zeros(corners[0][0].size)
    for y, x, weight in corners:
        far = np.minimum(one.distance[y, x], 1e6) - 0.5
        other = np.where(one.nearest_other[y, x] == k, -far, -far - 1)
        distance += weight * np.where(one.own[y, x] == k, far, other)
    far = np.abs(distance * cell)
    odds: NDArray[np.float64] = np.sign(distance) * (one.log * np.log1p(far) + one.linear * far)
    return odds


def _log_likelihood(
    models: ColourModels,
    k: int,
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    colour: NDArray[np.float64],
    windows: tuple[int, ...],
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return where all windows around a pixel have a model of the class, and its log-likelihood."""
    start, label = models.nearby
    entry = np.full(windows[0] * windows[1], -1)  # of the class in each window
    of_class = np.flatnonzero(label == k)
    entry[np.searchsorted(start, of_class, "right") - 1] = of_class
    upper = np.triu_indices(colour.shape[1])
    terms = [np.ones((len(colour), 1)), colour, colour[:, upper[0]] * colour[:, upper[1]]]
    features = np.concatenate(terms, axis=1)
    known, total = np.ones(len(colour), np.bool_), np.zeros(len(colour))
    for y, x, share in _corners(rows, columns, models.size, windows):
        at = entry[y * windows[1] + x]
        known &= (at >= 0) | (share == 0)
        total += share * (models.coefficients[at] * features).sum(axis=1)
    return known, total


def _looked(cells: int, cell: int, group: int, windows: int) -> list[range]:
    """Return the windows that pixels around each row or column of cells interpolate."""
    half = (cell + 1) // 2
    ends = np.arange(cells)[:, np.newaxis] * cell + (-half, cell - 1 + half)
    first, second, share = _between(np.maximum(ends[:, 0], 0), cell * group, windows)
    low = np.where(share < 1, first, second)
    first, second, share = _between(ends[:, 1], cell * group, windows)
    high = np.where(share > 0, second, first)
    return [range(a, b + 1) for a, b in zip(low.tolist(), high.tolist(), strict=True)]
