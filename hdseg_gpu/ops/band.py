"""The unknown pixels as runs."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.classes import Classes
from hdseg_gpu.core.windows import Window
from hdseg_gpu.ops.types import EVERYWHERE, Band, Evidence, Places, Steps, component_count


class BandOps(ABC):
    """Bands: found, divided into components, written back."""

    @abstractmethod
    def band(self, seeds: NDArray[Any]) -> Band:
        """Return the pixels with seed 0."""

    def begin_band(self, seeds: NDArray[Any]) -> Steps[Band]:
        """Return ``band`` as steps."""
        yield from ()
        return self.band(seeds)

    @abstractmethod
    def pixels(self, band: Band) -> NDArray[np.int64]:
        """Return the flat indices of the band's pixels, (n,)."""

    @abstractmethod
    def of_pixels(self, band: Band, values: NDArray[Any]) -> NDArray[Any]:
        """Return for each pixel the row of its run: (n, ...) of (runs, ...)."""

    @abstractmethod
    def put(self, band: Band, values: Classes, picture: Classes, less: int = 0) -> None:
        """Set each of the band's pixels in (H, W) to its value - less, the first one of (n, m)."""

    @abstractmethod
    def select(self, band: Band, runs: NDArray[np.bool_]) -> Band:
        """Return the band of some of the runs; runs that touch must stay together."""

    @abstractmethod
    def part(
        self, band: Band, component: NDArray[np.int32], row: NDArray[np.int32]
    ) -> tuple[Band, NDArray[np.int32], NDArray[np.int32]]:
        """Return the band of some components, their runs' rows, their pixels' positions in `band`.

        row, in host memory: for each component its row in some table, -1 if it is left out.
        """

    @abstractmethod
    def components(self, band: Band) -> NDArray[np.int32]:
        """Return the 4-connected component of each run, numbered by their first pixel: (runs,)."""

    @abstractmethod
    def labels_at(
        self, band: Band, seeds: NDArray[Any], places: Places, evidence: Evidence | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the pairs of places and labels that occur there: (places, labels) in host memory.

        A label occurs at a place if one of its seeds adjoins a pixel of the place, or if the
        evidence of such a pixel names it. Ascending by place and label, each pair once. Runs whose
        first place is negative are skipped.
        """

    def reached(
        self, band: Band, seeds: NDArray[Any], evidence: Evidence | None
    ) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
        """Return the components and the labels that occur in each, see ``labels_at``.

        The second array, in host memory, counts the labels of each component, the third lists
        them, one component after the other.
        """
        component = self.components(band)
        place, label = self.labels_at(band, seeds, Places(component, EVERYWHERE), evidence)
        return component, np.bincount(place, minlength=component_count(component)), label

    @abstractmethod
    def decide(
        self,
        band: Band,
        x: NDArray[Any],
        labels: NDArray[Any],
        places: Places,
        bound: NDArray[Any] | float,
        core: Window,
        seeds: NDArray[Any],
    ) -> int:
        """Give each pixel of the band the label of its largest potential, in seeds.

        x: columns (m, n); the potential of the last class is 1 minus their sum. labels: (rows,
        m + 1), of the pixels' places. A label is certain when the largest two potentials are
        further apart than their errors may add up to: `bound` for each column, m bound for the
        last. The first column wins a tie. Returns how many labels in the window `core` are not
        certain.
        """
