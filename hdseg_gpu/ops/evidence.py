"""Class probabilities from colours, distances and the network."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.classes import Classes
from hdseg_gpu.ops.types import (
    Band,
    Estimation,
    Evidence,
    EvidenceTerms,
    Nearby,
    Places,
    Steps,
)


class EvidenceOps(ABC):
    """The prior of each pixel of a band: lambda."""

    @abstractmethod
    def nearby_classes(
        self, maps: tuple[Classes, ...], count: int, cell: int, group: int
    ) -> Nearby:
        """Return the classes for which windows of group x group cells need a model.

        maps are (gh, gw) classes of cells, of `cell` pixels. A window needs the classes of all
        cells less than a cell's side away, along both axes, from any pixel that interpolates the
        window: pixels less than a window's side away from its centre.
        """

    def begin_nearby_classes(
        self, maps: tuple[Classes, ...], count: int, cell: int, group: int
    ) -> Steps[Nearby]:
        """Return ``nearby_classes`` as steps."""
        yield from ()
        return self.nearby_classes(maps, count, cell, group)

    @abstractmethod
    def colour_models(
        self,
        moments: NDArray[np.float32],
        own: Classes,
        weight: NDArray[np.float32],
        count: int,
        nearby: Nearby,
        how: Estimation,
    ) -> NDArray[np.float32]:
        """Return the model of each entry of `nearby`, a class in a window: (entries, M).

        A window is group x group cells and `area` pixels; m is the sum of moments, weight over its
        cells with own == k, by its area. Starting from the whole picture's colours, which are
        standardised (mean 0, covariance I), the estimate becomes
        (smooth(m) + prior estimate) / (smooth(m)_0 + prior) for the radii from the last to the
        first: where a window has few pixels of the class, wider ones dominate. For the last radius
        the prior is `start`, small enough that even a few pixels in the widest windows outweigh the
        whole image. smooth applies, three times, the mean of 2 radius + 1 windows along rows and
        then along columns, 0 where there are no cells. ridge I is added to the covariance.

        A model depends neither on the other entries nor on cells farther away than 3 radius windows
        for the largest radius. Means are summed in float64 in ascending order and rounded to
        float32.
        """

    @abstractmethod
    def class_evidence(
        self,
        band: Band,
        image: NDArray[Any],
        origin: tuple[int, int],
        terms: EvidenceTerms,
        kept: int,
    ) -> Evidence:
        """Return the softmax of the scores of the likeliest classes at each pixel of a band.

        The band and the image are of a window whose first pixel is pixel `origin` (row, column) of
        the grids of cells and windows; these begin at the same pixel, and models.size is a multiple
        of `cell`. The window of network.place is the image. x is (image - center) scale, as in
        ``cell_moments``.

        score_k = weight log N_k(x) + 1/2 sum over maps of the weighted distance (``NearestMap``)
        + the weighted probability (``CoarseProbabilities``).
        Models and distances are interpolated between the centres of windows and cells; distances
        are in units of `unit` pixels. Considered are the first 8 of the own and nearest other
        classes of the cells around the pixel. A class that is neither in a cell is taken to lie one
        cell beyond the boundary. A class without a model in one of the windows has the score -1e9;
        probabilities below 1e-3 are left out.
        """

    @abstractmethod
    def add_evidence(
        self,
        band: Band,
        position: NDArray[np.int32] | None,
        evidence: Evidence,
        labels: NDArray[Any],
        places: Places,
        gamma: float,
        b: NDArray[Any],
    ) -> None:
        """Add gamma times the probability of its label at the pixel to each entry of columns b.

        labels (rows, m) as in ``assemble``; pixel i has the evidence of row position[i], or row i.
        """
