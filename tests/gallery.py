"""Named inputs, shared by tests and benchmarks: small, generated, each hard in its own way."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter


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
