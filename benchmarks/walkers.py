"""Contestants that process whole images: hdseg_gpu's refine and scikit-image's random walker."""

from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import random_walker

from benchmarks.thinning import by_scipy
from hdseg_gpu import refine

Answer = tuple[NDArray[Any], dict[str, Any]]


def by_refine(
    image: NDArray[np.uint8],
    coarse: NDArray[np.uint8],
    elements: NDArray[np.int8],
    *,
    passes: int,
    beta: float,
    gamma: float,
) -> Answer:
    """Return the labels by hdseg_gpu, with the plain walker or with all defaults."""
    options: dict[str, Any] = {}
    if gamma == 0.0:
        options = {
            "elements": elements, "passes": passes, "beta": beta, "gamma": 0.0,
            "interpolation": "nearest", "majority": 1,
        }  # fmt: skip
    labels, report = refine(image, coarse, return_report=True, **options)
    return labels, {
        "solver": report.solver,
        "iterations": report.iterations,
        "stages": report.seconds,
    }


def by_pieces(
    image: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    elements: NDArray[np.int8],
    seeds: NDArray[np.int32],
    *,
    passes: int,
    measured: int,
    beta: float,
) -> Answer:
    """Return the labels by SciPy's hit-or-miss transform and scikit-image's random walker.

    The time excludes enlarging the mask and, with `measured` < `passes`, the seeds.
    """
    (inside, outside), remarks = by_scipy(mask, elements, passes=passes, measured=measured)
    if measured == passes:
        seeds = np.where(inside, 2, outside).astype(np.int32)
    start = perf_counter()
    labels = random_walker(image, seeds, beta=beta, mode="cg_mg", channel_axis=-1)
    remarks["stages"] = {"solve": perf_counter() - start}
    return labels - 1, remarks


def by_skimage(
    image: NDArray[np.uint8],
    seeds: NDArray[np.int32],
    pixels: NDArray[np.int64],
    *,
    beta: float,
    mode: str,
) -> Answer:
    """Return the first class's potentials on the band, by a random walker on the whole image."""
    potentials = random_walker(
        image, seeds, beta=beta, mode=mode, return_full_prob=True, channel_axis=-1
    )
    return potentials[0].reshape(-1)[pixels], {}
