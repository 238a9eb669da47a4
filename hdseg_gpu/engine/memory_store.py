"""The store of an image in memory: a single tile, in arrays of a backend.

A step may overwrite the results of the previous one. Values fetched from a device are requested
together, to wait only once.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.classes import Classes
from hdseg_gpu.core.params import Coarse, ImageStatistics, Params
from hdseg_gpu.core.report import Stages
from hdseg_gpu.core.tiles import BLOCK, TileGrid
from hdseg_gpu.core.windows import GridMapping, Window, all_of, cut, whole
from hdseg_gpu.engine.steps import Seeds
from hdseg_gpu.engine.store import Result, Sample, T
from hdseg_gpu.ops import Band, Nearby, Ops, Steps
from hdseg_gpu.pipeline.block import halo_of
from hdseg_gpu.pipeline.colours import colours_of
from hdseg_gpu.pipeline.doubt import drawn_grid, labels_at_scale, sampled
from hdseg_gpu.pipeline.evidence import EvidenceContext, cells_of, ignored_cells
from hdseg_gpu.pipeline.rounds import lengths_of
from hdseg_gpu.pipeline.upsample import upsample


class MemoryStore:
    """A whole image, in arrays of the backend; see ``store.Store`` for the methods."""

    skip, sigma = False, None

    def __init__(
        self,
        ops: Ops,
        image: NDArray[Any],
        edges: NDArray[Any] | None,
        coarse: Coarse,
        params: Params,
        *,
        with_probabilities: bool = False,
    ) -> None:
        """image: (H, W, C); edges: boundary map (H, W, 1), or None; coarse: on the backend."""
        self.ops, self.params, self.coarse = ops, params, coarse
        self.shape = int(image.shape[0]), int(image.shape[1])
        self.lengths = lengths_of(params, self.shape)
        side = max(self.shape)
        self.tiles = self.seed_tiles = TileGrid(self.shape, side)
        self.pooled = side if ops.solves_whole else BLOCK
        # If no halo is wide enough, the image is solved as a whole.
        self.block = self.pooled if halo_of(params.gamma) is not None else side
        self.wants_probabilities = with_probabilities
        self.labels: Classes | None = None  # class index + 1, or a wall
        self.probabilities: NDArray[np.float32] | None = None  # (K, H, W)
        self.nearby: Nearby | None = None
        self._image, self._edges = image, edges
        self._place = all_of(self.shape, coarse.shape)
        self._statistics: ImageStatistics | None = None
        self._classes: Classes | None = None
        self._seeds: Classes | None = None
        self._band: Band | None = None
        self._context: EvidenceContext | None = None

    @property
    def statistics(self) -> ImageStatistics:
        """Return the statistics of the image."""
        assert self._statistics is not None
        return self._statistics

    @statistics.setter
    def statistics(self, found: ImageStatistics) -> None:
        self._statistics = found

    def unknown_of(self, results: dict[int, Result]) -> NDArray[np.int64]:
        """Return the number of unknown pixels, (1,)."""
        return np.array(results[0]["unknown"], np.int64)

    def chosen_tiles(self, unknown: NDArray[np.int64]) -> list[int]:
        """Return the only tile."""
        return [0]

    def chosen_samples(self, step: Seeds, unknown: NDArray[np.int64]) -> list[Sample]:
        """Return the whole image; ``sample`` selects patches if there are too many pixels."""
        return [Sample(whole(self.shape), [])]

    def within(self, function: Callable[["MemoryStore"], T], stages: Stages) -> T:
        """Return `function` of this store: the caller is already in the backend's context."""
        return function(self)

    def pixels(self, window: Window) -> NDArray[Any]:
        """Return the image in a window."""
        return self._cut(self._image, window)

    def edges(self, window: Window) -> NDArray[Any] | None:
        """Return the boundary map in a window."""
        return None if self._edges is None else self._cut(self._edges, window)

    def _cut(self, array: NDArray[Any], window: Window) -> NDArray[Any]:
        part: NDArray[Any] = cut(self.ops.xp, array, window, whole(self.shape))
        return part

    @property
    def edges_of_image(self) -> bool:
        """Return whether edge weights come from the image."""
        return self._edges is None

    @property
    def edge_dtype(self) -> np.dtype[Any]:
        """Return the dtype of the image, or of the boundary map if there is one."""
        dtype: np.dtype[Any] = (self._image if self._edges is None else self._edges).dtype
        return dtype

    def drawn(self) -> Iterator[Classes]:
        """Yield the network's classes on its own grid."""
        grid = drawn_grid(self.coarse.summary, self.shape, self.params.scale)
        yield labels_at_scale(self.ops, lambda _: self.coarse, all_of(grid, self.coarse.shape))

    def coarse_at(self, window: Window) -> tuple[Coarse, GridMapping]:
        """Return all of the coarse map."""
        return self.coarse, self._place._replace(window=window)

    def classes(self, redrawn: int, window: Window) -> Classes:
        """Return the classes."""
        if self._classes is None:
            self._classes = upsample(self.ops, self.coarse, self._place, self.params)
        return self._cut(self._classes, window)

    def seeds(self, step: Seeds, window: Window, classes: Classes | None = None) -> Classes:
        """Return the seeds."""
        assert self._seeds is not None
        return self._cut(self._seeds, window)

    def band(self, window: Window, seeds: Classes) -> Band:
        """Return the band of the seeds, computed with them."""
        assert self._band is not None
        return self._band

    def sample(self, window: Window, seeds: Classes, patches: list[int]) -> Band:
        """Return a part of the band, spread over the image."""
        return sampled(self.ops, seeds, self.band(window, seeds))

    def context(self, step: Seeds, window: Window) -> EvidenceContext:
        """Return the context of the whole image."""
        assert self._context is not None
        return self._context

    def unrefined(self, window: Window) -> Classes:
        """Never called: an image in memory can always be read."""
        raise AssertionError

    def require_memory(self, pixels: int, unknown: int) -> None:
        """Do nothing: an allocation that fails raises by itself."""

    def keep_cells(self, step: Seeds, index: int, classes: Classes) -> list[str]:
        """Keep the cells of the coarse map, or those of the last round."""
        if not step.fresh:
            return []
        ops, lengths = self.ops, self.lengths
        cells = cells_of(ops, ops.cell_labels(classes, lengths.cell), lengths)
        if self._context is not None:
            self._context = replace(self._context, redrawn=cells)
            return []
        self._context = EvidenceContext(
            ops, self.params, lengths, self.coarse, self._place, self._image,
            colours_of(ops, self._image, self.statistics, lengths.cell), cells,
            ignored_cells(ops, self.coarse, self._place, lengths),
        )  # fmt: skip
        return []

    def keep_seeds(
        self, step: Seeds, index: int, seeds: Classes, *asked: Steps[Any]
    ) -> tuple[Result, list[Any]]:
        """Keep the seeds with their band; drop the classes before the walker, which needs none."""
        ops, more = self.ops, list(asked)
        if step.look is not None:
            assert self._context is not None
            more.append(self._context.begin_nearby(step.look))
        self._band, *found = ops.together(ops.begin_band(seeds), *more)
        self.nearby = found.pop() if step.look is not None else None
        self._seeds = seeds
        if step.last:
            self._classes, self.labels = None, seeds
        return {"unknown": [self._band.size], "planes": []}, found

    def keep_classes(self, redrawn: int, index: int, classes: Classes) -> list[str]:
        """Keep the redrawn classes, which were written into the old array."""
        self._classes = classes
        return []

    def keep_labels(self, index: int, labels: Classes) -> list[str]:
        """Keep the labels."""
        self.labels = labels
        return []

    def keep_probabilities(self, window: Window, values: NDArray[np.float32]) -> None:
        """Keep the probabilities of a block."""
        if window == whole(self.shape):
            self.probabilities = values
            return
        if self.probabilities is None:
            shape = (self.coarse.count, *self.shape)
            self.probabilities = self.ops.xp.zeros(shape, np.float32)
        rows, columns = window.slices
        self.probabilities[:, rows, columns] = values
