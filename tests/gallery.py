"""Named inputs with various difficulties, shared by tests and benchmarks.

Tests take the small generated ones; benchmarks take a ``scene``, generated or real.
"""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from hdseg_gpu.io import read_image, read_labels


def blobs(shape: tuple[int, int], classes: int = 2, seed: int = 11) -> NDArray[np.uint8]:
    """Return a label map of smooth random regions."""
    rng = np.random.default_rng(seed)
    size = max(2.0, min(shape) / 12)
    fields = [gaussian_filter(rng.normal(size=shape), size, mode="nearest") for _ in range(classes)]
    return np.argmax(fields, axis=0).astype(np.uint8)


def photograph(
    labels: NDArray[np.uint8], channels: int = 3, dtype: str = "uint8", seed: int = 13
) -> NDArray[np.generic]:
    """Return an image whose colours follow the labels, with noise: (H, W, channels)."""
    rng = np.random.default_rng(seed)
    levels = np.linspace(0.2, 0.8, int(labels.max()) + 1)
    colours = np.column_stack([rng.permutation(levels) for _ in range(channels)])
    image = colours[labels] + rng.normal(0, 0.02, (*labels.shape, channels))
    image = np.clip(image, 0, 1)
    if dtype.startswith("uint"):
        return (image * np.iinfo(dtype).max).round().astype(dtype)
    return image.astype(dtype)


def textured(
    inside: NDArray[np.bool_], contrast: float = 60.0, noise: float = 12.0, seed: int = 1
) -> NDArray[np.uint8]:
    """Return an image of two colours under stains and noise: (H, W, 3)."""
    rng = np.random.default_rng(seed)
    stains = gaussian_filter(rng.normal(size=(*inside.shape, 3)), (6, 6, 0))
    stains /= stains.std()
    colours = np.array([[90.0, 120.0, 75.0]] * 2)
    colours[1] += contrast * np.array([1.0, -0.5, 1 / 3])
    image = colours[inside.astype(int)] + noise * (stains + rng.normal(size=stains.shape))
    return np.clip(image, 0, 255).astype(np.uint8)


def reduced(labels: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """Return the labels sampled on a grid `scale` times coarser, as a network would answer."""
    rows, columns = (
        ((np.arange(max(1, round(n / scale))) + 0.5) * n / max(1, round(n / scale))).astype(int)
        for n in labels.shape
    )
    return labels[rows][:, columns]


def masks() -> dict[str, NDArray[np.bool_]]:
    """Return binary masks of odd and extreme shapes."""
    rng = np.random.default_rng(17)
    found = {
        "blobs": blobs((61, 131)) > 0,
        "noise": rng.random((37, 67)) < 0.6,
        "one pixel": np.ones((1, 1), np.bool_),
        "one row": rng.random((1, 150)) < 0.8,
        "one column": rng.random((150, 1)) < 0.8,
        "width 64": blobs((40, 64)) > 0,
        "width 65": blobs((40, 65)) > 0,
        "full": np.ones((30, 70), np.bool_),
        "empty": np.zeros((30, 70), np.bool_),
        "line": np.eye(50, 70, dtype=np.bool_),
        "frame": np.pad(np.zeros((30, 60), np.bool_), 5, constant_values=True),
    }
    return found


class Scene(NamedTuple):
    """A large input as it comes to ``refine``, or a real one."""

    image: NDArray[np.uint8]  # (H, W, 3)
    coarse: NDArray[np.uint8]  # (h, w), 0 or 1


# name -> the size of run it belongs to, in megapixels. blobs-*: generated, of exactly that size;
# the others are real pictures under HDSEG_DATA, with a network's answer or (hrf_grid) the truth.
SCENES = {
    "blobs-1M": 1,
    "blobs-4M": 4,
    "blobs-16M": 16,
    "blobs-64M": 64,
    "seed_figure": 4,  # the figures of arXiv 2208.01254
    "dis_bike": 4,  # thin spokes, DeepLabV3 at 257 rows
    "hrf_01_h": 4,  # a fundus, a U-Net's vessels at full size
    "hrf_grid": 16,  # four fundi, 2 x 2
}


def scene(name: str) -> Scene:
    """Return a scene of ``SCENES``; FileNotFoundError when a real one is not there."""
    if name.startswith("blobs-"):
        return _large_blobs(1024 * int(SCENES[name] ** 0.5))
    return _real(name, Path(os.environ.get("HDSEG_DATA", "../shared/data")))


def _large_blobs(side: int) -> Scene:
    """Return regions whose boundary is as dense at every size, textured like a photograph.

    The texture makes edges of all strengths: smooth shades and noise, whose weights are near 1,
    and cells a few pixels wide behind steps of 0 to 0.6; behind one of 0.2 weights are 1e-3 at
    beta = 130 and nothing but the floor at 1000.
    The regions' true boundary winds about the one that the coarse map knows.
    """
    rng = np.random.default_rng(23)
    region = _smooth_field(side, 110.0, rng)
    tile = 512

    def periodic(sigma: float) -> NDArray[np.float32]:
        noise = gaussian_filter(rng.standard_normal((tile, tile)), sigma, mode="wrap")
        return (noise / noise.std()).astype(np.float32)

    cells = 0.1 * np.sign(periodic(4.0)) * np.abs(periodic(40.0))
    texture = np.dstack([
        cells + 0.03 * periodic(20.0) + 0.015 * periodic(2.0) + 0.008 * periodic(0.1)
        for _ in range(3)
    ])  # fmt: skip
    texture = np.rint(255 * np.tile(texture, (1, side // tile, 1))).astype(np.int16)
    wiggle = np.tile(0.08 * periodic(10.0), (1, side // tile))
    colours = np.array([[90, 120, 75], [165, 140, 160]], np.int16)
    image = np.empty((side, side, 3), np.uint8)
    for top in range(0, side, tile):
        rows = slice(top, top + tile)
        inside = (region[rows] + wiggle > 0).astype(np.uint8)
        np.clip(colours[inside] + texture, 0, 255, out=image[rows], casting="unsafe")
    coarse = region[8::16, 8::16] > 0  # one network pixel for 16 x 16
    return Scene(image, coarse.astype(np.uint8))


def _smooth_field(side: int, sigma: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a stationary field (side, side): noise on a lattice seen through Gaussian bells."""
    nodes = sigma * np.arange(-4, side / sigma + 4)
    bells = np.exp(-0.5 * ((np.arange(side)[:, np.newaxis] - nodes) / sigma) ** 2)
    bells = bells.astype(np.float32)
    return bells @ rng.standard_normal((nodes.size, nodes.size), np.float32) @ bells.T


def _real(name: str, data: Path) -> Scene:
    def read(image: str, labels: str, above: int = 0) -> Scene:
        if not (data / image).exists():
            raise FileNotFoundError(data / image)
        coarse = read_labels(data / labels) > above
        return Scene(read_image(data / image).pixels, coarse.astype(np.uint8))

    if name == "hrf_grid":
        folder = "large/hrf_grid"
        parts = [read(f"{folder}/{n}.jpg", f"{folder}/{n}_mask.png")
                 for n in ("01_h", "02_h", "03_h", "04_h")]  # fmt: skip
        images, masks = zip(*parts, strict=True)
        return Scene(
            np.vstack([np.hstack(images[:2]), np.hstack(images[2:])]),
            np.vstack([np.hstack(masks[:2]), np.hstack(masks[2:])]),
        )
    if name == "seed_figure":
        return read("seed_figures/f1.jpg", "seed_figures/f2.png", above=127)
    folder = {"dis_bike": "silver_dev/dis_bike", "hrf_01_h": "dev/hrf_01_h"}[name]
    return read(f"{folder}/image.jpg", f"{folder}/coarse.png")
