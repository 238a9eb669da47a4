"""The last phase: the walker in the blocks of a tile."""

from collections.abc import Collection, Iterator
from dataclasses import asdict, replace
from typing import Any

from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.ops import Classes, class_dtype, wall_of
from hdseg_gpu.core.report import Stages, Tally
from hdseg_gpu.core.windows import Shape, Window, between
from hdseg_gpu.pipeline.block import BLOCK, Refined, Scope, halo_of, outer_of, refine_block
from hdseg_gpu.pipeline.rounds import last_round
from hdseg_gpu.scale.job import Job
from hdseg_gpu.scale.scene import classes_in, scene_of, seeds_in, unrefined_in
from hdseg_gpu.scale.schedule import Result
from hdseg_gpu.scale.tasks import Step

# Halos of blocks where nobody can tell beforehand how far a walker comes: it is seen how many leave
# the block's surroundings, and these grow until hardly any do.
_FIRST_HALO = 256
_LAST_HALO = 8192


def solve(job: Job, index: int, step: Step, lost: Collection[int] = ()) -> Result:
    """Decide the unknown pixels of a tile, and write its labels.

    lost: tiles that an earlier phase could not read all of; they are left as they are.
    """
    if index in lost:
        return _left(job, index)
    core = job.tiles.core(index)
    labels = seeds_in(job, core, classes_in(job, step.classes, core), step.known)
    stages, tally = Stages(), Tally()
    blocks = [b for b in core.divided(BLOCK) if not labels[b.seen_from(core).slices].all()]
    try:
        for block, found in _solved(job, blocks, step, stages):
            labels[block.seen_from(core).slices] = found.labels
            tally += found.tally
    except InvalidInput as error:
        if not job.skip:
            raise
        return _left(job, index) | {"skipped": str(error)}
    job.plane("labels").write(index, job.ops.host(labels))
    return _result(core, tally, stages)


def _left(job: Job, index: int) -> Result:
    """Leave a tile as the coarse map has it."""
    core = job.tiles.core(index)
    job.plane("labels").write(index, job.ops.host(unrefined_in(job, core)))
    return _result(core, Tally(), Stages())


def _result(core: Window, tally: Tally, stages: Stages) -> Result:
    return {
        "planes": ["labels"], "pixels": core.height * core.width, "tally": asdict(tally),
        "seconds": stages.seconds,
    }  # fmt: skip


def _solved(
    job: Job, blocks: list[Window], step: Step, stages: Stages
) -> Iterator[tuple[Window, Refined]]:
    """Yield blocks, and what became of them."""
    if not blocks:
        return
    if halo_of(job.params.gamma) is None:
        yield from ((block, _open_block(job, block, step, stages)) for block in blocks)
        return
    outers = [outer_of(block, job.params, job.shape) for block in blocks]
    around = between(
        min(w.top for w in outers), min(w.left for w in outers),
        max(w.bottom for w in outers), max(w.right for w in outers), job.shape,
    )  # fmt: skip
    with stages.timed("evidence"):  # read once for all blocks
        scene = scene_of(job, around, last_round(job.doubt), step.classes)
        surroundings = scene.look(last_round(job.doubt), job.doubt)
    for block, outer in zip(blocks, outers, strict=True):
        seeds = seeds_in(job, outer, classes_in(job, step.classes, outer), step.known)
        scope = _scope(job, block, outer, seeds, scene.cut(job.ops, outer))
        found = refine_block(
            job.ops, scope, job.coarse.count, surroundings, job.params, job.surveyed, stages
        )
        yield block, _core_of(scope, found)


def _scope(job: Job, core: Window, outer: Window, seeds: Classes, image: NDArray[Any]) -> Scope:
    features = image
    if job.boundary is not None:
        features = job.ops.xp.asarray(job.read(outer, boundary=True))
    return Scope(core, outer, seeds, image, features)


def _core_of(scope: Scope, found: Refined) -> Refined:
    return replace(found, labels=found.labels[scope.core.seen_from(scope.outer).slices])


def _open_block(job: Job, core: Window, step: Step, stages: Stages) -> Refined:
    """Return the labels of a block around which as much is looked at as it takes.

    Beyond its surroundings lies a class of its own: the potential of that class is the chance that
    a walker leaves, and bounds what the rest of the picture could change.
    """
    halo = _FIRST_HALO
    while True:
        found, closed = _within(job, core, halo, step, stages)
        if closed or found.leaving <= job.params.tolerance or halo >= _LAST_HALO:
            return found
        halo *= 2


def _within(job: Job, core: Window, halo: int, step: Step, stages: Stages) -> tuple[Refined, bool]:
    """Return the labels of a block with so much around it, and whether no walker could leave."""
    leaving = job.coarse.count + 1
    outer = outer_with(core, halo, job)
    classes = classes_in(job, step.classes, outer)
    seeds = seeds_in(job, outer, classes, step.known)
    if job.room is not None:
        job.room.require(seeds.size, int((seeds == 0).sum()))
    walls = seeds == wall_of(seeds.dtype)
    seeds = seeds.astype(class_dtype(leaving))
    seeds[walls] = wall_of(seeds.dtype)  # with one class more it may be a larger number
    closed = not _close(seeds, outer, job.shape, leaving)
    image = job.ops.xp.asarray(job.read(outer))
    surroundings = None
    if job.params.gamma > 0:
        look = last_round(job.doubt)
        surroundings = scene_of(job, outer, look, step.classes).look(look, job.doubt)
    scope = _scope(job, core, outer, seeds, image)
    found = refine_block(
        job.ops, scope, leaving, surroundings, job.params, job.surveyed, stages,
        leaving=None if closed else leaving,
    )  # fmt: skip
    labels = found.labels
    lost = (labels == leaving) | (labels == 0)
    labels[lost] = classes[lost] + 1
    labels = labels.astype(classes.dtype)  # walls are ones in all bits
    return _core_of(scope, replace(found, labels=labels)), closed


def outer_with(core: Window, halo: int, job: Job) -> Window:
    """Return a block with so much around it, and what the final filter needs."""
    return core.grown(halo + job.params.median // 2, job.shape)


def _close(seeds: Classes, outer: Window, shape: Shape, leaving: int) -> bool:
    """Mark the unknown pixels at the ends of a window as where walkers leave; return if there are.

    The picture's frame is no end: nobody leaves there.
    """
    ends = [
        seeds[:1] if outer.top > 0 else seeds[:0],
        seeds[-1:] if outer.bottom < shape[0] else seeds[:0],
        seeds[:, :1] if outer.left > 0 else seeds[:0],
        seeds[:, -1:] if outer.right < shape[1] else seeds[:0],
    ]
    found = False
    for end in ends:
        unknown = end == 0
        found |= bool(unknown.any())
        end[unknown] = leaving
    return found
