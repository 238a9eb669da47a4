"""The store of an image in a file: it is sent to workers as plain values and paths.

The results of the steps are planes in the workspace, one file per tile.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu import backends
from hdseg_gpu.core import validate
from hdseg_gpu.core.classes import Classes, class_dtype
from hdseg_gpu.core.errors import OutOfDeviceMemory, Unfinished
from hdseg_gpu.core.params import Coarse, CoarseSummary, ImageStatistics, Params
from hdseg_gpu.core.report import Stages
from hdseg_gpu.core.tiles import BLOCK, TileGrid
from hdseg_gpu.core.windows import GridMapping, Shape, Window, between, placed
from hdseg_gpu.engine.budget import SEED_TILE, Plan
from hdseg_gpu.engine.kept_coarse import kept_coarse
from hdseg_gpu.engine.planes import layout_of
from hdseg_gpu.engine.steps import Seeds
from hdseg_gpu.engine.store import Result, Sample, T, Task
from hdseg_gpu.engine.workspace import Workspace, resumable
from hdseg_gpu.io.inputs import (
    Input,
    check_going_on,
    check_unchanged,
    reading,
    source_of,
)
from hdseg_gpu.io.parts import parts_of
from hdseg_gpu.io.plane import Plane
from hdseg_gpu.ops import Band, Ops, Steps
from hdseg_gpu.pipeline.colours import colours_of, windows_for
from hdseg_gpu.pipeline.doubt import (
    OVERLAP,
    around,
    band_in,
    drawn_grid,
    grouped,
    in_squares,
    labels_at_scale,
    patches_of,
    sample,
    unknown_in_patches,
)
from hdseg_gpu.pipeline.evidence import (
    Cells,
    EvidenceContext,
    cells_of,
    ignored_cells,
    on_backend,
    part_of,
)
from hdseg_gpu.pipeline.ignored import put_walls
from hdseg_gpu.pipeline.rounds import Lengths, lengths_of
from hdseg_gpu.pipeline.upsample import upsample

_STRIP = 1 << 22  # classes per strip in which the detail of the coarse map is measured


@dataclass(frozen=True, kw_only=True)
class DiskStore:
    """A run from file to file; see ``store.Store`` for the methods that are not described here."""

    ops: Ops  # sent to workers as its name
    image: Input
    boundary: Input | None
    coarse: CoarseSummary  # its arrays are in the workspace
    shape: Shape
    params: Params
    workspace: Workspace
    tile: int
    threads: int  # for each tile
    skip: bool  # whether tiles that cannot be read keep the coarse map's labels
    sigma: float | None = None  # as passed by the caller, instead of computed
    device_memory: int | None = None  # bytes of a device that may be used
    final: bool = True  # whether no other backend may take the place of `ops`
    known_statistics: ImageStatistics | None = None  # see `statistics`
    plan: Plan | None = None  # memory of this process; None where tiles run in other processes
    run: str = field(default_factory=lambda: uuid4().hex)  # unique name of this attempt

    wants_probabilities = False
    nearby = None

    @property
    def statistics(self) -> ImageStatistics:
        """Return the statistics of the image, once they are computed."""
        assert self.known_statistics is not None
        return self.known_statistics

    @property
    def block(self) -> int:
        """Return the side of the blocks in which a tile is solved."""
        return BLOCK

    @property
    def pooled(self) -> int:
        """Return the side of the blocks whose statistics are combined."""
        return BLOCK

    @property
    def lengths(self) -> Lengths:
        """Return the units of lengths."""
        return lengths_of(self.params, self.shape)

    @property
    def tiles(self) -> TileGrid:
        """Return the tiles that are redrawn and solved."""
        return TileGrid(self.shape, self.tile)

    @property
    def seed_tiles(self) -> TileGrid:
        """Return the tiles in which seeds are computed; they consist of whole cells."""
        cell = self.lengths.cell
        return TileGrid(self.shape, -(-SEED_TILE // cell) * cell)

    def unknown_of(self, results: dict[int, Result]) -> NDArray[np.int64]:
        """Return the unknown pixels of each patch."""
        patches = patches_of(self.shape)
        unknown = np.zeros(patches[0] * patches[1], np.int64)
        for result in results.values():  # as int64 even if the lists are empty
            unknown[np.array(result["patches"], np.int64)] += np.array(result["unknown"], np.int64)
        return unknown.reshape(patches)

    def chosen_tiles(self, unknown: NDArray[np.int64]) -> list[int]:
        """Return the tiles with unknown pixels; tiles begin where patches do."""
        found: list[int] = np.flatnonzero(in_squares(unknown, self.tile)).tolist()
        return found

    def chosen_samples(self, step: Seeds, unknown: NDArray[np.int64]) -> list[Sample]:
        """Return the windows in which the coarse map is compared with the colours."""
        assert step.look is not None
        size, halo = windows_for(step.look.spread, self.lengths)
        groups = grouped(sample(unknown), self.shape, self.tile, halo + size)
        return [Sample(around(self.shape, patches), patches) for patches in groups]

    # ---- the run -----------------------------------------------------------------------------

    @property
    def folder(self) -> Path:
        """Return the folder that all workers write to."""
        return self.workspace.folder

    def do(self, task: Task, phase: str, index: int, *rest: Any) -> Result:
        """Run a task, and record its result with its times and its fallback, if any."""
        self.check_workspace()
        with resumable(self.folder):
            stages = Stages()
            with self.ops.threads(self.threads):
                result = self.within(lambda store: task(store, stages, index, *rest), stages)
            result["seconds"] = stages.seconds
            if stages.fallbacks:
                result["fallback"] = stages.fallbacks[0]
            self.check_workspace()
            self.workspace.record(phase, index, result)
        return result

    def within(self, function: Callable[["DiskStore"], T], stages: Stages) -> T:
        """Return `function` of this store, or of one on the host if the device is too small."""
        try:
            with self.ops.here(self.device_memory):
                return function(self)
        except OutOfDeviceMemory as error:
            if self.final:
                raise
            failure = str(error)  # the error itself keeps the arrays of the failed attempt alive
        host = backends.of_host()
        stages.fall_back(f"backend {host.name!r} instead of {self.ops.name!r}: {failure}")
        with host.threads(self.threads), host.here():
            return function(replace(self, ops=host))

    def check_inputs(self) -> None:
        """Raise Changed if the image or the boundary map is not what the run began with."""
        check_unchanged(self.image)
        check_unchanged(self.boundary)

    def check_workspace(self) -> None:
        """Raise Unfinished if the run was stopped, or its folder now belongs to another run."""
        check_going_on(self.run)
        if not self.workspace.is_there():
            raise Unfinished(
                f"{self.workspace.folder} is not the folder of this run: either the run was "
                "stopped, or this worker does not have the output's folder under the same path."
            )

    def plane(self, name: str) -> Plane:
        """Return a plane by name, such as known0 or labels; see ``names.PLANES``."""
        check_going_on(self.run)
        return Plane(self.folder / name, key=self.workspace.key, **layout_of(self, name))

    def require_memory(self, pixels: int, unknown: int) -> None:
        """Raise InvalidInput if a window with so many pixels takes too much memory."""
        if self.plan is not None:
            self.plan.require(pixels, unknown)

    # ---- input -------------------------------------------------------------------------------

    def pixels(self, window: Window) -> NDArray[Any]:
        """Return the image in a window, read from its file and checked."""
        with reading(self.image, self.run) as source:
            values = source.read(window)
        pixels: NDArray[Any] = self.ops.xp.asarray(
            validate.image(values, -1, self.image.alpha, Stages())
        )
        return pixels

    def edges(self, window: Window) -> NDArray[Any] | None:
        """Return the boundary map in a window, read from its file and checked."""
        if self.boundary is None:
            return None
        with reading(self.boundary, self.run) as source:
            values = source.read(window)
        edges: NDArray[Any] = self.ops.xp.asarray(
            validate.edge_strengths(values[..., 0], window.shape)
        )
        return edges

    @property
    def edges_of_image(self) -> bool:
        """Return whether edge weights come from the image."""
        return self.boundary is None

    @property
    def edge_dtype(self) -> np.dtype[Any]:
        """Return the dtype of the image, or of the boundary map if there is one."""
        return source_of(self.boundary or self.image).dtype

    def coarse_at(self, window: Window) -> tuple[Coarse, GridMapping]:
        """Return the part of the coarse map that a window needs, in arrays of the backend."""
        place = placed(window, self.shape, self.coarse.shape)
        return self._coarse_in(place.part), place

    def _coarse_in(self, part: Window) -> Coarse:
        return on_backend(self.ops, part_of(kept_coarse(self.workspace, self.coarse), part))

    def drawn(self) -> Iterator[Classes]:
        """Yield the network's classes on its own grid, strip by strip."""
        coarse = self.coarse
        grid = drawn_grid(coarse, self.shape, self.params.scale)
        # Bytes of the map per pixel of the grid.
        each = (coarse.count if coarse.soft else 1) * 4 * prod(coarse.shape) // prod(grid)
        strip, step = None, max(1, _STRIP // grid[1])
        for top in range(0, max(1, grid[0] - OVERLAP), step):
            window = between(top, 0, top + step + OVERLAP, grid[1], grid)
            classes = self.ops.xp.empty(window.shape, class_dtype(coarse.count))
            new = window
            if strip is not None:
                classes[:OVERLAP] = strip[-OVERLAP:]
                new = between(top + OVERLAP, 0, window.bottom, grid[1], grid)
            for part in parts_of(new, (1, 1), each):
                at = part.relative_to(window).slices
                place = placed(part, grid, coarse.shape)
                classes[at] = labels_at_scale(self.ops, self._coarse_in, place)
            strip = classes
            yield classes

    # ---- results of the steps ----------------------------------------------------------------

    def classes(self, redrawn: int, window: Window) -> Classes:
        """Return the classes in a window, as redrawn `redrawn` times."""
        if redrawn == 0:
            return upsample(self.ops, *self.coarse_at(window), self.params)
        plane = self.plane(f"classes{redrawn}")
        tiles = [i for i in self.tiles.meeting(window) if plane.path(i).exists()]
        classes = self.classes(redrawn - 1, window)
        for index in tiles:
            common = self.tiles.core(index).intersection(window)
            assert common is not None
            classes[common.relative_to(window).slices] = self.ops.xp.asarray(plane.read(common))
        return classes

    def seeds(self, step: Seeds, window: Window, classes: Classes | None = None) -> Classes:
        """Return the seeds in a window."""
        if classes is None:
            classes = self.classes(step.redrawn, window)
        seeds: Classes = classes + 1
        seeds *= self.ops.xp.asarray(self.plane(f"known{step.number}").read(window))
        return self._walled(window, seeds)

    def band(self, window: Window, seeds: Classes) -> Band:
        """Return the band of the seeds in a window."""
        return self.ops.band(seeds)

    def sample(self, window: Window, seeds: Classes, patches: list[int]) -> Band:
        """Return the band in the patches of a sample."""
        return band_in(self.ops, seeds, window, self.shape, patches)

    def context(self, step: Seeds, window: Window) -> EvidenceContext:
        """Return the context of the evidence in a window; reads the image."""
        ops, lengths = self.ops, self.lengths
        assert step.look is not None
        size, halo = windows_for(step.look.spread, lengths)
        outer = window.padded(halo, self.shape).aligned(size, self.shape)
        image = self.pixels(outer)
        coarse, place = self.coarse_at(outer)
        return EvidenceContext(
            ops, self.params, lengths, coarse, place, image,
            colours_of(ops, image, self.statistics, lengths.cell),
            self._cells(0, outer),
            ignored_cells(ops, coarse, place, lengths),
            self._cells(step.redrawn, outer) if step.redrawn else None,
        )  # fmt: skip

    def _cells(self, redrawn: int, window: Window) -> Cells:
        """Return the cells of a window whose corner is that of a cell."""
        lengths, plane = self.lengths, self.plane(f"cells{redrawn}")
        cell = lengths.cell
        inner = between(
            window.top // cell, window.left // cell, -(-window.bottom // cell),
            -(-window.right // cell), plane.shape,
        )  # fmt: skip
        outer = inner.padded(lengths.reach, plane.shape)
        own = self.ops.xp.asarray(plane.read(outer))
        return cells_of(self.ops, own, lengths).part(inner.relative_to(outer))

    def unrefined(self, window: Window) -> Classes:
        """Return the labels of the coarse map, enlarged."""
        labels: Classes = self.classes(0, window) + 1
        return self._walled(window, labels)

    def _walled(self, window: Window, seeds: Classes) -> Classes:
        if self.coarse.ignore_index is not None:
            coarse, place = self.coarse_at(window)
            assert coarse.ignored is not None
            put_walls(self.ops, coarse.ignored, place, seeds)
        return seeds

    # ---- keeping the results of a task -------------------------------------------------------

    def keep_cells(self, step: Seeds, index: int, classes: Classes) -> list[str]:
        """Keep the classes of the cells of a seed tile."""
        if not step.fresh:
            return []
        name = f"cells{step.redrawn}"
        return self._keep(name, index, self.ops.cell_labels(classes, self.lengths.cell))

    def keep_seeds(
        self, step: Seeds, index: int, seeds: Classes, *asked: Steps[Any]
    ) -> tuple[Result, list[Any]]:
        """Keep which pixels of a seed tile are seeds; count the others patch by patch."""
        band, *found = self.ops.together(self.ops.begin_band(seeds), *asked)
        core, patches = self.seed_tiles.core(index), patches_of(self.shape)
        unknown = unknown_in_patches(self.ops, band, core, patches).reshape(-1)
        where = np.flatnonzero(unknown)
        planes = self._keep(f"known{step.number}", index, seeds != 0)
        counts = {"patches": where.tolist(), "unknown": unknown[where].tolist()}
        return {**counts, "planes": planes}, found

    def keep_classes(self, redrawn: int, index: int, classes: Classes) -> list[str]:
        """Keep the redrawn classes of a tile."""
        return self._keep(f"classes{redrawn}", index, classes)

    def keep_labels(self, index: int, labels: Classes) -> list[str]:
        """Keep the labels of a tile."""
        return self._keep("labels", index, labels)

    def keep_probabilities(self, window: Window, values: NDArray[np.float32]) -> None:
        """Never called: probabilities are not written to files."""
        raise AssertionError

    def _keep(self, name: str, index: int, values: NDArray[Any]) -> list[str]:
        self.plane(name).write(index, self.ops.host(values))
        return [name]
