"""The interface between tasks and the arrays of an image, in memory or on disk.

A task may overwrite any array that a store returns. A store in memory may return its whole-image
arrays themselves, since it has one tile and runs one task at a time.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.classes import Classes
from hdseg_gpu.core.params import Coarse, CoarseSummary, ImageStatistics, Params
from hdseg_gpu.core.report import Stages
from hdseg_gpu.core.tiles import TileGrid
from hdseg_gpu.core.windows import GridMapping, Shape, Window
from hdseg_gpu.engine.steps import Seeds
from hdseg_gpu.ops import Band, Nearby, Ops, Steps
from hdseg_gpu.pipeline.evidence import EvidenceContext
from hdseg_gpu.pipeline.rounds import Lengths

T = TypeVar("T")
Result = dict[str, Any]  # the plain values that a task returns
Task = Callable[..., Result]  # (store, stages for timing, index, more arguments)


class Sample(NamedTuple):
    """A window in which the coarse map is compared with the colours."""

    window: Window
    patches: list[int]  # patches of the image whose pixels count; if empty, chosen later


class Store(Protocol):
    """An image, its coarse map, and the results of the steps so far."""

    @property
    def ops(self) -> Ops:
        """Return the backend."""

    @property
    def params(self) -> Params:
        """Return the options, with all defaults filled in."""

    @property
    def lengths(self) -> Lengths:
        """Return the units of lengths."""

    @property
    def shape(self) -> Shape:
        """Return (H, W)."""

    @property
    def coarse(self) -> Coarse | CoarseSummary:
        """Return the coarse map, or what is known without its values: see ``coarse_at``."""

    @property
    def statistics(self) -> ImageStatistics:
        """Return the statistics of the image; not before they are computed."""

    @property
    def sigma(self) -> float | None:
        """Return the image's (or boundary map's) standard deviation, if the caller passed it."""

    @property
    def skip(self) -> bool:
        """Return whether tiles whose pixels cannot be read get the coarse map's labels."""

    @property
    def wants_probabilities(self) -> bool:
        """Return whether to keep the probabilities of all classes."""

    # ---- how the image is divided --------------------------------------------------------------

    @property
    def tiles(self) -> TileGrid:
        """Return the tiles that are redrawn and solved."""

    @property
    def seed_tiles(self) -> TileGrid:
        """Return the tiles in which seeds are computed; they consist of whole cells."""

    @property
    def block(self) -> int:
        """Return the side of the blocks in which a tile is solved."""

    @property
    def pooled(self) -> int:
        """Return the side of the blocks whose statistics are computed separately, then combined."""

    def unknown_of(self, results: dict[int, Result]) -> NDArray[np.int64]:
        """Return the number of unknown pixels in each patch, or in the whole image, (1,)."""

    def chosen_tiles(self, unknown: NDArray[np.int64]) -> list[int]:
        """Return the tiles with unknown pixels."""

    def chosen_samples(self, step: Seeds, unknown: NDArray[np.int64]) -> list[Sample]:
        """Return the windows in which the coarse map is compared with the colours."""

    # ---- input -----------------------------------------------------------------------------------

    def pixels(self, window: Window) -> NDArray[Any]:
        """Return the image in a window, (h, w, C)."""

    def edges(self, window: Window) -> NDArray[Any] | None:
        """Return the boundary map in a window, (h, w, 1); None if edges come from the image."""

    @property
    def edges_of_image(self) -> bool:
        """Return whether edge weights come from the image."""

    @property
    def edge_dtype(self) -> np.dtype[Any]:
        """Return the dtype of the image, or of the boundary map if there is one."""

    def within(self, function: Callable[[Self], T], stages: Stages) -> T:
        """Return `function` of this store, called where ops of the backend may be called.

        On the host if the device has too little memory and another backend may take its place;
        `stages` gets the reason. Tasks are called like this already.
        """

    def drawn(self) -> Iterator[Classes]:
        """Yield the network's classes on its own grid, in strips as ``detail_of`` takes them."""

    def coarse_at(self, window: Window) -> tuple[Coarse, GridMapping]:
        """Return the part of the coarse map that a window needs, in arrays of the backend."""

    # ---- results of the steps --------------------------------------------------------------------

    def classes(self, redrawn: int, window: Window) -> Classes:
        """Return the classes in a window, as redrawn `redrawn` times."""

    def seeds(self, step: Seeds, window: Window, classes: Classes | None = None) -> Classes:
        """Return the seeds in a window; classes: those of the window, if already loaded."""

    def band(self, window: Window, seeds: Classes) -> Band:
        """Return the band of the seeds in a window."""

    def sample(self, window: Window, seeds: Classes, patches: list[int]) -> Band:
        """Return the band of the seeds in a window, restricted to the patches of a sample."""

    def context(self, step: Seeds, window: Window) -> EvidenceContext:
        """Return the context of the evidence in a window."""

    @property
    def nearby(self) -> Nearby | None:
        """Return which classes need a colour model where in the next step, None if unknown."""

    def unrefined(self, window: Window) -> Classes:
        """Return the coarse map's labels in a window: class index + 1, or a wall."""

    def require_memory(self, pixels: int, unknown: int) -> None:
        """Raise InvalidInput if solving a window of this size needs too much memory."""

    # ---- results of a task: each method returns the names of the planes it wrote -----------------

    def keep_cells(self, step: Seeds, index: int, classes: Classes) -> list[str]:
        """Keep the classes of the cells of a seed tile, if they have changed."""

    def keep_seeds(
        self, step: Seeds, index: int, seeds: Classes, *asked: Steps[Any]
    ) -> tuple[Result, list[Any]]:
        """Keep the seeds of a seed tile; return its unknown pixels, and the results of `asked`."""

    def keep_classes(self, redrawn: int, index: int, classes: Classes) -> list[str]:
        """Keep the redrawn classes of a tile."""

    def keep_labels(self, index: int, labels: Classes) -> list[str]:
        """Keep the labels of a tile: class index + 1, or a wall."""

    def keep_probabilities(self, window: Window, values: NDArray[np.float32]) -> None:
        """Keep the probabilities of a block, (K, h, w)."""
