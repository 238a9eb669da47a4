"""Seeds with difficult bands of several kinds, for the tests of band and level ops."""

import numpy as np
from gallery import blobs

SHAPES = [(1, 1), (1, 9), (9, 1), (2, 2), (31, 33), (64, 65), (127, 40), (3, 400), (400, 3)]


def patterns(shape):
    """Return name -> seeds (0 unknown, labels 1 to 3) of one shape."""
    rng = np.random.default_rng(23)
    labels = rng.integers(1, 4, shape) if min(shape) < 9 else blobs(shape, 3) + 1
    y, x = np.mgrid[: shape[0], : shape[1]]
    frame = np.minimum(np.minimum(y, shape[0] - 1 - y), np.minimum(x, shape[1] - 1 - x))
    known = {
        "all unknown": np.zeros(shape, bool),
        "all known": np.ones(shape, bool),
        "half": rng.random(shape) < 0.5,
        "few seeds": rng.random(shape) < 0.03,
        "few unknown": rng.random(shape) < 0.95,
        "rows": y % 2 == 0,  # one pixel wide; from frame to frame
        "columns": x % 2 == 0,
        "chessboard": (x + y) % 2 == 0,  # every pixel a component
        "frame": frame > 1,
        "diagonal": np.abs(x - y) > 1,
    }
    return {name: (labels * mask).astype(np.uint8) for name, mask in known.items()}


SEEDS = {
    f"{shape[0]}x{shape[1]} {name}": seeds
    for shape in SHAPES
    for name, seeds in patterns(shape).items()
}


def columns(ops, values):
    """Return an (m, n) array as columns of a backend."""
    found = ops.zeros(values.shape[1], len(values), np.float32)
    ops.body(found)[:] = values
    return found


def padding(ops, array):
    """Return what lies before and behind the entries of columns."""
    n = ops.body(array).shape[-1]
    before = (array.shape[-1] - n) // 2
    return np.concatenate([array[..., :before], array[..., before + n :]], axis=-1)
