"""Label maps of many classes, for tests of costs that must not grow with their number."""

import numpy as np
from gallery import photograph
from scipy.spatial import cKDTree


def instances(shape, count, seed=5):
    """Return a label map of so many cells around random points, which fill the picture."""
    points = np.random.default_rng(seed).uniform(0, 1, (count, 2)) * shape
    pixels = np.moveaxis(np.indices(shape), 0, -1).reshape(-1, 2) + 0.5
    return cKDTree(points).query(pixels)[1].reshape(shape)


def scattered(shape, count, cell, seed=3):
    """Return a label map of squares with random labels: each class has many components."""
    rng = np.random.default_rng(seed)
    squares = rng.integers(0, count, [-(-n // cell) for n in shape])
    labels = squares.repeat(cell, axis=0).repeat(cell, axis=1)[: shape[0], : shape[1]]
    labels[0, 0] = labels[0, -1] = labels[-1, 0] = labels[-1, -1] = count - 1
    return labels


def picture(shape, count, scale=4, make=instances):
    truth = make(shape, count) if make is instances else make(shape, count, 9)
    return photograph(truth % 50), truth[scale // 2 :: scale, scale // 2 :: scale]
