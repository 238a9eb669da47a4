"""The method for small images, written out step by step: the expected result of every engine.

It has no windows, tiles, halos, blocks or caches. The primitives are the reference's, which have
tests of their own; their order, the lengths and the weights are written out again here.
"""

from math import ceil, log, sqrt
from typing import NamedTuple

import numpy as np
import scipy.ndimage
import scipy.sparse
import scipy.sparse.linalg
from engine_internals import (
    REFERENCE,
    CoarseProbabilities,
    ColourModels,
    Estimation,
    EvidenceTerms,
    Nearby,
    NearestMap,
    all_of,
    elements_of,
)

# passes and spread in units of the scale, weight of the colours
WIDE = [(12, 14, 1.1), (4, 8, 1.1), (4, 5, 1.1)]
AFTER_DOUBT, TRUSTED = (2, 3, 1.5), (2, 3, 1.0)
KEPT = 4


class Expected(NamedTuple):
    """What a refinement must find."""

    labels: np.ndarray  # (H, W) class indices, -1 where ignored
    probabilities: np.ndarray  # (K, H, W) before the final filter
    unknown: np.ndarray  # (H, W) the last band
    doubt: float | None
    passes: int
    sigma: float


class Cells(NamedTuple):
    own: np.ndarray
    other: np.ndarray
    distance: np.ndarray


def refined(
    image, coarse, scale, passes=None, elements="3x3", prune=True, beta=1000.0, gamma=1.0,
    majority=3, interpolation=None, ignored=None, boundary=None, patches=None,
):  # fmt: skip
    """Return what refine() must find for labels (h, w) 0 .. K - 1, or planes (K, h, w).

    ignored: (h, w) bools. patches: their side, and how many unknown pixels of them are enough to
    measure the doubt on.
    """
    given = Given(image, coarse, scale, passes, elements, prune, interpolation, ignored)
    classes, doubt, now = given.classes, 0.0, None
    detail = detail_of(given.drawn_by_network)
    for i, (width, spread, weight) in enumerate(WIDE if detail < 0.2 and gamma > 0 else []):
        count = given.passes if i == 0 else min(given.passes, round(width * given.unit))
        seeds = given.seeds(classes, count)
        if not (seeds == 0).any():
            break
        if i == 0:
            doubt = doubt_of(detail, given.contradiction(seeds, spread, weight, patches))
            if doubt == 0:
                break
        label, _ = given.evidence(seeds, spread, weight, doubt, now)
        classes = classes.copy()
        classes[seeds == 0] = label[:, 0] - 1
        classes = most_frequent(classes, seeds == 0, 3, seeds == given.wall)
        now = given.cells_of(classes)
    _, spread, weight = AFTER_DOUBT if doubt > 0 else TRUSTED
    last = min(given.passes, max(1, round(2 * given.unit))) if gamma > 0 else given.passes
    seeds = given.seeds(classes, last)
    unknown = seeds == 0
    evidence = np.zeros((given.count, *seeds.shape))
    if gamma > 0:
        label, share = given.evidence(seeds, spread, weight, doubt, now)
        y, x = np.nonzero(unknown)
        for j in range(label.shape[1]):
            there = label[:, j] > 0
            evidence[label[there, j] - 1, y[there], x[there]] = share[there, j]
    p, sigma = walker(image, seeds, evidence, given.wall, beta, gamma, boundary)
    labels = p.argmax(axis=0)
    walls = seeds == given.wall
    labels = np.where(walls, -1, most_frequent(labels, unknown, majority, walls))
    return Expected(labels, p, unknown, doubt if gamma > 0 else None, last, sigma)


class Given:
    """A picture and its coarse map, with what follows from them at once."""

    def __init__(self, image, coarse, scale, passes, elements, prune, interpolation, ignored):
        shape = image.shape[:2]
        self.image = image.reshape(*shape, -1)
        self.planes = coarse if coarse.ndim == 3 else None
        self.count = len(coarse) if coarse.ndim == 3 else int(coarse.max()) + 1
        self.place = all_of(shape, coarse.shape[-2:])
        self.unit = min(scale, max(shape))
        self.cell = max(2, round(self.unit / 2))
        self.passes = round(12 * scale) if passes is None else passes
        self.reach = ceil(max(16 * self.unit, self.passes + 4 * self.unit) / self.cell)
        self.elements, self.prune = elements_of(elements), prune
        self.interpolation = interpolation or ("cubic" if coarse.ndim == 2 else "linear")
        self.walls = np.zeros(shape, bool)
        if ignored is not None:
            coarse = nearest_class(coarse, ignored)
            self.walls = enlarged(ignored, shape)
        labels = coarse if self.planes is None else coarse.argmax(axis=0)
        self.drawn_by_network = labels.astype(np.uint8)
        sides = list(zip(shape, labels.shape, strict=True))
        if scale > max(n / m for n, m in sides) * (1 + 1e-9):
            grid = [min(m, max(1, round(n / scale))) for n, m in sides]
            self.drawn_by_network = enlarged(self.drawn_by_network, grid)
        if self.planes is not None:
            classes = REFERENCE.upsample_argmax(self.planes, self.place, self.interpolation)
        elif self.interpolation == "nearest":
            classes = enlarged(coarse, shape)
        else:
            classes = REFERENCE.upsample_classes(
                coarse.astype(np.uint8), self.place, self.interpolation
            )
        self.classes, self.wall = classes.astype(np.uint8), 255
        counts = self.image.astype(np.float64)
        self.center, self.by = counts.mean(axis=(0, 1)), 1 / counts.std()
        self.moments = REFERENCE.cell_moments(self.image, self.cell, self.center, self.by)
        self.drawn = self.cells_of(self.classes)
        self.silent = REFERENCE.cell_labels(self.walls.astype(np.uint8), self.cell) > 0

    def cells_of(self, classes):
        own = REFERENCE.cell_labels(classes, self.cell)
        distance, other = REFERENCE.nearest_others(own, self.reach)
        return Cells(own, other, distance)

    def seeds(self, classes, passes):
        length = min(2 * passes, max(classes.shape)) if self.prune else 0
        seeds = REFERENCE.pruned_seeds(classes, self.count, self.elements, passes, length)
        seeds[self.walls] = self.wall
        return seeds

    def evidence(self, seeds, spread, weight, doubt, now):
        """Return labels and shares (n, kept) of the unknown pixels."""
        trusted = counted(self.drawn, doubt, 10 * (1 - doubt))
        scored, network = trusted, None
        if self.planes is not None:
            scored = counted(self.drawn, 0.6 * doubt, 0.0)
            linear = 100 / self.unit * (1 - doubt)
            network = CoarseProbabilities(
                self.planes, self.place, self.interpolation, 0.3 * doubt, linear
            )
        if now is None:
            return self._scored(seeds, spread, weight, trusted, (scored,), network)
        source = counted(now, 1.0, 0.0)
        return self._scored(seeds, spread, weight, source, (scored, source), network)

    def contradiction(self, seeds, spread, weight, patches):
        """Return how far the colours by themselves contradict the map 1 to 2 units inside."""
        source, mute = counted(self.drawn, 1.0, 0.0), counted(self.drawn, 0.0, 0.0)
        label, _ = self._scored(seeds, spread, weight, source, (mute,), None)
        y, x = np.nonzero(seeds == 0)
        away = (self.drawn.distance[y // self.cell, x // self.cell] - 0.5) * self.cell
        near = (away >= self.unit) & (away < 2 * self.unit)
        if patches is not None:
            near &= in_some_patches(seeds == 0, *patches)[y, x]
        own = self.classes[y, x]
        total = np.bincount(own[near], minlength=self.count)
        wrong = np.bincount(own[near & (label[:, 0] != own + 1)], minlength=self.count)
        if not near.any():
            return 0.0
        share = wrong / np.maximum(total, 1)
        return 2 * (share * np.sqrt(total)).sum() / np.sqrt(total).sum()

    def _scored(self, seeds, spread, weight, source, maps, network):
        """Return the evidence by models from the cells of `source`, for all classes everywhere."""
        spread = spread * self.unit
        group = max(1, int(spread / (sqrt(2) * self.cell)))
        size = group * self.cell
        radii = tuple(
            max(1, round((sqrt(4 * (spread / size * wider) ** 2 + 1) - 1) / 2)) for wider in (1, 3)
        )
        away = np.maximum(np.minimum(source.distance, 1e6) - 0.5, 0) * self.cell / self.unit
        sure = np.tanh(source.log * np.log1p(away) + source.linear * away).astype(np.float32)
        sure[self.silent] = 0
        windows = np.prod([-(-n // group) for n in source.own.shape])
        every = Nearby(
            np.arange(windows + 1) * self.count,
            np.tile(np.arange(self.count, dtype=np.uint8), windows),
        )
        models = REFERENCE.colour_models(
            self.moments, source.own, sure, self.count, every,
            Estimation(group, float(size**2), radii, 0.005, 1e-4 * 0.005, 0.008),
        )  # fmt: skip
        terms = EvidenceTerms(
            self.center, self.by, ColourModels(models, every, size), weight, maps, self.cell,
            self.unit, network,
        )  # fmt: skip
        band, kept = REFERENCE.band(seeds), min(KEPT, self.count)
        return REFERENCE.class_evidence(band, self.image, (0, 0), terms, kept)


def counted(cells, log, linear):
    return NearestMap(cells.own, cells.other, cells.distance, log, linear)


def enlarged(coarse, shape):
    """Return a map enlarged, or reduced, by the nearest neighbour."""
    rows, columns = (
        (2 * np.arange(n) + 1) * m // (2 * n) for n, m in zip(shape, coarse.shape, strict=True)
    )
    return coarse[rows][:, columns]


def nearest_class(coarse, ignored):
    """Return the map with the class of the nearest pixel, in city blocks, where it is ignored.

    Of several it is the leftmost, then the uppermost.
    """
    found, (y, x) = coarse.copy(), np.nonzero(~ignored)
    for i, j in np.argwhere(ignored):
        best = np.lexsort((y, x, np.abs(y - i) + np.abs(x - j)))[0]
        found[i, j] = coarse[y[best], x[best]]
    return found


def detail_of(labels):
    """Return the pixels that a Gaussian blur flips, for each edge of the map."""
    window = np.exp(-(np.arange(-4, 5) ** 2) / (2 * 1.5**2))
    own = np.zeros(labels.shape)
    for k in np.unique(labels):
        blurred = (labels == k).astype(float)
        for axis in (0, 1):
            blurred = scipy.ndimage.correlate1d(blurred, window, axis, mode="nearest")
        own += np.where(labels == k, blurred, 0)
    flips = np.count_nonzero(own < window.sum() ** 2 / 2)
    edges = sum(np.count_nonzero(np.diff(labels.astype(int), axis=axis)) for axis in (0, 1))
    return max(flips / max(edges, 1), 1e-4)


def in_some_patches(unknown, side, enough):
    """Return the pixels of patches with unknown pixels, in a scattered order until it is enough."""
    rows, columns = (-(-n // side) for n in unknown.shape)
    counts = np.zeros((rows, columns), int)
    y, x = np.nonzero(unknown)
    np.add.at(counts, (y // side, x // side), 1)
    golden = np.arange(rows * columns, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    found, chosen = 0, np.zeros(rows * columns, bool)
    for patch in np.argsort(golden):
        chosen[patch] = found < enough
        found += counts.ravel()[patch]
    chosen = chosen.reshape(rows, columns).repeat(side, axis=0).repeat(side, axis=1)
    return chosen[: unknown.shape[0], : unknown.shape[1]]


def doubt_of(detail, contradiction):
    begins, full = (limit + 0.25 * log(detail / 0.1) for limit in (0.54, 0.64))
    return float(np.clip((contradiction - begins) / (full - begins), 0, 1))


def most_frequent(labels, band, side, walls):
    """Return the labels with the most frequent one of the window around each pixel of the band.

    The pixel's own wins a tie, else the smallest.
    """
    votes = []
    for k in range(int(labels.max()) + 1):
        there = ((labels == k) & ~walls).astype(int)
        for axis in (0, 1):
            there = scipy.ndimage.correlate1d(there, np.ones(side, int), axis, mode="nearest")
        votes.append(there)
    found, votes = labels.copy(), np.array(votes)
    own = np.take_along_axis(votes, labels[np.newaxis].astype(int), axis=0)[0]
    change = band & (votes.max(axis=0) > own)
    found[change] = votes.argmax(axis=0)[change]
    return found


def walker(image, seeds, evidence, wall, beta, gamma, boundary=None):
    """Return the potentials (K, H, W), 0 at walls, by a sparse direct solution, and sigma."""
    shape, count = seeds.shape, len(evidence)
    given = image if boundary is None else boundary
    unit = np.iinfo(given.dtype).max if given.dtype.kind == "u" else 1.0
    features = given.reshape(seeds.size, -1).astype(np.float64) / unit
    sigma = features.std()
    number = np.arange(seeds.size).reshape(shape)
    i, j = (
        np.concatenate([a.ravel(), b.ravel()])
        for a, b in ((number[:, :-1], number[:-1]), (number[:, 1:], number[1:]))
    )
    flat = seeds.ravel()
    free = (flat[i] != wall) & (flat[j] != wall)
    i, j = i[free], j[free]
    if boundary is None:
        far = ((features[i] - features[j]) ** 2).sum(axis=1)
        far /= 10 * np.sqrt(features.shape[1])
    else:
        far = (features[i] + features[j])[:, 0] ** 2
    w = np.exp(-beta * far / sigma) + 1e-10
    weights = scipy.sparse.coo_array((w, (i, j)), (seeds.size,) * 2).tocsr()
    weights = weights + weights.T
    laplacian = scipy.sparse.diags_array(weights.sum(axis=1)) - weights
    p = np.zeros((seeds.size, count))
    known = (flat > 0) & (flat != wall)
    p[known, flat[known].astype(int) - 1] = 1
    unknown = flat == 0
    if unknown.any():
        own = laplacian.tocsr()[unknown]
        matrix = own[:, unknown] + gamma * scipy.sparse.eye_array(unknown.sum())
        right = -own[:, known] @ p[known] + gamma * evidence.reshape(count, -1).T[unknown]
        solved = scipy.sparse.linalg.spsolve(matrix.tocsc(), right)
        p[unknown] = solved.reshape(-1, count)
    return p.T.reshape(count, *shape), sigma
