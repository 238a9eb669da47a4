"""Morphology by its definitions."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hdseg_gpu.backends.host import HostOps
from hdseg_gpu.core.classes import Classes, Mask, wall_of
from hdseg_gpu.ops import Band


class ReferenceMaskOps(HostOps):
    """The definitions, written down."""

    def thinning(self, mask: Mask, elements: NDArray[np.int8], passes: int) -> Mask:
        inside = mask != 0
        for _ in range(passes):
            before = inside.copy()
            for element in elements:
                inside &= ~_hit_or_miss(inside, element)
            if np.array_equal(inside, before):
                break
        thinned: Mask = mask * inside
        return thinned

    def thinning_packed(
        self, mask: NDArray[np.uint8], width: int, elements: NDArray[np.int8], passes: int
    ) -> NDArray[np.uint8]:
        bits = np.unpackbits(mask, axis=1, count=width, bitorder="little")
        return np.packbits(self.thinning(bits, elements, passes), axis=1, bitorder="little")

    def seeds(
        self, classes: Classes, count: int, elements: NDArray[np.int8], passes: int
    ) -> Classes:
        seeds = np.zeros(classes.shape, classes.dtype)
        for k in range(count):
            seeds[self.thinning(classes == k, elements, passes)] = k + 1
        return seeds

    def prune(self, seeds: Classes, length: int) -> Classes:
        pruned = seeds.copy()
        for k in np.unique(seeds[seeds > 0]):
            own = (seeds == k).astype(np.uint8)
            thick = ndimage.grey_opening(own, 3, mode="nearest")
            near = ndimage.maximum_filter(thick, 2 * length + 1, mode="nearest")
            pruned[(own > thick) & (near > 0)] = 0
        return pruned

    def majority(self, labels: Classes, band: Band, size: int) -> Classes:
        padded = np.pad(labels, size // 2, mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size))
        found = np.empty(band.size, labels.dtype)
        for i, pixel in enumerate(band.pixels()):
            own, votes = labels.flat[pixel], windows[np.divmod(pixel, labels.shape[1])]
            values, counts = np.unique(votes[votes != wall_of(labels.dtype)], return_counts=True)
            first = values[counts == counts.max()]
            found[i] = own if own in first else first[0]
        return found


def _hit_or_miss(mask: NDArray[np.bool_], element: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Return where the element matches; outside the image its edge pixels are repeated."""
    r = len(element) // 2
    padded = np.pad(mask, r, mode="edge")
    match = np.ones_like(mask)
    for y, x in np.argwhere(element != 0):
        shifted = padded[y : y + mask.shape[0], x : x + mask.shape[1]]
        match &= shifted if element[y, x] > 0 else ~shifted
    return match
