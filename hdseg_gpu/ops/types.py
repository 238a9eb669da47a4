"""Arguments and results of ops."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from math import isqrt
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.classes import Classes
from hdseg_gpu.core.windows import GridMapping, Shape

T = TypeVar("T")
# An op that has begun, see ``Ops.together``: it yields arrays, is sent their values in host memory,
# and returns the op's result.
Steps = Generator[tuple[Any, ...], tuple[NDArray[Any], ...], T]


def channel_count(moments: int) -> int:
    """Return C from the number of moments (C + 1) (C + 2) / 2."""
    return (isqrt(8 * moments + 1) - 3) // 2


def component_count(component: NDArray[np.int32]) -> int:
    """Return the number of components from those of the runs; may wait for the device."""
    return int(component.max()) + 1 if component.size else 0


class CsrMatrix(NamedTuple):
    """A square matrix in compressed sparse rows, columns ascending."""

    data: NDArray[np.float64]
    indices: NDArray[np.int32]
    indptr: NDArray[np.int32]


class Band(NamedTuple):
    """The unknown pixels as runs: run r has the pixels pixel[r], pixel[r] + 1, ... of one row.

    They have the positions start[r] .. start[r + 1] - 1 in the band.
    """

    shape: Shape
    pixel: NDArray[np.int64]  # (runs,) flat indices, ascending
    start: NDArray[np.int32]  # (runs + 1,)
    size: int  # the number of unknown pixels n
    black: int = -1  # number of those with even x + y, if a backend has counted them

    def pixels(self) -> NDArray[np.int64]:
        """Return the flat indices of the pixels, of a band in host memory."""
        positions = np.arange(self.size, dtype=np.int64)
        return positions + np.repeat(self.pixel - self.start[:-1], np.diff(self.start))


class Places(NamedTuple):
    """The row of a table for each pixel of a band.

    In column x of run r it is first[r] + x // across: pixels of a run share it within strips of
    `across` columns.
    """

    first: NDArray[np.int32]  # (runs,)
    across: int


EVERYWHERE = 1 << 40  # columns: wider than any image


def by_run(band: Band, xp: Any = np) -> Places:
    """Return places where each run has a row of its own, as arrays of xp."""
    return Places(xp.arange(len(band.pixel), dtype=np.int32), EVERYWHERE)


class Nearby(NamedTuple):
    """The classes that have a colour model in each colour window.

    Those of window w are label[start[w] : start[w + 1]], ascending; windows are counted row by row.
    """

    start: NDArray[np.int64]  # (windows + 1,)
    label: Classes  # (entries,) class indices


class Estimation(NamedTuple):
    """How colour models are estimated, from windows of group x group cells: ``colour_models``."""

    group: int
    area: float  # pixels of a window
    radii: tuple[int, ...]  # of the filters, in windows: narrow first
    prior: float  # weight of the next wider windows, as a fraction of a window
    start: float  # weight of the whole image's colours in the widest windows, likewise
    ridge: float  # added to the variances


class ColourModels(NamedTuple):
    """log N(x; mean, covariance) of classes in windows, up to a constant, as quadratic forms in x.

    A window is size x size pixels, from the top left corner of the grid of cells.
    """

    coefficients: NDArray[np.float32]  # (entries, M): of 1, x_i and x_i x_j, as in cell_moments
    nearby: Nearby  # the window and the class of each entry
    size: int


class NearestMap(NamedTuple):
    """A class map of cells with the result of ``nearest_others``, and the weights of its distances.

    The weighted value of a distance d, in units of the scale and negative outside the class, is
    sign(d) (log log1p(abs d) + linear abs d).
    """

    own: Classes  # (gh, gw)
    nearest_other: Classes
    distance: NDArray[np.float32]
    log: float
    linear: float


class CoarseProbabilities(NamedTuple):
    """The network's probabilities p and their weights: scores get log log(p) + linear p."""

    planes: NDArray[np.float32]  # (K, h, w) of a part of the coarse map
    place: GridMapping
    interpolation: str
    log: float
    linear: float


class EvidenceTerms(NamedTuple):
    """The terms of a class's score at a pixel; see ``class_evidence``."""

    center: NDArray[np.float64]  # (C,)
    scale: float  # colours are normalised: x = (image - center) * scale
    models: ColourModels
    weight: float  # of the log-likelihood of colours
    maps: tuple[NearestMap, ...]  # one or two
    cell: int  # pixels of a cell of the maps
    unit: float  # pixels that count as a distance of 1
    network: CoarseProbabilities | None


class Evidence(NamedTuple):
    """For each pixel of a band its likeliest classes + 1, likeliest first, and their probabilities.

    Probabilities of a pixel sum to 1; entries with probability 0 have the label 0.
    """

    label: Classes  # (n, m)
    probability: NDArray[np.float32]  # (n, m)


class Edges:
    """The matrix A = L_UU + gamma I of a band, in a backend-specific layout."""


class Level(ABC):
    """A symmetric M-matrix of the multigrid hierarchy, in a backend-specific layout."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Return the number of entries of a vector."""


class Work(NamedTuple):
    """The columns of a level in a V-cycle: right-hand side, solution, and the smoother's step."""

    r: NDArray[Any]
    x: NDArray[Any]
    step: NDArray[Any]


class SmallCycle(NamedTuple):
    """One V-cycle from a level downwards: sets x, in the level's ``Work``, to about A^-1 r."""

    first: int  # index of the level, among those below the finest
    run: Callable[[int], None]  # takes the number of columns
