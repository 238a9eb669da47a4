"""Random images and options, and the two ways to refine them: in memory and on files."""

import inspect
from typing import Any, NamedTuple

import numpy as np
from gallery import blobs, reduced

from hdseg_gpu import refine, refine_file

COMPARED = (
    "shape", "coarse_shape", "labels", "ignore_index", "method", "scale", "passes", "doubt",
    "interpolation", "edges", "beta", "gamma", "sigma", "unsure", "prune", "majority", "tolerance",
    "unknown_pixels",
)  # fmt: skip


class Case(NamedTuple):
    """What both roads get."""

    image: np.ndarray
    coarse: np.ndarray
    options: dict[str, Any]


def case(seed, kind=None, ignored=None, **more):
    """Return a random case: `kind` is "labels" or "probabilities"; `more` options win."""
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(40, 420, 2))
    scale, classes = int(rng.choice([2, 4, 8, 16])), int(rng.integers(2, 6))
    truth = regions(shape, classes, rng)
    coarse = sampled(np.roll(truth, rng.integers(-12, 13, 2), (0, 1)), scale)
    colours = rng.uniform(0, 255, (classes, 3))
    image = colours[truth] + rng.normal(0, rng.uniform(2, 40), (*shape, 3))
    image = image.clip(0, 255).astype(np.uint8)
    options = {"backend": "cpu"}
    kind = kind or rng.choice(["labels", "probabilities"])
    if kind == "probabilities":
        coarse = probabilities_of(coarse, classes, rng)
        if rng.random() < 0.4:
            options["unsure"] = float(rng.uniform(0, 0.3))
    interpolations = ["linear", "cubic", *(["nearest"] if kind == "labels" else [])]
    choices = {
        "gamma": [0.0, 0.05, 0.5, 2.0],
        "passes": [1, 3, 20],
        "prune": [False, True],
        "majority": [1, 3, 7],
        "elements": ["3x3", "9x9"],
        "interpolation": interpolations,
        "method": ["published"],
        "scale": [float(scale), 2.0 * scale],
    }
    for name, values in choices.items():
        if rng.random() < 0.25:
            options[name] = values[rng.integers(len(values))]
    if rng.random() < 0.2:
        options |= {"boundary": rng.random(shape).astype(np.float32), "edges": "boundary"}
    if kind == "labels" and (rng.random() < 0.5 if ignored is None else ignored):
        i, j = (int(rng.integers(n)) for n in coarse.shape)
        coarse[i : i + 4, j : j + 4] = 255
        coarse[rng.random(coarse.shape) < 0.02] = 255
        options["ignore_index"] = 255
    return Case(image, coarse, options | more)


def regions(shape, classes, rng):
    """Return the cells around random points, each of a class."""
    points = rng.uniform(0, 1, (2 * classes, 2)) * shape
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.argmin([(y - p) ** 2 + (x - q) ** 2 for p, q in points], axis=0) % classes


def sampled(labels, scale):
    """Return labels at the middle of squares that are `scale` wide."""
    rows, columns = (
        np.minimum((np.arange(-(-n // scale)) * 2 + 1) * n // (2 * -(-n // scale)), n - 1)
        for n in labels.shape
    )
    return labels[rows][:, columns].astype(np.uint8)


def probabilities_of(coarse, classes, rng):
    """Return planes with the largest probability at the class of each pixel."""
    planes = np.stack([coarse == k for k in range(classes)]) * rng.uniform(0.4, 0.9) + 0.1
    planes += rng.uniform(0, 0.05, planes.shape)
    return (planes / planes.sum(axis=0)).astype(np.float32)


def in_memory(_folder, image, coarse, **options):
    """Return labels and report of refine()."""
    return refine(image, coarse, return_report=True, **options)


def by_file(folder, image, coarse, **options):
    """Return labels and report of refine_file()."""
    report = refine_file(image, coarse, folder / "labels.npy", tile=2048, overwrite=True, **options)
    return np.load(folder / "labels.npy"), report


ROADS = [in_memory, by_file]


def half_doubted(classes, shift, noise, seed, kind="labels", **options):
    """Return a case whose doubt is often between 0 and 1: a map that is off, more or less noise."""
    rng = np.random.default_rng(seed)
    truth = blobs((160, 200), classes, seed)
    coarse = np.roll(reduced(truth, 2), (shift, shift), (0, 1))
    colours = np.array([[60, 90, 120], [150, 80, 60], [90, 160, 140], [200, 200, 40]])
    image = (colours[truth] + rng.normal(0, noise, (*truth.shape, 3))).clip(0, 255)
    if kind == "probabilities":
        coarse = probabilities_of(coarse, classes, rng)
    elif kind == "ignored":
        coarse[rng.random(coarse.shape) < 0.01] = 255
        coarse[20:30, 50:56] = 255
        options["ignore_index"] = 255
    return Case(image.astype(np.uint8), coarse, {"backend": "cpu", **options})


def far_off():
    """Return a case whose boundary is in the first 128 columns, but not that of its map."""
    truth = np.arange(256) * np.ones((96, 1)) > 110
    noise = np.random.default_rng(83).normal(0, 8, (*truth.shape, 3))
    image = (np.where(truth[..., None], (150, 90, 60), (90, 120, 80)) + noise).clip(0, 255)
    drawn = np.roll(truth, 26, 1) & truth
    return Case(image.astype(np.uint8), drawn[1::4, 1::4].astype(np.uint8), {"backend": "cpu"})


ONLY_IN_MEMORY = {"progress", "return_probabilities", "return_report"}


def options_of(function):
    """Return the names of what a function takes."""
    return set(inspect.signature(function).parameters)
