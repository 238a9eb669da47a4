"""Images of any size for benchmarks.gpu, made on the device that needs them.

A tile of up to 4096 x 4096 pixels is generated; larger images repeat it with every second one
mirrored, so that boundaries continue from tile to tile. Regions are textured like a photograph, and
their true boundary meanders around that of the coarse map, which is 8 times smaller.
"""

from functools import cache
from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

SCALE = 8
_TILE = 4096
_UNIT = 128  # sides are multiples of it
_TEXTURE = 512
_SPREAD = 1 / 16  # of the smooth field, in sides: about a quarter is unknown in the first round
_WINDING = 4.0  # pixels between the true boundary and that of the coarse map


class Tile(NamedTuple):
    """An image and its coarse map, in host memory."""

    image: NDArray[np.uint8]  # (t, t, 3)
    coarse: NDArray[np.uint8]  # (t / 8, t / 8), 0 or 1


def side_of(mpx: float) -> int:
    """Return the side of a square image, given its megapixels (2^20 pixels)."""
    return max(_UNIT, round(1024 * sqrt(mpx) / _UNIT) * _UNIT)


def image_of(xp: Any, side: int) -> Any:
    """Return the image, (side, side, 3) of uint8, in an array of xp."""
    tile = xp.asarray(_tile(min(side, _TILE)).image)
    return _mosaic(xp, tile, side)


def coarse_of(side: int) -> NDArray[np.uint8]:
    """Return the coarse map of the image, in host memory."""
    coarse: NDArray[np.uint8] = _mosaic(np, _tile(min(side, _TILE)).coarse, side // SCALE)
    return coarse


def _mosaic(xp: Any, tile: Any, side: int) -> Any:
    size = len(tile)
    if size == side:
        return tile.copy()
    whole = xp.empty((side, side, *tile.shape[2:]), tile.dtype)
    for i, top in enumerate(range(0, side, size)):
        for j, left in enumerate(range(0, side, size)):
            part = tile[:: -1 if i % 2 else 1, :: -1 if j % 2 else 1]
            height, width = min(size, side - top), min(size, side - left)
            whole[top : top + height, left : left + width] = part[:height, :width]
    return whole


@cache
def _tile(side: int) -> Tile:
    rng = np.random.default_rng(29)
    spread = _SPREAD * side
    region = _smooth_field(side, spread, rng)

    def periodic(sigma: float) -> NDArray[np.float32]:
        noise = gaussian_filter(rng.standard_normal((_TEXTURE, _TEXTURE)), sigma, mode="wrap")
        return (noise / noise.std()).astype(np.float32)

    times = -(-side // _TEXTURE)
    # The field's slope at its boundary is about 1.25 / spread.
    winding = np.tile(periodic(10.0), (times, times))[:side, :side] * (_WINDING * 1.25 / spread)
    cells = 0.1 * np.sign(periodic(4.0)) * np.abs(periodic(40.0))
    texture = np.dstack([
        cells + 0.03 * periodic(20.0) + 0.015 * periodic(2.0) + 0.008 * periodic(0.1)
        for _ in range(3)
    ])  # fmt: skip
    texture = np.tile(np.rint(255 * texture).astype(np.int16), (times, times, 1))[:side, :side]
    colours = np.array([[90, 120, 75], [165, 140, 160]], np.int16)
    truth = (region + winding > 0).astype(np.uint8)
    image = np.clip(colours[truth] + texture, 0, 255).astype(np.uint8)
    coarse = region[SCALE // 2 :: SCALE, SCALE // 2 :: SCALE] > 0
    return Tile(image, coarse.astype(np.uint8))


def _smooth_field(side: int, spread: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a stationary random field: noise on a lattice, smoothed by Gaussians."""
    nodes = spread * np.arange(-4, side / spread + 4)
    bells = np.exp(-0.5 * ((np.arange(side)[:, np.newaxis] - nodes) / spread) ** 2)
    bells = bells.astype(np.float32)
    noise = rng.standard_normal((nodes.size, nodes.size), np.float32)
    field: NDArray[np.float32] = bells @ noise @ bells.T
    return field
