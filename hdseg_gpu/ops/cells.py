"""Cells: small squares of pixels, with their colours and classes."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.classes import Classes
from hdseg_gpu.ops.types import Band, Evidence


class CellOps(ABC):
    """Squares of `cell` x `cell` pixels from the top left corner.

    Those of the last row and column are cut off by the border:
    (gh, gw) = (ceil(H / cell), ceil(W / cell)).
    """

    @abstractmethod
    def cell_moments(
        self, image: NDArray[Any], cell: int, center: NDArray[np.float64], scale: float
    ) -> NDArray[np.float32]:
        """Return for each cell the sums over its pixels of 1, x_i and x_i x_j: (gh, gw, M).

        image is (H, W, C) with 1 to 16 channels, x = (image - center) scale, clipped to
        +-30, whose square would otherwise dominate the variances. The M = (C + 1)(C + 2)
        / 2 sums are 1, then x_0 .. x_C-1, then the products (0, 0), (0, 1) .. (0, C-1), (1, 1) ..
        x is computed in float64 and rounded to float32. The rest is float32, one pixel after the
        other, row by row within the cell: all backends return the same bits.
        """

    @abstractmethod
    def cell_labels(self, labels: Classes, cell: int) -> Classes:
        """Return the most frequent class of each cell, (gh, gw); the lowest wins a tie."""

    @abstractmethod
    def nearest_others(self, cells: Classes, reach: int) -> tuple[NDArray[np.float32], Classes]:
        """Return the distance to the nearest entry of another class, and that class.

        cells is (gh, gw), its sides shorter than 2^22. Distances are Euclidean, between the centres
        of entries that are 1 apart; of equally near classes the lowest is found. Entries
        farther than `reach` do not count. Where none does: inf, and the entry's own class.
        """

    @abstractmethod
    def confidence(
        self, distance: NDArray[np.float32], log: float, linear: float, cell: float
    ) -> NDArray[np.float32]:
        """Return tanh(log log1p(d) + linear d), d = max(min(distance, 1e6) - 1/2, 0) cell.

        With a distance to another class in cells, d is that to the boundary, and this is 2 p - 1
        for the probability p that it gives to its class (``NearestMap``).
        """

    @abstractmethod
    def contradictions(
        self,
        band: Band,
        by_colour: Evidence,
        classes: Classes,
        distance: NDArray[np.float32],
        cell: int,
        origin: tuple[int, int],
        near: tuple[float, float],
        count: int,
    ) -> NDArray[np.int64]:
        """Return how many pixels of each class lie near a boundary, and how many look like others.

        (2, K) in host memory. The band and the classes are of a window whose first pixel is pixel
        `origin` (row, column) of the grid of cells. Of the band's pixels count those with
        near[0] <= (distance - 1/2) cell < near[1], the distance being that of the pixel's cell;
        a pixel looks like another class when its first label in `by_colour` is not its class + 1.
        """

    @abstractmethod
    def boundary_detail(self, labels: Classes) -> tuple[int, int]:
        """Return (flips, edges) of a class map (h, w): how ragged its boundary is, and how long.

        edges counts the pairs of 4-neighbours with different classes. flips counts the pixels whose
        class has less than half of the weight in the 9 x 9 window around them, with weights
        exp(-(dx^2 + dy^2) / (2 1.5^2)); the border repeats its pixels. No window is a tie: its
        centre has a weight that no other pixels can make up for.
        """
