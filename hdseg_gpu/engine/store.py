"""What the tasks ask of a picture: its arrays, whether they are in memory or on disk.

Arrays that a task is given belong to it: it may overwrite them. In memory they may be the
whole-picture arrays themselves, as there is one tile then, and one task at a time.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.classes import Classes
from hdseg_gpu.core.params import Coarse, CoarseSummary, ImageStatistics, Params
from hdseg_gpu.core.tiles import TileGrid
from hdseg_gpu.core.windows import GridMapping, Shape, Window
from hdseg_gpu.engine.steps import Seeds
from hdseg_gpu.ops import Band, Nearby, Ops, Steps
from hdseg_gpu.pipeline.evidence import EvidenceContext
from hdseg_gpu.pipeline.rounds import Lengths

Result = dict[str, Any]  # of a task: plain values
Task = Callable[..., Result]  # of a store, the stages it is timed by, an index, and what else


class Sample(NamedTuple):
    """A window in which the coarse map is compared with the colours."""

    window: Window
    patches: list[int]  # of the picture, in which pixels count; none of them: chosen later


class Store(Protocol):
    """A picture, its coarse map, and what the steps have found so far."""

    @property
    def ops(self) -> Ops:
        """Return the backend."""

    @property
    def params(self) -> Params:
        """Return the options, complete."""

    @property
    def lengths(self) -> Lengths:
        """Return what lengths are measured in."""

    @property
    def shape(self) -> Shape:
        """Return (H, W)."""

    @property
    def coarse(self) -> Coarse | CoarseSummary:
        """Return the coarse map, or what is known without its values: see ``coarse_at``."""

    @property
    def statistics(self) -> ImageStatistics:
        """Return the statistics of the picture, once they are known."""

    @property
    def sigma(self) -> float | None:
        """Return the standard deviation of what edges are taken from, where the caller knows it."""

    @property
    def skip(self) -> bool:
        """Return whether tiles whose pixels cannot be read are left as they are."""

    @property
    def wants_probabilities(self) -> bool:
        """Return whether the probabilities of all classes are to be kept."""

    # ---- how the picture is divided ------------------------------------------------------------

    @property
    def tiles(self) -> TileGrid:
        """Return the tiles that are redrawn and solved."""

    @property
    def seed_tiles(self) -> TileGrid:
        """Return the tiles in which seeds are found: whole cells."""

    @property
    def block(self) -> int:
        """Return the side of the blocks in which a tile is solved."""

    @property
    def pooled(self) -> int:
        """Return the side of the blocks whose statistics are added up."""

    def unknown_of(self, results: dict[int, Result]) -> NDArray[np.int64]:
        """Return the unknown pixels of each part of the picture that is counted by."""

    def chosen_tiles(self, unknown: NDArray[np.int64]) -> list[int]:
        """Return the tiles with unknown pixels."""

    def chosen_samples(self, step: Seeds, unknown: NDArray[np.int64]) -> list[Sample]:
        """Return where the coarse map is compared with the colours."""

    # ---- input -----------------------------------------------------------------------------------

    def pixels(self, window: Window) -> NDArray[Any]:
        """Return the image in a window, (h, w, C)."""

    def edges(self, window: Window) -> NDArray[Any] | None:
        """Return the boundary map in a window, (h, w, 1); None if the image's edges count."""

    @property
    def edges_of_image(self) -> bool:
        """Return whether edges are the image's."""

    @property
    def edge_dtype(self) -> np.dtype[Any]:
        """Return the type of what edges are taken from."""

    def here(self) -> AbstractContextManager[None]:
        """Return a context in which ops of the backend may be called outside tasks."""

    def drawn(self) -> Iterator[Classes]:
        """Yield the network's classes on its own grid, in strips as ``detail_of`` takes them."""

    def coarse_at(self, window: Window) -> tuple[Coarse, GridMapping]:
        """Return the part of the coarse map that a window needs, in arrays of the backend."""

    # ---- what the steps have found ---------------------------------------------------------------

    def classes(self, redrawn: int, window: Window) -> Classes:
        """Return the classes in a window, redrawn so often."""

    def seeds(self, step: Seeds, window: Window, classes: Classes | None = None) -> Classes:
        """Return the seeds in a window; classes: those there, if they are at hand."""

    def band(self, window: Window, seeds: Classes) -> Band:
        """Return the band of the seeds in a window."""

    def sample(self, window: Window, seeds: Classes, patches: list[int]) -> Band:
        """Return the band of the seeds in a window, in the patches of a sample."""

    def context(self, step: Seeds, window: Window) -> EvidenceContext:
        """Return what the evidence in a window depends on."""

    @property
    def nearby(self) -> Nearby | None:
        """Return where the next step needs which colour models, if that is known."""

    def unrefined(self, window: Window) -> Classes:
        """Return labels as the coarse map has them."""

    def require_memory(self, pixels: int, unknown: int) -> None:
        """Raise InvalidInput if a window of so many pixels takes too much memory."""

    # ---- what a task has found: each returns the names of the planes it wrote --------------------

    def keep_cells(self, step: Seeds, index: int, classes: Classes) -> list[str]:
        """Keep the classes of the cells of a seed tile, if they are new."""

    def keep_seeds(
        self, step: Seeds, index: int, seeds: Classes, *asked: Steps[Any]
    ) -> tuple[Result, list[Any]]:
        """Keep the seeds of a seed tile; return what is unknown there, and what was asked."""

    def keep_classes(self, redrawn: int, index: int, classes: Classes) -> list[str]:
        """Keep the redrawn classes of a tile."""

    def keep_labels(self, index: int, labels: Classes) -> list[str]:
        """Keep the labels of a tile: class index + 1, or a wall."""

    def keep_probabilities(self, window: Window, values: NDArray[np.float32]) -> None:
        """Keep the probabilities of a block, (K, h, w)."""
