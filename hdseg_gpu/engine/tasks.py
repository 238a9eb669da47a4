"""Tasks: one step in one window, the same in memory and on disk. A task may be repeated safely.

A task takes a store, the stages by which it is timed, and the index of a tile. It keeps arrays in
the store and returns plain values, which become its record on disk.
"""

from collections.abc import Iterable, Sequence
from contextlib import nullcontext

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.classes import Classes, wall_of
from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.report import Stages
from hdseg_gpu.core.windows import Window, cut
from hdseg_gpu.engine.steps import Contradiction, Redraw, Seeds
from hdseg_gpu.engine.store import Result, Sample, Store
from hdseg_gpu.pipeline.doubt import contradictions_of, patch_at
from hdseg_gpu.pipeline.rounds import SMOOTHING, SMOOTHING_REACH
from hdseg_gpu.pipeline.seeds import mark_seeds, reach_of
from hdseg_gpu.pipeline.statistics import spread_of


def statistics(store: Store, stages: Stages, index: int, boundary: bool) -> Result:
    """Return means and squared deviations of the image, or boundary map, in a tile's blocks."""
    core = store.tiles.core(index)
    with stages.timed("statistics"):
        return _spreads(store, core.divided(store.pooled), boundary) | _size(core)


def sample_statistics(store: Store, stages: Stages, index: int, boundary: bool) -> Result:
    """Return means and squared deviations of the image, or boundary map, in a patch."""
    patch = patch_at(store.shape, index)
    return _spreads(store, [patch], boundary) | _size(patch)


def _spreads(store: Store, windows: Iterable[Window], boundary: bool) -> Result:
    found = []
    for window in windows:
        try:
            edges = store.edges(window) if boundary else None
            pixels = store.pixels(window) if edges is None else edges
        except InvalidInput:
            if not store.skip:
                raise
            continue
        spread = spread_of(store.ops, pixels)
        # A list, as in records: both are sorted together.
        found.append([*window[:2], spread.pixels, spread.means.tolist(), spread.squares])
    return {"blocks": found}


def seeds(store: Store, stages: Stages, index: int, step: Seeds) -> Result:
    """Compute the seeds of a tile, and the classes of its cells.

    The first step also finds which classes occur, the last one which have seeds.
    """
    ops, core = store.ops, store.seed_tiles.core(index)
    outer = core.padded(reach_of(store.params, step.passes), store.shape)
    with stages("upsample") if step.first else nullcontext():
        classes = store.classes(step.redrawn, outer)
    with stages.timed("seeds"):
        coarse, place = store.coarse_at(outer)
        marked = mark_seeds(ops, coarse, place, classes, store.params, step.passes)
    own, marked = (cut(ops.xp, array, core, outer) for array in (classes, marked))
    marks = _marks(store, step, own, marked)
    cells: list[str] = []
    if step.look is not None:
        with stages.timed("evidence"):
            cells = store.keep_cells(step, index, own)
    with stages.timed("seeds"):
        asked = [ops.fetching(mark) for mark in marks.values()]
        found, fetched = store.keep_seeds(step, index, marked, *asked)
    occurring = {
        name: np.flatnonzero(mark).tolist() for name, (mark,) in zip(marks, fetched, strict=True)
    }
    return {**found, "planes": [*cells, *found["planes"]], **occurring, **_size(core)}


def _marks(
    store: Store, step: Seeds, classes: Classes, seeds: Classes
) -> dict[str, NDArray[np.uint8]]:
    """Mark the classes that occur (first step), and those with seeds (last step): (K,) each."""
    if not (step.first or step.last):
        return {}
    ops, count, marks = store.ops, store.coarse.count, {}
    present = ops.xp.zeros((2, wall_of(classes.dtype) + 1), np.uint8)
    if step.first:
        ops.mark_present(classes, present[0])
        marks["before"] = present[0, :count]
    if step.last:
        ops.mark_present(seeds, present[1])
        marks["after"] = present[1, 1 : count + 1]  # seeds are class index + 1
    return marks


def contradiction(
    store: Store, stages: Stages, index: int, step: Contradiction, samples: Sequence[Sample]
) -> Result:
    """Count the pixels of a sample of the band whose colours contradict the coarse map."""
    ops, (window, patches) = store.ops, samples[index]
    with stages.timed("evidence"):
        try:
            context = store.context(step.seeds, window)
        except InvalidInput:
            if not store.skip:
                raise
            return {"counts": [[0] * store.coarse.count] * 2, "pixels": 0}
        classes = store.classes(step.seeds.redrawn, window)
        band = store.sample(window, store.seeds(step.seeds, window, classes), patches)
        assert step.seeds.look is not None
        model = context.colours_alone(step.seeds.look, store.nearby)
        evidence = model.evidence(band, context.image_in(window), window)
        corner = context.place.window
        counts = contradictions_of(
            ops, band, evidence, classes, context.drawn, store.lengths,
            (window.top - corner.top, window.left - corner.left), store.coarse.count,
        )  # fmt: skip
    return {"counts": counts.tolist(), **_size(window)}


def redraw(store: Store, stages: Stages, index: int, step: Redraw) -> Result:
    """Set the unknown pixels of a tile to their likeliest classes."""
    ops, core = store.ops, store.tiles.core(index)
    outer = core.padded(SMOOTHING_REACH, store.shape)
    with stages.timed("evidence"):
        try:
            context = store.context(step.seeds, outer)
        except InvalidInput as error:
            if not store.skip:
                raise
            return {"skipped": str(error), **_size(core)}
        classes = store.classes(step.seeds.redrawn, outer)
        marked = store.seeds(step.seeds, outer, classes)
        band = store.band(outer, marked)
        assert step.seeds.look is not None
        model = context.model(step.seeds.look, step.doubt, store.nearby)
        evidence = model.evidence(band, context.image_in(outer), outer)
        ops.put(band, evidence.label, marked)
        ops.put(band, ops.majority(marked, band, SMOOTHING), classes, less=1)
        redrawn = cut(ops.xp, classes, core, outer)
        planes = store.keep_classes(step.seeds.redrawn + 1, index, redrawn)
    return {"planes": planes, **_size(core)}


def _size(window: Window) -> Result:
    return {"pixels": window.height * window.width}
