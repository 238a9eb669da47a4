"""Morphology: thinning, seeds without spurs, the majority filter."""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.classes import Classes, Mask
from hdseg_gpu.ops.types import Band


class MaskOps(ABC):
    """Thinning of masks, and filters of labels."""

    @abstractmethod
    def pack(self, mask: Mask) -> NDArray[np.uint64]:
        """Return where (H, W) is not 0 as a plane of bits, (H, ceil(W / 64)).

        Pixel x is bit x % 64 of word x // 64; unused bits are 0.
        """

    @abstractmethod
    def unpack(self, plane: NDArray[np.uint64], width: int) -> NDArray[np.bool_]:
        """Return the pixels of a plane of bits, (H, W)."""

    @abstractmethod
    def thinning(self, mask: Mask, elements: NDArray[np.int8], passes: int) -> Mask:
        """Thin (H, W) by all elements in order, `passes` times; the border repeats its pixels.

        The set is where the mask is not 0; pixels that survive keep their value.
        """

    @abstractmethod
    def thinning_packed(
        self, mask: NDArray[np.uint8], width: int, elements: NDArray[np.int8], passes: int
    ) -> NDArray[np.uint8]:
        """Thin a mask of bits, (H, ceil(width / 8)), the lowest bit leftmost; unused bits are 0."""

    @abstractmethod
    def seeds(
        self, classes: Classes, count: int, elements: NDArray[np.int8], passes: int
    ) -> Classes:
        """Return k + 1 where a pixel survives in the thinned mask of its class k, else 0."""

    @abstractmethod
    def prune(self, seeds: Classes, length: int) -> Classes:
        """Return the seeds without spurs; each step repeats the pixels at the border.

        A seed that does not survive the opening of its class's seeds by a 3 x 3 square becomes 0
        where a seed of its class that does lies within `length` rows and `length` columns.
        """

    def pruned_seeds(
        self, classes: Classes, count: int, elements: NDArray[np.int8], passes: int, length: int
    ) -> Classes:
        """Return ``prune`` of the ``seeds``; a backend may do both at once."""
        return self.prune(self.seeds(classes, count, elements, passes), length)

    @abstractmethod
    def majority(self, labels: Classes, band: Band, size: int) -> Classes:
        """Return the most frequent label of the (size, size) window around each pixel: (n,).

        The border repeats its pixels; size is odd. The pixel's own label wins a tie, else the
        smallest. Walls have no vote; no pixel of the band is one.
        """
