"""What ``bench_drop_in`` compares: functions, and images with labels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Result = tuple[NDArray[Any], dict[str, Any]]


def ours(image: NDArray[Any], labels: NDArray[Any], *, mode: str) -> Result:
    """Run our random walker."""
    from hdseg_gpu import random_walker

    return random_walker(image, labels, mode=mode), {}


def theirs(image: NDArray[Any], labels: NDArray[Any], *, mode: str) -> Result:
    """Run scikit-image's random walker."""
    from skimage.segmentation import random_walker

    return random_walker(image, labels, mode=mode), {}


def our_thin(mask: NDArray[Any]) -> Result:
    """Run our thinning."""
    from hdseg_gpu import thin

    return thin(mask), {}


def their_thin(mask: NDArray[Any]) -> Result:
    """Run scikit-image's thinning."""
    from skimage.morphology import thin

    return thin(mask), {}


def our_hit_or_miss(mask: NDArray[Any], structure: NDArray[Any]) -> Result:
    """Run our hit-or-miss transform."""
    from hdseg_gpu import hit_or_miss

    return hit_or_miss(mask, structure), {}


def their_hit_or_miss(mask: NDArray[Any], structure: NDArray[Any]) -> Result:
    """Run SciPy's hit-or-miss transform."""
    return ndimage.binary_hit_or_miss(mask, structure), {}


def blobs(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return smooth blobs that fill half of the image."""
    noise = np.random.default_rng(7).standard_normal(shape).astype(np.float32)
    found: NDArray[np.bool_] = ndimage.gaussian_filter(noise, max(shape) / 20) > 0
    return found


def scene(shape: tuple[int, ...], seeds: str) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return a noisy image of blobs, and labels: a "band" is unlabelled, or all but "scribbles"."""
    truth, rng = blobs(shape), np.random.default_rng(8)
    image = (truth * 60 + 90 + rng.integers(-25, 26, shape)).astype(np.uint8)
    labels = np.zeros(shape, np.int32)
    width = max(2, max(shape) // 100) if seeds == "band" else 3
    for label, part in ((1, truth), (2, ~truth)):
        inner = ndimage.binary_erosion(part, iterations=width, border_value=1)
        if seeds == "scribbles":
            chosen = rng.choice(np.flatnonzero(inner), max(10, part.size // 4000), replace=False)
            labels.flat[chosen] = label
        else:
            labels[inner] = label
    return image, labels
