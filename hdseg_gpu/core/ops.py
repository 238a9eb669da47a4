"""The contract of primitives: what every backend can do.

The pipeline is written against these verbs alone. Arguments have been checked at the door
(``core.validate``); here shapes and dtypes are promises. (H, W) is the image, n the number of
pixels in a band, K the number of classes. Class indices and seeds are uint8 up to 254 classes, else
uint16, from 65,535 classes on uint32 (``class_dtype``): a seed K fits too, and a value is left for
walls (``wall_of``). A wall is neither seed nor unknown, but as good as outside the picture: no edge
leads to it. Columns are the vectors of several right-hand sides. No verb's work or memory is
classes times pixels, but for planes of probabilities.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager
from math import isqrt
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.values import StackExtremes
from hdseg_gpu.core.windows import Placement, Shape, Window

Classes = NDArray[np.uint8 | np.uint16 | np.uint32]
Mask = NDArray[np.bool_ | np.uint8]


T = TypeVar("T")
# A verb that has begun, see ``Ops.together``: it yields arrays, is sent them in host memory, and
# returns what it comes to.
Steps = Generator[tuple[Any, ...], tuple[NDArray[Any], ...], T]

# Of the prior of a colour model: what the whole picture's colours count beside the widest windows.
START_SHARE = 1e-4


# The most classes, as many labels as 16 bits have; and the wall where there are so many that
# classes need 32 bits: tables of all values stay small, as in kernels/common/labels.h.
MAX_CLASSES = 1 << 16
_WALL_OF_MANY = (1 << 17) - 1


def class_dtype(count: int) -> type[np.uint8] | type[np.uint16] | type[np.uint32]:
    """Return the dtype of the class indices 0..K-1, and of the seeds 0..K and walls."""
    if count < np.iinfo(np.uint8).max:
        return np.uint8
    return np.uint16 if count < np.iinfo(np.uint16).max else np.uint32


def wall_of(dtype: Any) -> int:
    """Return the seed of pixels that are outside for everybody, larger than any other."""
    return min(int(np.iinfo(dtype).max), _WALL_OF_MANY)


def channel_count(moments: int) -> int:
    """Return C from the number of moments (C + 1) (C + 2) / 2."""
    return (isqrt(8 * moments + 1) - 3) // 2


def component_count(component: NDArray[np.int32]) -> int:
    """Return how many components the runs of a band have, from their numbers; may wait for them."""
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
    black: int = -1  # of them, those with even x + y, where a backend has counted them: ``reduce``

    def pixels(self) -> NDArray[np.int64]:
        """Return the flat indices of the pixels, of a band in host memory."""
        positions = np.arange(self.size, dtype=np.int64)
        return positions + np.repeat(self.pixel - self.start[:-1], np.diff(self.start))


class Places(NamedTuple):
    """Which row of a table belongs to each pixel of a band.

    In column x of run r it is first[r] + x // across: pixels of a run share it within strips of
    `across` columns.
    """

    first: NDArray[np.int32]  # (runs,)
    across: int


EVERYWHERE = 1 << 40  # columns: wider than any picture


def by_run(band: Band, xp: Any = np) -> Places:
    """Return places where each run has a row of its own, as arrays of xp."""
    return Places(xp.arange(len(band.pixel), dtype=np.int32), EVERYWHERE)


class Nearby(NamedTuple):
    """The classes that pixels may have whose colours are looked up in a window, ascending.

    Those of window w, windows row by row, are label[start[w] : start[w + 1]].
    """

    start: NDArray[np.int64]  # (windows + 1,)
    label: Classes  # (entries,) class indices


class ColourModels(NamedTuple):
    """log N(x; mean, covariance) of classes in windows, up to a constant, as quadratic forms in x.

    A window is size x size pixels, from the top left corner of the grid of cells.
    """

    coefficients: NDArray[np.float32]  # (entries, M): of 1, x_i and x_i x_j, as in cell_moments
    nearby: Nearby  # the window and the class of each entry
    size: int


class NearestMap(NamedTuple):
    """A class map of cells with what ``rival_distances`` finds there, and how much it counts.

    A distance d, in units of the scale and negative outside the class, counts
    sign(d) (log log1p(abs d) + linear abs d).
    """

    own: Classes  # (gh, gw)
    rival: Classes
    distance: NDArray[np.float32]
    log: float
    linear: float


class Network(NamedTuple):
    """The network's probabilities p, (K, h, w) of a part: they count log log(p) + linear p."""

    planes: NDArray[np.float32]
    place: Placement
    interpolation: str
    log: float
    linear: float


class Evidence(NamedTuple):
    """For each pixel of a band its likeliest classes + 1, likeliest first, and their shares.

    Shares sum to 1; what has a share of 0 has the label 0.
    """

    label: Classes  # (n, m)
    share: NDArray[np.float32]  # (n, m)


class Edges:
    """The matrix A = L_UU + gamma I of a band, kept as its backend likes it."""


class Level(ABC):
    """A symmetric M-matrix of the multigrid hierarchy, kept as its backend likes it."""

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
    """Sets x to about A^-1 r, in a level's ``Work``, by all levels from it on."""

    first: int  # the level, among those below the finest
    run: Callable[[int], None]  # with so many columns


class Ops(ABC):
    """All primitives of one backend, without any state."""

    name: ClassVar[str]
    # The namespace of the backend's arrays, numpy or cupy: what is large is made and computed with
    # it. Arrays of the backend and of NumPy do not mix; what a verb returns as NDArray is the
    # backend's unless it says "in host memory".
    xp: Any
    # Iterations between two looks at the error: looking makes a device wait.
    patience: ClassVar[int] = 1
    # Elements that are worth a call, where work is done block by block to save memory.
    block: ClassVar[int] = 1 << 18
    # Whether a picture in memory is solved as a whole: a device would wait between small blocks.
    solves_whole: ClassVar[bool] = False
    # Potentials up to which all components of a band are one system, with columns that stand for
    # nothing where fewer classes meet: to a device another system costs more than these.
    merged: ClassVar[int] = 0

    @abstractmethod
    def here(self, budget: int | None = None) -> AbstractContextManager[None]:
        """Within it verbs run on this backend's device, and its faults are ``HdsegError``.

        To need more than `budget` bytes of a device's memory (default: most of what is free) is
        ``OutOfDeviceMemory``.
        """

    @abstractmethod
    def threads(self, count: int) -> AbstractContextManager[None]:
        """Within it verbs that this thread calls use at most `count` of the processor's threads.

        Results do not depend on it. It never raises what the environment allows.
        """

    @abstractmethod
    def prepare(self, image: NDArray[Any], count: int) -> None:
        """Begin with what takes time the first time that an image like this has so many classes."""

    @abstractmethod
    def picture(self, image: NDArray[Any], smaller: int = 0) -> NDArray[Any]:
        """Return an image (H, W, C), NumPy's or the backend's, for the verbs that read images.

        What does not fit stays in host memory, and a device has it strip by strip; for each step of
        `smaller`, strips are half as large.
        """

    @abstractmethod
    def host(self, array: Any) -> NDArray[Any]:
        """Return an array in host memory; waits for it."""

    @abstractmethod
    def fetched(self, *arrays: Any) -> tuple[NDArray[Any], ...]:
        """Return arrays in host memory; waits once, for all of them."""

    def fetching(self, *arrays: Any) -> Steps[tuple[NDArray[Any], ...]]:
        """Return ``fetched`` as steps."""
        found = yield arrays
        return found

    def together(self, *steps: Steps[Any]) -> list[Any]:
        """Return what each of some verbs comes to, which have begun: one wait serves all of them.

        A verb that has to know how much there is before it can go on waits for the device. Its form
        ``begin_...`` asks for arrays in host memory instead, and goes on when it is given them.
        """
        found: list[Any] = [None] * len(steps)
        given: dict[int, Any] = dict.fromkeys(range(len(steps)))
        while given:
            asked: dict[int, tuple[Any, ...]] = {}
            for i, values in given.items():
                try:
                    asked[i] = steps[i].send(values)
                except StopIteration as end:
                    found[i] = end.value
            if not asked:
                break
            arrays = iter(self.fetched(*(array for some in asked.values() for array in some)))
            given = {i: tuple(next(arrays) for _ in some) for i, some in asked.items()}
        return found

    @abstractmethod
    def sparse(self) -> tuple[Any, Any]:
        """Return the modules scipy.sparse and scipy.sparse.linalg for the backend's arrays."""

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
        """Return ``seeds`` without spurs: ``prune`` of them, by a backend that can in one go."""
        return self.prune(self.seeds(classes, count, elements, passes), length)

    @abstractmethod
    def majority(self, labels: Classes, band: Band, size: int) -> Classes:
        """Return the most frequent label of the (size, size) window around each pixel: (n,).

        The border repeats its pixels; size is odd. The pixel's own label wins a tie, else the
        smallest. Walls have no vote; no pixel of the band is one.
        """

    @abstractmethod
    def histogram(self, values: Classes, count: int) -> NDArray[np.int64]:
        """Return how often each of 0..count-1 occurs, in host memory; no value is larger."""

    @abstractmethod
    def mark_present(self, values: Classes, found: NDArray[np.uint8]) -> None:
        """Set found[v] = 1 for each value v that occurs; no value is len(found) or larger."""

    # What input is checked with (``core.values`` has the same for NumPy's arrays). A stack is what
    # a network says of K classes, (outer, K, inner) for outer times inner pixels, contiguous:
    # uint8, uint16, float16, float32 or float64. Sums of floats are good to the last bit of theirs,
    # float32 for float16, those of integers exact.

    @abstractmethod
    def extremes(self, values: NDArray[Any]) -> tuple[Any, Any]:
        """Return the least and the greatest value as Python's numbers; may wait for them.

        values: float32, float64, or integers of 32 or 64 bits. NaN twice if one is not finite.
        """

    @abstractmethod
    def stack_extremes(self, stack: NDArray[Any]) -> StackExtremes:
        """Return the extremes of a stack's values, and of their sums over the classes; may wait.

        Those of the values are NaN if one is not finite.
        """

    @abstractmethod
    def shares(
        self, stack: NDArray[Any], softmax: bool, out: NDArray[np.float32], first: int
    ) -> None:
        """Set out[k, first + p] to the share of class k at pixel p: v_k / sum_j v_j, or softmax.

        out is (K, pixels). It may be the stack itself if that is (1, K, pixels) of float32. Errors
        are those of float32: 2e-7 of a share, and for softmax 6e-8 of the difference of two values
        more; what is below exp(-87) of the largest is 0.
        """

    @abstractmethod
    def occurring(self, labels: NDArray[Any], low: int, span: int) -> NDArray[np.bool_]:
        """Return which of the labels low .. low + span - 1 occur, in host memory; all are there.

        labels: integers or bools, contiguous.
        """

    @abstractmethod
    def recoded(self, labels: NDArray[Any], low: int, table: NDArray[Any]) -> NDArray[Any]:
        """Return table[labels - low]; the table is uint8, uint16 or uint32 in host memory."""

    # A window of the enlarged map, from a part of the coarse map that has all it needs, is the same
    # to the last bit as it would be from the whole: `Placement` says where both lie.

    @abstractmethod
    def upsample_labels(self, coarse: Classes, place: Placement) -> Classes:
        """Return a window, of a part enlarged by nearest neighbour.

        Row i of the picture takes row floor((i + 1/2) h / H) of the coarse map.
        """

    @abstractmethod
    def upsample_argmax(
        self, planes: NDArray[np.float32], place: Placement, interpolation: str
    ) -> Classes:
        """Return in a window the first largest of K planes of a part, interpolated."""

    @abstractmethod
    def upsample_classes(self, coarse: Classes, place: Placement, interpolation: str) -> Classes:
        """Return in a window the class whose plane is the largest when it is interpolated.

        The plane of a class is 1 where a pixel of the part has it, else 0: this is
        ``upsample_argmax`` of the planes of all classes, the lowest of which wins a tie.
        """

    @abstractmethod
    def sample_planes(
        self,
        planes: NDArray[np.float32],
        place: Placement,
        pixels: NDArray[np.int64],
        interpolation: str,
    ) -> NDArray[np.float64]:
        """Return K planes of a part, interpolated at some pixels of a window: (n, K).

        pixels are flat indices in the window.
        """

    @abstractmethod
    def standard_deviation(self, values: NDArray[Any]) -> float:
        """Return the standard deviation of all values, in their own units, summed in float64."""

    # Cells: squares of `cell` x `cell` pixels from the top left corner, those of the last row and
    # column cut off by the border: (gh, gw) = (ceil(H / cell), ceil(W / cell)).

    @abstractmethod
    def cell_moments(
        self, image: NDArray[Any], cell: int, center: NDArray[np.float64], scale: float
    ) -> NDArray[np.float32]:
        """Return for each cell the sums over its pixels of 1, x_i and x_i x_j: (gh, gw, M).

        image is (H, W, C) with 1 to 16 channels, x = (image - center) scale, but nothing farther
        out than 30, whose square would drown the variances. The M = (C + 1)(C + 2)
        / 2 sums are 1, then x_0 .. x_C-1, then the products (0, 0), (0, 1) .. (0, C-1), (1, 1) ..
        x is computed in float64 and rounded to float32. The rest is float32, one pixel after the
        other, row by row within the cell: all backends return the same bits.
        """

    @abstractmethod
    def channel_means(self, image: NDArray[Any]) -> NDArray[np.float64]:
        """Return the mean of each channel of (H, W, C), summed in float64: (C,) in host memory."""

    def spread(self, image: NDArray[Any]) -> tuple[NDArray[np.float64], float]:
        """Return ``channel_means`` and ``standard_deviation`` of (H, W, C)."""
        return self.channel_means(image), self.standard_deviation(image)

    @abstractmethod
    def cell_labels(self, labels: Classes, cell: int) -> Classes:
        """Return the most frequent class of each cell, (gh, gw); the lowest wins a tie."""

    @abstractmethod
    def rival_distances(self, cells: Classes, reach: int) -> tuple[NDArray[np.float32], Classes]:
        """Return how far the nearest entry of another class is, and which class that is.

        cells is (gh, gw), its sides shorter than 2^22. Distances are Euclidean, between the centres
        of entries that are 1 apart; the lowest of equally near classes is the rival. What is
        farther than `reach` does not count. Where nothing does: inf, and the entry's own class.
        """

    @abstractmethod
    def certainty(
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
    def says(
        self, band: Band, seeds: NDArray[Any], places: Places, evidence: Evidence | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return which labels have a say at which places: (places, labels) in host memory.

        A label has one where one of its seeds adjoins a pixel of the place, or where the evidence
        of such a pixel has it. Ascending by place and label, each pair once. Runs whose first place
        is negative do not count.
        """

    def reached(
        self, band: Band, seeds: NDArray[Any], evidence: Evidence | None
    ) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
        """Return the components, and by ``says`` who has a say in them, both in host memory.

        That is how many labels each component has, and these, one component after the other.
        """
        component = self.components(band)
        place, label = self.says(band, seeds, Places(component, EVERYWHERE), evidence)
        return component, np.bincount(place, minlength=component_count(component)), label

    @abstractmethod
    def nearby_classes(
        self, maps: tuple[Classes, ...], count: int, cell: int, group: int
    ) -> Nearby:
        """Return the classes for which windows of group x group cells need a model.

        maps are (gh, gw) classes of cells, of `cell` pixels. A window needs those of all cells that
        are around a pixel which looks at it: less than a window's side away from its centre, and
        cells less than a cell's side away from the pixel, along both axes.
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
        group: int,
        area: float,
        nearby: Nearby,
        radii: tuple[int, ...],
        prior: float,
        ridge: float,
    ) -> NDArray[np.float32]:
        """Return the model of each entry of `nearby`, a class in a window: (entries, M).

        A window is group x group cells and `area` pixels; m is the sum of moments, weight over its
        cells with own == k, by its area. Starting from the whole picture's colours, which are
        standardised (mean 0, covariance I), the estimate becomes
        (smooth(m) + prior estimate) / (smooth(m)_0 + prior) for the radii from the last to the
        first: where the window has little of the class, wider ones speak. For the last radius the
        prior is only START_SHARE of it: what the widest windows know of a class, however little,
        is worth more than the whole picture. smooth is three times the mean of 2 radius + 1
        windows along rows and then along columns, 0 where there are no cells. The covariance gets
        ridge I.

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
        center: NDArray[np.float64],
        scale: float,
        models: ColourModels,
        weight: float,
        maps: tuple[NearestMap, ...],
        cell: int,
        unit: float,
        network: Network | None,
        kept: int,
    ) -> Evidence:
        """Return the softmax of the scores of the likeliest classes at each pixel of a band.

        The band and the image are of a window whose first pixel is pixel `origin` (row, column) of
        the grids of cells and windows; these begin at the same pixel, and models.size is a multiple
        of `cell`. The window of network.place is the image.

        score_k = weight log N_k(x) + 1/2 sum over maps of what the distance counts + network, with
        x as in ``cell_moments``. Models and distances are interpolated between the centres of
        windows and cells; distances are in units of `unit` pixels. Considered are the first 8 of
        the own and rival classes of the cells around the pixel. A class that is neither lies one
        cell beyond the boundary. A class without a model in one of the windows has the score -1e9;
        shares below 1e-3 are left out.
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
        """Add gamma times the share of its label at the pixel's place to each entry of columns b.

        labels (rows, m) as in ``assemble``; pixel i has the evidence of row position[i], or row i.
        """

    @abstractmethod
    def assemble(
        self,
        band: Band,
        features: NDArray[Any],
        rule: str,
        strength: float,
        seeds: NDArray[Any],
        labels: NDArray[Any],
        places: Places,
        gamma: float,
    ) -> tuple[Edges, NDArray[Any]]:
        """Return A = L_UU + gamma I, and -L_US m as columns.

        features is (H, W, C). Rule "intensity": w_ij = exp(-strength sum_c (I_i - I_j)^2) + 1e-10;
        rule "boundary": w_ij = exp(-strength sum_c (g_i + g_j)^2) + 1e-10. Entry i of column j is
        the sum of the weights of the edges from pixel i to seeds with the label of column j at the
        pixel's place, labels[place, j]; labels (rows, m) are of the seeds' dtype, 0 for none, and
        no other twice in a row.
        """

    @abstractmethod
    def laplacian(self, band: Band, edges: Edges) -> CsrMatrix:
        """Return A in compressed sparse rows."""

    @abstractmethod
    def excess(self, edges: Edges) -> NDArray[np.float64]:
        """Return A 1, (n,): summing the rows of A would cancel what hangs on edges of 1e-10."""

    @abstractmethod
    def reduce(self, band: Band, edges: Edges) -> Level:
        """Return S = A_bb - A_br A_rr^-1 A_rb, on the black pixels: those with even x + y."""

    @abstractmethod
    def reduce_columns(
        self, band: Band, edges: Edges, level: Level, b: NDArray[Any]
    ) -> NDArray[Any]:
        """Return b_b - A_br A_rr^-1 b_r for each column of b."""

    @abstractmethod
    def expand(
        self, band: Band, edges: Edges, level: Level, x: NDArray[Any], b: NDArray[Any]
    ) -> NDArray[Any]:
        """Return the columns x at black pixels, A_rr^-1 (b_r - A_rb x) at red ones; b may go."""

    # Columns are (m, ...) arrays of a backend's own layout; `body` shows their entries.

    @abstractmethod
    def zeros(self, size: int, columns: int, dtype: Any = np.float32) -> NDArray[Any]:
        """Return columns of so many entries, all 0."""

    @abstractmethod
    def body(self, columns: NDArray[Any]) -> NDArray[Any]:
        """Return a view of the entries of columns: (m, n)."""

    @abstractmethod
    def diagonal(self, level: Level) -> NDArray[Any]:
        """Return the diagonal (n,)."""

    @abstractmethod
    def row_sums(self, level: Level) -> NDArray[Any]:
        """Return A 1, (n,)."""

    @abstractmethod
    def dominance(self, level: Level) -> float:
        """Return min (A 1)_i / a_ii, 1 of a matrix without rows."""

    @abstractmethod
    def inverse(self, level: Level) -> NDArray[np.float64]:
        """Return A^-1 of a small level, dense, (n, n)."""

    @abstractmethod
    def coarsen(self, level: Level) -> tuple[NDArray[np.int32], Level]:
        """Return the aggregate of each entry, -1 for none, and the coarse matrix.

        It is P^T A P, where P repeats the value of an aggregate at its entries, with the weights w
        between aggregates a, b (and to seeds) reduced to w max(0.6, 1 / (1 + 0.2 w (R_a + R_b))),
        R the number of an aggregate's entries less one by the sum of the weights within it. Left
        out are entries that the smoother alone can handle: their row sum dominates.
        """

    @abstractmethod
    def submatrix(self, level: Level, chosen: NDArray[np.int64]) -> CsrMatrix:
        """Return some rows and the same columns of the matrix, by ascending number, on the host."""

    @abstractmethod
    def residual(
        self, level: Level, b: NDArray[Any], x: NDArray[np.float64], out: NDArray[Any]
    ) -> None:
        """Set out = b - A x, computed in float64."""

    @abstractmethod
    def refresh(
        self, level: Level, b: NDArray[Any], x: NDArray[np.float64], r: NDArray[Any]
    ) -> NDArray[np.float64]:
        """Set r = b - A x, computed in float64; return three numbers for each column, (3, m).

        r . r before and after, and max_i abs(r_i) / a_ii, NaN if there is one; in host memory.
        """

    @abstractmethod
    def conjugate(
        self,
        level: Level,
        z: NDArray[Any],
        q: NDArray[Any],
        energy: NDArray[np.float64],
        p: NDArray[Any],
    ) -> None:
        """Set p = z - (z . q / energy) p for each column: conjugate to the p before.

        q = A p and energy = p . q are those of the last step; where energy is not above 0, p = z.
        """

    @abstractmethod
    def step(
        self,
        level: Level,
        p: NDArray[Any],
        q: NDArray[Any],
        energy: NDArray[np.float64],
        x: NDArray[np.float64],
        r: NDArray[Any],
    ) -> None:
        """Set q = A p and energy = p . q, (m,); then x += a p and r -= a q with a = p . r / energy.

        For each column, with sums in float64; a is 0 where energy is not above 0: x is exact there.
        """

    # What a proof asks of a level; `mask`, (n,) of bool, has the rows of clusters.

    @abstractmethod
    def lagging(self, level: Level, r: NDArray[Any], least: float, mask: NDArray[np.bool_]) -> int:
        """Set mask to where the one column r exceeds least a_ii; return how often it does."""

    @abstractmethod
    def doubtful(
        self,
        level: Level,
        v: NDArray[np.float64],
        longest: float,
        least: float,
        mask: NDArray[np.bool_],
    ) -> tuple[int, float]:
        """Add rows to mask where v_i is not in (0, longest], or (A v)_i < least a_ii.

        v is one column. Returns how many rows the mask has then, and the largest v_i: NaN if there
        is one, 0 if none is above.
        """

    @abstractmethod
    def factor(
        self,
        level: Level,
        v: NDArray[np.float64],
        w: NDArray[np.float64],
        r: NDArray[Any],
        mask: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        """Return the least c >= 0 with c (A v)_i >= max_j abs(r_ij) - (A w)_i outside the mask.

        (1,), where the level is. Infinity if (A v)_i is not above 0 somewhere; NaN if anything is.
        """

    @abstractmethod
    def bound(
        self,
        level: Level,
        v: NDArray[np.float64],
        w: NDArray[np.float64],
        r: NDArray[Any],
        factor: float,
    ) -> tuple[NDArray[np.float64], float] | None:
        """Return c v + w within [0, 1], (n,), with c = factor, and the largest of these.

        None unless c (A v)_i + (A w)_i >= max_j abs(r_ij) everywhere: then it bounds nothing.
        """

    @abstractmethod
    def relax(self, level: Level, r: NDArray[Any], out: NDArray[Any]) -> None:
        """Set out = D^-1 r, D the diagonal."""

    @abstractmethod
    def descend(
        self,
        level: Level,
        aggregate: NDArray[np.int32],
        r: NDArray[Any],
        x: NDArray[Any],
        coarse: NDArray[Any],
    ) -> None:
        """Set x = 0.8 D^-1 r and coarse = P^T (r - A x)."""

    @abstractmethod
    def ascend(
        self,
        level: Level,
        aggregate: NDArray[np.int32],
        r: NDArray[Any],
        coarse: NDArray[Any],
        x: NDArray[Any],
        out: NDArray[Any],
    ) -> None:
        """Set out = y + 0.8 D^-1 (r - A y), y = x + P coarse; x may go."""

    def small_cycle(
        self,
        levels: Sequence[Level],
        aggregates: Sequence[NDArray[np.int32]],
        inverse: NDArray[np.float64],
        work: Sequence[Work],
    ) -> SmallCycle | None:
        """Return one call for all of a V-cycle's small levels, None where that gains nothing.

        levels: those below the finest, the last with its inverse; aggregates: of all but the last.
        """
        return None

    @abstractmethod
    def multiply(self, matrix: NDArray[np.float64], r: NDArray[Any], out: NDArray[Any]) -> None:
        """Set out = M r of each column, M dense, (n, n) and small."""

    @abstractmethod
    def largest(self, level: Level, x: NDArray[Any]) -> float:
        """Return max abs(x) over all columns of a level, NaN if there is one; 0 of none."""

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
