"""What is done for one tile in each phase: the same, whoever does it, and however often.

A task reads its inputs by their paths and the planes of earlier phases, writes its own tiles of
planes, and returns what goes into its record: which planes, too. Nothing else is shared.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.windows import Window
from hdseg_gpu.pipeline.block import BLOCK
from hdseg_gpu.pipeline.decide import redrawn
from hdseg_gpu.pipeline.doubt import (
    contradictions_of,
    patch_at,
    patches_of,
    unknown_in_patches,
)
from hdseg_gpu.pipeline.rounds import SMOOTHING, WIDE
from hdseg_gpu.pipeline.seeds import mark_seeds, reach_of, seeded
from hdseg_gpu.pipeline.survey import spread_of
from hdseg_gpu.scale.job import Job
from hdseg_gpu.scale.scene import classes_in, scene_of, seeds_in
from hdseg_gpu.scale.schedule import Result


class Step(NamedTuple):
    """Which seeds: the planes known<known>, from classes<classes>, after so many passes."""

    known: int
    classes: int  # how often they have been redrawn
    passes: int


def survey(job: Job, index: int, boundary: bool) -> Result:
    """Return means and squared deviations of the blocks of a tile."""
    core = job.tiles.core(index)
    return _spreads(job, core.divided(BLOCK), boundary) | {"pixels": core.height * core.width}


def glance(job: Job, index: int, boundary: bool) -> Result:
    """Return the same of a patch."""
    patch = patch_at(job.shape, index)
    return _spreads(job, [patch], boundary) | {"pixels": patch.height * patch.width}


def _spreads(job: Job, windows: Iterable[Window], boundary: bool) -> Result:
    found = []
    for window in windows:
        try:
            pixels = job.read(window, boundary=boundary)
        except InvalidInput:
            if not job.skip:
                raise
            continue
        spread = spread_of(job.ops, job.ops.xp.asarray(pixels))
        # A list, as the record has it: both are sorted together.
        found.append([*window[:2], spread.pixels, spread.means.tolist(), spread.squares])
    return {"blocks": found}


def seeds(job: Job, index: int, step: Step) -> Result:
    """Find the seeds of a tile, and the classes of its cells; return what is unknown where."""
    ops, cell = job.ops, job.lengths.cell
    core = job.seed_tiles.core(index)
    outer = core.grown(reach_of(job.params, step.passes), job.shape)
    inside = core.seen_from(outer)
    classes = classes_in(job, step.classes, outer)
    coarse, place = job.coarse_at(outer)
    marked = mark_seeds(ops, coarse, place, classes, job.params, step.passes)
    own = ops.xp.ascontiguousarray(classes[inside.slices])
    found = ops.xp.ascontiguousarray(marked[inside.slices])
    cells, known = f"cells{step.classes}", f"known{step.known}"
    job.plane(cells).write(index, ops.host(ops.cell_labels(own, cell)))
    job.plane(known).write(index, ops.host(found != 0))
    patches = patches_of(job.shape)
    unknown = unknown_in_patches(ops, ops.band(found), core, patches).reshape(-1)
    where = np.flatnonzero(unknown)
    return {
        "patches": where.tolist(),
        "unknown": unknown[where].tolist(),
        "before": np.flatnonzero(ops.histogram(own, coarse.count)).tolist(),
        "after": np.flatnonzero(seeded(ops, found, coarse.count)).tolist(),
        "pixels": core.height * core.width,
        "planes": [cells, known],
    }


def measure(job: Job, index: int) -> Result:
    """Return how the colours contradict the coarse map in a patch."""
    ops = job.ops
    patch = patch_at(job.shape, index)
    try:
        scene = scene_of(job, patch, WIDE[0], redrawn=0)
    except InvalidInput:
        if not job.skip:
            raise
        return {"counts": [[0] * job.coarse.count] * 2, "pixels": 0}
    classes = classes_in(job, 0, patch)
    band = ops.band(seeds_in(job, patch, classes, known=0))
    evidence = scene.scene.colours_alone(WIDE[0]).evidence(band, scene.cut(ops, patch), patch)
    corner = scene.window
    counts = contradictions_of(
        ops, band, evidence, classes, scene.scene.drawn, job.lengths,
        (patch.top - corner.top, patch.left - corner.left), job.coarse.count,
    )  # fmt: skip
    return {"counts": counts.tolist(), "pixels": patch.height * patch.width}


def redraw(job: Job, index: int, wide: int) -> Result:
    """Give the unknown pixels of a tile their likeliest classes."""
    ops = job.ops
    core = job.tiles.core(index)
    outer = core.grown(SMOOTHING // 2, job.shape)
    classes = classes_in(job, wide, outer)
    try:
        scene = scene_of(job, outer, WIDE[wide], redrawn=wide)
    except InvalidInput as error:
        if not job.skip:
            raise
        return {"skipped": str(error), "pixels": core.height * core.width}
    marked = seeds_in(job, outer, classes, known=wide)
    band = ops.band(marked)
    found = scene.look(WIDE[wide], job.doubt).evidence(band, scene.cut(ops, outer), outer)
    ops.put(band, redrawn(ops, marked, band, found), classes, less=1)
    inside = core.seen_from(outer)
    drawn = f"classes{wide + 1}"
    job.plane(drawn).write(index, ops.host(classes[inside.slices]))
    return {"pixels": core.height * core.width, "planes": [drawn]}
