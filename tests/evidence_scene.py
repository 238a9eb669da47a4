"""An image with all inputs of its class evidence, for tests of ops."""

import numpy as np
from gallery import blobs, photograph

from hdseg_gpu.core.classes import class_dtype
from hdseg_gpu.ops import ColourModels, Estimation, EvidenceTerms, Nearby, NearestMap

FAR = 1 << 30  # farther than any nearest_other


class Scene:
    """A picture with classes, and all that its evidence is made of, from one backend."""

    def __init__(self, ops, shape, count=3, channels=3, dtype="uint8", cell=2, group=3):
        self.shape, self.count, self.cell = shape, count, cell
        classes = blobs(shape, count) if min(shape) > 8 else np.indices(shape).sum(0) % count
        self.classes = classes.astype(class_dtype(count))
        self.image = photograph(self.classes, channels, dtype)
        if self.image.ndim == 2:
            self.image = self.image[..., np.newaxis]
        self.center = ops.channel_means(self.image)
        self.scale = 1 / max(ops.standard_deviation(self.image), 1e-9)
        self.moments = ops.cell_moments(self.image, cell, self.center, self.scale)
        self.own = ops.cell_labels(self.classes, cell)
        self.distance, self.nearest_other = ops.nearest_others(self.own, FAR)
        self.shifted = np.roll(self.own, 1, axis=1)
        self.of_shifted = ops.nearest_others(self.shifted, FAR)
        self.weight = np.tanh(np.minimum(self.distance, 9)).astype(np.float32)
        self.group = group

    def models(self, ops, missing=(), nearby=None, radii=(1, 3)):
        if nearby is None:
            near = (self.own, self.nearest_other, self.shifted, self.of_shifted[1])
            nearby = ops.nearby_classes(near, self.count, self.cell, self.group)
        if missing:
            kept = ~np.isin(nearby.label, missing)
            start = np.concatenate([[0], np.cumsum(kept)])[nearby.start]
            nearby = Nearby(start.astype(np.int64), nearby.label[kept])
        size = self.cell * self.group
        models = ops.colour_models(
            self.moments, self.own, self.weight, self.count, nearby,
            Estimation(self.group, float(size**2), radii, 0.01, 1e-6, 0.02),
        )  # fmt: skip
        return ColourModels(models, nearby, size)

    def maps(self, count):
        first = NearestMap(self.own, self.nearest_other, self.distance, 0.5, 3.0)
        distance, nearest_other = self.of_shifted
        return (first, NearestMap(self.shifted, nearest_other, distance, 1.0, 0.0))[:count]

    def evidence(self, ops, band, maps=2, network=None, kept=3, missing=(), models=None):
        terms = EvidenceTerms(
            self.center, self.scale, models or self.models(ops, missing), 0.7, self.maps(maps),
            self.cell, 3.0, network,
        )  # fmt: skip
        return ops.class_evidence(band, self.image, (0, 0), terms, kept)


def everywhere(grid):
    """Return class 0 in all windows."""
    entries = grid[0] * grid[1]
    return Nearby(np.arange(entries + 1), np.zeros(entries, np.uint8))


def band_of(ops, shape, seed=3):
    return ops.band((np.random.default_rng(seed).random(shape) < 0.4).astype(np.uint8))
