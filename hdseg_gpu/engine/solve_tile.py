"""The last step in one tile: the random walker, block by block."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, replace

from hdseg_gpu.core.classes import Classes, class_dtype, wall_of
from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.report import Stages, Tally
from hdseg_gpu.core.windows import Shape, Window, between
from hdseg_gpu.engine.steps import Solve
from hdseg_gpu.engine.store import Result, Store
from hdseg_gpu.ops import Band
from hdseg_gpu.pipeline.block import (
    BlockContext,
    Refined,
    Scope,
    halo_of,
    outer_of,
    refine_block,
)
from hdseg_gpu.pipeline.evidence import EvidenceModel

# Without evidence the reach of a walker is not known in advance: the halo of a block grows until
# walkers hardly ever escape from it.
_FIRST_HALO = 256
_LAST_HALO = 8192


def solve(
    store: Store, stages: Stages, index: int, step: Solve, lost: Collection[int] = ()
) -> Result:
    """Decide the unknown pixels of a tile, and keep its labels.

    lost: tiles that an earlier step could not read completely; they get the coarse map's labels.
    """
    core, tally, more = store.tiles.core(index), Tally(), {}
    if index in lost:
        labels = store.unrefined(core)
    else:
        try:
            labels, tally = _decided(store, stages, core, step)
        except InvalidInput as error:
            if not store.skip:
                raise
            labels, more = store.unrefined(core), {"skipped": str(error)}
    return {
        "planes": store.keep_labels(index, labels), "pixels": core.height * core.width,
        "tally": asdict(tally), **more,
    }  # fmt: skip


def _decided(store: Store, stages: Stages, core: Window, step: Solve) -> tuple[Classes, Tally]:
    """Return the labels of a tile, (h, w)."""
    far = halo_of(store.params.gamma) is None
    outer = core if far else outer_of(core, store.params, store.shape)
    seeds = store.seeds(step.seeds, outer)
    blocks = list(core.divided(store.block))
    labels = seeds  # of the only block
    if len(blocks) > 1:
        labels = seeds[core.relative_to(outer).slices].copy()  # other blocks still need the seeds
        if not store.wants_probabilities:
            blocks = [b for b in blocks if not seeds[b.relative_to(outer).slices].all()]
    solved: Iterable[tuple[Window, Refined]]
    if far:
        solved = ((block, _far_block(store, stages, block, step)) for block in blocks)
    else:
        solved = _near_blocks(store, stages, blocks, seeds, outer, step)
    tally = Tally()
    for block, found in solved:
        if block == core:
            labels = found.labels
        else:
            labels[block.relative_to(core).slices] = found.labels
        if found.probabilities is not None:
            store.keep_probabilities(block, found.probabilities)
        tally += found.tally
    return labels, tally


def _near_blocks(
    store: Store, stages: Stages, blocks: list[Window], seeds: Classes, outer: Window, step: Solve
) -> Iterator[tuple[Window, Refined]]:
    """Yield blocks and their results, where potentials depend on a halo of known width.

    seeds: of the tile's outer window.
    """
    outers = [outer_of(block, store.params, store.shape) for block in blocks]
    around = between(
        min(w.top for w in outers), min(w.left for w in outers),
        max(w.bottom for w in outers), max(w.right for w in outers), store.shape,
    )  # fmt: skip
    look = step.seeds.look
    assert look is not None
    with stages.timed("evidence"):  # read once for all blocks
        context = store.context(step.seeds, around)
        model = context.model(look, step.doubt, store.nearby)
    common = _block_context(store, stages, store.coarse.count, model)
    for i, (block, window) in enumerate(zip(blocks, outers, strict=True)):
        alone = len(blocks) == 1 and window == outer  # else other blocks need the seeds
        own = seeds if alone else seeds[window.relative_to(outer).slices].copy()
        image = context.image_in(window)
        edges = store.edges(window)
        scope = Scope(block, window, own, image, image if edges is None else edges)
        share = i / len(blocks), (i + 1) / len(blocks)
        band = store.band(window, own) if alone else None
        found = refine_block(common, scope, share, band=band)
        yield block, _core_of(scope, found)


def _block_context(
    store: Store, stages: Stages, count: int, model: EvidenceModel | None
) -> BlockContext:
    return BlockContext(
        store.ops, store.params, store.statistics, stages, count, model, store.wants_probabilities
    )


def _core_of(scope: Scope, found: Refined) -> Refined:
    if scope.core == scope.outer:
        return found
    rows, columns = scope.core.relative_to(scope.outer).slices
    probabilities = found.probabilities
    if probabilities is not None:
        probabilities = probabilities[:, rows, columns]
    return replace(found, labels=found.labels[rows, columns], probabilities=probabilities)


def _far_block(store: Store, stages: Stages, core: Window, step: Solve) -> Refined:
    """Return the result for a block, with a halo that grows until it is wide enough.

    Unknown pixels at the sides of the outer window become seeds of an extra class. Its potential is
    the probability that a walker leaves, which bounds the influence of the rest of the image.
    """
    halo = _FIRST_HALO
    while True:
        found, closed = _within(store, stages, core, halo, step)
        if closed or found.escape_probability <= store.params.tolerance or halo >= _LAST_HALO:
            return found
        halo *= 2


def _within(
    store: Store, stages: Stages, core: Window, halo: int, step: Solve
) -> tuple[Refined, bool]:
    """Return the result for a block with a given halo, and whether no walker can leave it."""
    outer = core.padded(halo + store.params.majority // 2, store.shape)
    seeds = store.seeds(step.seeds, outer)
    known = store.band(outer, seeds)
    store.require_memory(seeds.size, known.size)
    look, model = step.seeds.look, None
    with stages.timed("evidence"):
        if look is None:
            image = store.pixels(outer)
        else:
            context = store.context(step.seeds, outer)
            image = context.image_in(outer)
            model = context.model(look, step.doubt, store.nearby)
    edges, count, escape = store.edges(outer), store.coarse.count, None
    band: Band | None = known
    kept, ends = seeds.dtype, _unknown_ends(seeds, outer, store.shape)
    if ends:
        count = escape = count + 1
        seeds, band = _widened(seeds, class_dtype(escape)), None
        for rows, columns in ends:
            end = seeds[rows, columns]
            end[end == 0] = escape
    scope = Scope(core, outer, seeds, image, image if edges is None else edges)
    found = refine_block(
        _block_context(store, stages, count, model), scope, escape=escape, band=band
    )
    if outer.shape != store.shape:
        labels = found.labels
        undecided = (labels == 0) if escape is None else (labels == 0) | (labels == escape)
        labels = labels.astype(kept)  # walls have all bits set, so they stay walls
        labels[undecided] = store.classes(step.seeds.redrawn, outer)[undecided] + 1
        found = replace(found, labels=labels)
    return _core_of(scope, found), not ends


def _unknown_ends(seeds: Classes, outer: Window, shape: Shape) -> list[tuple[slice, slice]]:
    """Return the outermost rows and columns of a window with unknown pixels: walkers leave there.

    Sides on the image's border are left out, as no walker leaves the image.
    """
    everything = slice(None)
    ends = [
        (outer.top > 0, (slice(0, 1), everything)),
        (outer.bottom < shape[0], (slice(-1, None), everything)),
        (outer.left > 0, (everything, slice(0, 1))),
        (outer.right < shape[1], (everything, slice(-1, None))),
    ]
    return [part for inside, part in ends if inside and bool((seeds[part] == 0).any())]


def _widened(seeds: Classes, dtype: type) -> Classes:
    """Convert seeds to a wider dtype, for more classes; walls stay walls."""
    found: Classes = seeds.astype(dtype)
    found[seeds == wall_of(seeds.dtype)] = wall_of(found.dtype)
    return found
