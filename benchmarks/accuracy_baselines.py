"""The baselines of ``benchmarks.accuracy``: other training-free methods that sharpen masks.

If the coarse map has the image's size, they assume the same scale as refine().
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import hdseg_gpu
from benchmarks.accuracy_items import Item
from benchmarks.accuracy_pieces import (
    Skipped,
    Window,
    decide_band,
    linear_planes,
    nearest,
    rgb,
    tiles,
)

TILE = 1024
SMALL_TILE = 512  # for methods that need 25 float64 per pixel
BETA = 130  # scikit-image's own
ROUNDS = 5
BAND = 8  # GrabCut's passes, in scales
TOLERANCE, ITERATIONS = 1e-6, 2000


def guided_filter(item: Item, *, reach: float, epsilon: float) -> NDArray[Any]:
    """Colour guided filter (He et al.) of the linear planes, radius = reach scale; argmax.

    Of six settings, reach 2 and eps 1e-3 are best on network masks, 1 and 1e-4 on reduced truths.
    """
    planes, image = linear_planes(item), rgb(item.image)
    radius = max(1, round(reach * item.size))
    if len(planes) == 2:
        planes = planes[1:]  # the other one is 1 - p, and the filter is linear
    labels = np.empty(item.truth.shape, item.values.dtype)
    # Two successive windows reach 2 radius: with that margin tiles only change the memory.
    for outer, within, inner in tiles(labels.shape, TILE, 2 * radius):
        guide = (image[outer] / 255).astype(np.float32)
        found = _guided(guide, planes[:, *outer], radius, epsilon)
        found = found[:, *within]
        best = found[0] > 0.5 if len(found) == 1 else found.argmax(axis=0)
        labels[inner] = item.values[best.astype(np.intp)]
    return labels


def _guided(
    guide: NDArray[np.float32], planes: NDArray[np.float32], radius: int, epsilon: float
) -> NDArray[np.float32]:
    """Return the filtered planes: q = mean(a) I + mean(b), a = cov(I, p) / (cov(I, I) + eps)."""

    def box(values: NDArray[np.float32]) -> NDArray[Any]:
        return cv2.blur(values, (2 * radius + 1, 2 * radius + 1), borderType=cv2.BORDER_REFLECT)

    mean = box(guide)
    products = np.stack([box(guide * guide[..., c : c + 1]) for c in range(3)], axis=-1)
    covariance = products - mean[..., None] * mean[..., None, :]
    inverse = np.linalg.inv(covariance + np.float32(epsilon) * np.eye(3, dtype=np.float32))
    filtered = np.empty_like(planes)
    for p, out in zip(planes, filtered, strict=True):
        mean_p = box(p)
        a = np.einsum(
            "yxij,yxj->yxi", inverse, box(guide * p[..., None]) - mean * mean_p[..., None]
        )
        b = mean_p - (a * mean).sum(axis=-1)
        out[:] = (box(a) * guide).sum(axis=-1) + box(b)
    return filtered


def grabcut(item: Item) -> NDArray[Any]:
    """OpenCV's GrabCut, 5 rounds, in a band of 8 scale passes; one class against the rest.

    Two classes take one run. With more, each has a run in its bounding box; a pixel claimed by
    several or none keeps its coarse label if that is one of them, else gets the first.
    """
    coarse, image = nearest(item), np.ascontiguousarray(rgb(item.image)[..., ::-1])
    values = np.unique(coarse)
    if len(values) == 2:
        window, claimed = _cut(image, coarse == values[1], item.size)
        labels = np.full_like(coarse, values[0])
        labels[window][claimed] = values[1]
        return labels
    labels, claimants = coarse.copy(), np.zeros(coarse.shape, np.uint8)
    kept = np.zeros(coarse.shape, np.bool_)
    for value in values:
        window, claimed = _cut(image, coarse == value, item.size)
        kept[window] |= claimed & (coarse[window] == value)
        first = claimed & (claimants[window] == 0)
        labels[window][first] = value
        claimants[window] |= claimed
    return np.where(kept, coarse, labels)


def _cut(
    image: NDArray[np.uint8], mask: NDArray[np.bool_], scale: float
) -> tuple[Window, NDArray[np.bool_]]:
    """Return a window, and GrabCut's foreground in it."""
    margin = max(32, round(2 * BAND * scale))
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    window = (
        slice(max(0, rows[0] - margin), rows[-1] + margin + 1),
        slice(max(0, columns[0] - margin), columns[-1] + margin + 1),
    )
    mask, image = mask[window], np.ascontiguousarray(image[window])
    inside, outside = _surely(mask, scale)
    trimap = np.where(mask, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    trimap[inside], trimap[outside] = cv2.GC_FGD, cv2.GC_BGD
    if mask.all() or not mask.any() or (inside | outside).all():
        return window, mask
    cv2.setRNGSeed(7)  # its k-means starts at random
    model = np.zeros((2, 1, 65))
    cv2.grabCut(image, trimap, None, model[0], model[1], ROUNDS, cv2.GC_INIT_WITH_MASK)
    return window, (trimap == cv2.GC_FGD) | (trimap == cv2.GC_PR_FGD)


def _surely(mask: NDArray[np.bool_], scale: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the seeds of foreground and background; passes are halved until both have some."""
    passes = max(1, round(BAND * scale))
    while True:
        inside, outside = (
            hdseg_gpu.thinning(side, "9x9", passes).astype(np.bool_) for side in (mask, ~mask)
        )
        if passes == 1 or (inside.any() and outside.any()):
            return inside, outside
        passes //= 2


def skimage_walker(item: Item) -> NDArray[Any]:
    """scikit-image's random walker (cg_j, beta 130) from refine()'s published seeds, in tiles."""
    try:
        from skimage.segmentation import random_walker
    except ImportError:
        raise Skipped("scikit-image is not installed") from None
    spread = (rgb(item.image) / 255).std()

    def solve(tile: NDArray[Any], seeds: NDArray[np.int32], count: int) -> NDArray[Any]:
        image = rgb(tile) / 255
        contrast = image.std()
        if count == 1 or contrast == 0:
            return np.where(seeds == 0, int(count == 1), seeds)
        # It divides beta by the contrast of its input, which should be the whole image.
        beta = BETA * contrast / spread
        found: NDArray[Any] = random_walker(image, seeds, beta=beta, mode="cg_j", channel_axis=-1)
        return found

    return decide_band(item, solve, TILE)


def closed_form_matting(item: Item) -> NDArray[Any]:
    """Closed-form matting (Levin et al., pymatting's) from refine()'s published seeds, in tiles.

    With two classes this is ``estimate_alpha_cf`` and alpha > 1/2; more classes share its matrix.
    """
    try:
        from pymatting import cf_laplacian, cg, ichol
    except ImportError:
        raise Skipped("pymatting is not installed") from None

    def solve(tile: NDArray[Any], seeds: NDArray[np.int32], count: int) -> NDArray[Any]:
        if count == 1:
            return np.ones_like(seeds)
        known = seeds.ravel() > 0
        unknown = ~known & ~_out_of_reach(seeds).ravel()
        rows = cf_laplacian(rgb(tile) / 255, is_known=known)[unknown]
        matrix, border = rows[:, unknown], rows[:, known]
        inverse, ranks = ichol(matrix), seeds.ravel()[known]
        alphas = np.zeros((count, int(unknown.sum())))
        for rank in range(2, count + 1):
            b = -border.dot((ranks == rank).astype(np.float64))
            if b.any():
                alphas[rank - 1] = cg(matrix, b, M=inverse, rtol=TOLERANCE, maxiter=ITERATIONS)
        alphas[0] = 1 - alphas.sum(axis=0)
        found = np.zeros(seeds.size, np.intp)
        found[unknown] = alphas.argmax(axis=0) + 1
        return found.reshape(seeds.shape)

    return decide_band(item, solve, SMALL_TILE)


def _out_of_reach(seeds: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return the unknown pixels in components that touch no seed: their matrix is singular."""
    _, components = cv2.connectedComponents((seeds == 0).astype(np.uint8), connectivity=8)
    beside = cv2.dilate((seeds > 0).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    cut_off: NDArray[np.bool_] = (seeds == 0) & ~np.isin(components, components[beside])
    return cut_off
