"""A window of the picture with all that its pixels' evidence depends on, from files and planes."""

from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from hdseg_gpu.core.ops import Classes, Ops, class_dtype
from hdseg_gpu.core.params import Coarse
from hdseg_gpu.core.windows import Window, between, placed, whole
from hdseg_gpu.pipeline.colours import colours_of, windows_for
from hdseg_gpu.pipeline.evidence import (
    Cells,
    Scene,
    Surroundings,
    cells_of,
    ignored_cells,
    part_of,
    taken_over,
)
from hdseg_gpu.pipeline.ignored import put_walls
from hdseg_gpu.pipeline.rounds import Round
from hdseg_gpu.pipeline.upsample import upsample
from hdseg_gpu.scale.job import Job, arrays_of

_STRIP = 1 << 22  # probabilities read at a time


@dataclass(frozen=True)
class TileScene:
    """What the rounds see of a window and around it."""

    scene: Scene
    now: Cells | None  # of the classes as redrawn, None if they are the coarse map's
    image: NDArray[Any]  # of the scene's window

    @property
    def window(self) -> Window:
        """Return the window of the picture that has cells and pixels here."""
        return self.scene.place.window

    def look(self, look: Round, doubt: float) -> Surroundings:
        """Return what speaks for the classes in a round."""
        return self.scene.look(look, doubt, self.now)

    def cut(self, ops: Ops, window: Window) -> NDArray[Any]:
        """Return the image in a window."""
        part: NDArray[Any] = ops.xp.ascontiguousarray(
            self.image[window.seen_from(self.window).slices]
        )
        return part


def scene_of(job: Job, window: Window, look: Round, redrawn: int) -> TileScene:
    """Return the scene that evidence in a window needs; reads the image."""
    ops, lengths = job.ops, job.lengths
    size, halo = windows_for(look.spread, lengths)
    outer = window.grown(halo, job.shape).aligned(size, job.shape)
    image = ops.xp.asarray(job.read(outer))
    coarse, place = job.coarse_at(outer)
    scene = Scene(
        ops, job.params, lengths, coarse, place,
        colours_of(ops, image, job.surveyed, lengths.cell),
        _cells(job, 0, outer),
        ignored_cells(ops, coarse, place, lengths),
    )  # fmt: skip
    return TileScene(scene, _cells(job, redrawn, outer) if redrawn else None, image)


def _cells(job: Job, redrawn: int, window: Window) -> Cells:
    """Return the cells of a window that begins with one."""
    lengths, plane = job.lengths, job.plane(f"cells{redrawn}")
    cell = lengths.cell
    inner = between(
        window.top // cell, window.left // cell, -(-window.bottom // cell),
        -(-window.right // cell), plane.shape,
    )  # fmt: skip
    outer = inner.grown(lengths.reach, plane.shape)
    own = job.ops.xp.asarray(plane.read(outer))
    return cells_of(job.ops, own, lengths).part(inner.seen_from(outer))


def classes_in(job: Job, redrawn: int, window: Window) -> Classes:
    """Return the classes of a window, redrawn so often where there was something to redraw."""
    if redrawn == 0:
        return upsample(job.ops, *job.coarse_at(window), job.params)
    plane = job.plane(f"classes{redrawn}")
    tiles = [i for i in job.tiles.meeting(window) if plane.path(i).exists()]
    classes = classes_in(job, redrawn - 1, window)
    for index in tiles:
        common = job.tiles.core(index).common(window)
        assert common is not None
        classes[common.seen_from(window).slices] = job.ops.xp.asarray(plane.read(common))
    return classes


def drawn_by_network(job: Job) -> Coarse:
    """Return the coarse map as labels on its own grid; probabilities are read strip by strip."""
    ops, coarse, grid = job.ops, arrays_of(job), job.grid
    if coarse.probabilities is None:
        return taken_over(ops, part_of(coarse, whole(grid)))
    classes = ops.xp.empty(grid, class_dtype(coarse.count))
    rows = max(1, _STRIP // (coarse.count * grid[1]))
    for top in range(0, grid[0], rows):
        window = between(top, 0, top + rows, grid[1], grid)
        place = placed(window, grid, grid)
        part = taken_over(ops, part_of(coarse, place.part)).probabilities
        assert part is not None
        classes[window.slices] = ops.upsample_argmax(part, place, "linear")
    return replace(job.coarse, classes=classes)


def seeds_in(job: Job, window: Window, classes: Classes, known: int) -> Classes:
    """Return the seeds of a window with such classes."""
    seeds: Classes = classes + 1
    seeds *= job.ops.xp.asarray(job.plane(f"known{known}").read(window))
    return _walled(job, window, seeds)


def unrefined_in(job: Job, window: Window) -> Classes:
    """Return labels as the coarse map has them."""
    labels: Classes = classes_in(job, 0, window) + 1
    return _walled(job, window, labels)


def _walled(job: Job, window: Window, seeds: Classes) -> Classes:
    if job.coarse.ignore_index is not None:
        coarse, place = job.coarse_at(window)
        assert coarse.ignored is not None
        put_walls(job.ops, coarse.ignored, place, seeds)
    return seeds
