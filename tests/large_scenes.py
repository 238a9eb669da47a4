"""Images of several blocks, with coarse maps of all kinds, for tests of tiled processing."""

import numpy as np
import scipy.ndimage

SHAPE = (2296, 2600)
SCALE = 8


def field(rng, shape, size):
    """Return smooth noise with hills that are so many pixels wide."""
    grid = rng.standard_normal((shape[0] // size + 3, shape[1] // size + 3))
    return scipy.ndimage.zoom(grid, size, order=1)[: shape[0], : shape[1]]


def scene(kind="labels", shape=SHAPE, scale=SCALE, seed=5):
    """Return an image, a coarse map and the mask that both show."""
    rng = np.random.default_rng(seed)
    truth = field(rng, shape, 64) + 0.5 * field(rng, shape, 24) > 0.8
    colours = np.array([60, -30, 20])
    image = truth[..., None] * colours + 110 + 12 * rng.standard_normal((*shape, 3))
    image = image.clip(0, 255).astype(np.uint8)
    h, w = shape[0] // scale, shape[1] // scale
    share = truth.reshape(h, scale, w, scale).mean(axis=(1, 3))
    coarse = (share > 0.5).astype(np.uint8)
    if kind == "smooth":
        coarse = (scipy.ndimage.gaussian_filter(share, 2.2) > 0.5).astype(np.uint8)
    elif kind == "probabilities":
        share = scipy.ndimage.gaussian_filter(share, 1.2).astype(np.float32)
        coarse = np.stack([1 - share, share])
    elif kind == "ignore":
        coarse[40:90, 60:150] = coarse[::37, ::11] = 255
    elif kind == "instances":
        coarse = np.arange(h)[:, None] // 37 * 300 + np.arange(w)[None] // 29 + 7
    elif kind == "uint16":
        image = image.astype(np.uint16) * 200
    elif kind == "float":
        image = image[..., 0].astype(np.float32) / 7 - 3
    return image, coarse, truth
