"""One block: the random walker between the seeds. An image is solved block by block.

With evidence the influence of distant pixels decays quickly: with a halo of a few pixels a block's
potentials are those of the whole image. Blocks do not depend on the division into tiles, so neither
do labels.
"""

from dataclasses import dataclass
from functools import partial
from math import ceil, log, log1p
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.classes import Classes
from hdseg_gpu.core.params import ImageStatistics, Params
from hdseg_gpu.core.report import Stages, Tally
from hdseg_gpu.core.windows import Shape, Window
from hdseg_gpu.ops import Band, Ops
from hdseg_gpu.pipeline.evidence import EvidenceModel
from hdseg_gpu.pipeline.graph import Reach, Region, assemble, regions
from hdseg_gpu.pipeline.labels import seed_probabilities, write_probabilities
from hdseg_gpu.pipeline.sharing import FEW, Sharing
from hdseg_gpu.solvers import Solution, solve

# How much a block's potentials may differ from those of the whole image.
CUT_ERROR = 1e-9
_LARGEST_HALO = 256
# A block with more unknown potentials (pixels times classes) is divided, down to this side.
_MOST_ENTRIES = 1 << 23
_SMALLEST = 256


def halo_of(gamma: float) -> int | None:
    """Return the width in pixels of the halo a block needs, None if that is unknown or too wide.

    Let v(p) = (1 + gamma)^-d, d the distance of p from one side of the window. Weights are at most
    1, and only one neighbour is nearer to that side, so A v >= 0: v bounds the probability that a
    walker from p reaches it before evidence absorbs it. Four such terms, one per side, bound the
    influence of everything outside the window.
    """
    if gamma <= 0.0:
        return None
    halo = ceil(log(4.0 / CUT_ERROR) / log1p(gamma))
    return halo if halo <= _LARGEST_HALO else None


def outer_of(core: Window, params: Params, shape: Shape) -> Window:
    """Return a block's core window with its halo: enough for the walker and the final filter."""
    halo = halo_of(params.gamma)
    assert halo is not None
    return core.padded(halo + params.majority // 2, shape)


@dataclass(frozen=True)
class BlockContext:
    """What the blocks of a tile have in common."""

    ops: Ops
    params: Params
    statistics: ImageStatistics
    stages: Stages
    count: int  # of classes
    model: EvidenceModel | None
    with_probabilities: bool


@dataclass(frozen=True)
class Scope:
    """A block with its halo; arrays cover the outer window."""

    core: Window
    outer: Window
    seeds: Classes  # overwritten by the labels
    image: NDArray[Any]  # (h, w, C)
    features: NDArray[Any]  # (h, w, C), what edge weights depend on; may be `image` itself


@dataclass(frozen=True)
class Refined:
    """The result for a block; arrays cover its outer window."""

    labels: Classes  # class index + 1, or a wall
    probabilities: NDArray[np.float32] | None  # (K, h, w), if asked for
    tally: Tally
    escape_probability: float = 0.0  # from the outer window, the largest for walkers in the core


def refine_block(
    context: BlockContext,
    scope: Scope,
    share: tuple[float, float] = (0.0, 1.0),
    *,
    escape: int | None = None,
    band: Band | None = None,
) -> Refined:
    """Return the labels of a block, by the random walker and the final majority filter.

    escape: the label, the largest one, of extra seeds where walkers leave the outer window. Labels
    count as certified only if those walkers could not change them.
    band: the band of the seeds, if already computed.
    share: the fraction of the run done when this block begins and when it ends, for the progress.
    """
    ops, params, stages, seeds = context.ops, context.params, context.stages, scope.seeds
    probabilities = None
    if context.with_probabilities:
        probabilities = seed_probabilities(ops, seeds, context.count)
    band = ops.band(seeds) if band is None else band
    if band.size == 0:
        return Refined(seeds, probabilities, Tally())
    sharing = Sharing.of(params.gamma, params.tolerance) if escape is None else None
    side = max(scope.core.shape)
    divisible = escape is None and _can_be_divided(ops, scope, params)
    component = None
    if divisible:
        with stages.timed("graph"):
            component = ops.components(band)
            side = _side_for_many(ops, scope, band, component, sharing)
    evidence, parts = None, []
    if side == max(scope.core.shape):
        if context.model is not None:
            with stages.timed("evidence"):
                evidence = context.model.evidence(band, scope.image, scope.outer)
        with stages.timed("graph"):
            parts = regions(ops, band, seeds, evidence, sharing, component)
        if divisible and sum(region.entries for region in parts) > _MOST_ENTRIES:
            side = -(-side // 2)
    if side < max(scope.core.shape):
        del band, evidence, parts, component
        # Each part has fewer classes, so fewer right-hand sides.
        return refine_in_parts(context, scope, side, share)
    core = scope.core.relative_to(scope.outer)
    tally = Tally(unknown_pixels=_unknown_pixels(ops, scope, band))
    solved, most = 0.0, 0.0
    for region in parts:
        with stages.timed("graph"):
            system = assemble(
                ops, region, scope.features, seeds, params, context.statistics, evidence
            )
        weight = region.band.size / band.size
        progress = partial(_advance, stages, share, solved, weight)
        with stages.timed("solve"):
            solution = solve(ops, system, params.solver, params.tolerance, progress)
        with stages.timed("labels"):
            if probabilities is not None:
                write_probabilities(ops, region, ops.body(solution.x), probabilities)
            bound = 0.0 if solution.bound is None else solution.bound
            bound = bound + region.error / region.labels.shape[1]  # region.error is that of the sum
            if escape is not None:
                chance = _escape_probability(ops, region, solution, escape, core)
                bound, most = bound + solution.error + chance, max(most, chance)
            # Labels overwrite the seeds: components do not touch, so no other region reads them.
            found = ops.decide(
                region.band, solution.x, region.labels, region.places, bound, core, seeds
            )
        tally += _tally(solution, found)
        solved += weight
    if params.majority > 1:
        with stages.timed("labels"):
            ops.put(band, ops.majority(seeds, band, params.majority), seeds)
    return Refined(seeds, probabilities, tally, most)


def _unknown_pixels(ops: Ops, scope: Scope, band: Band) -> int:
    """Return the number of unknown pixels of the core."""
    if scope.core == scope.outer:
        return band.size
    inside = scope.core.relative_to(scope.outer).slices
    return int(ops.xp.count_nonzero(scope.seeds[inside] == 0))


def _side_for_many(
    ops: Ops, scope: Scope, band: Band, component: NDArray[np.int32], sharing: Sharing | None
) -> int:
    """Return a smaller side for the block if its seeds alone show that it has too many labels.

    This avoids computing evidence for a block that is divided anyway.
    """
    side = max(scope.core.shape)
    reach = Reach.of(ops, band, scope.seeds, None, component)
    if sharing is None or reach.counts.max(initial=0) <= FEW:
        return side
    if reach.entries(ops, band) <= _MOST_ENTRIES:
        return side
    columns = sharing.estimate(int(reach.counts.max()), scope.outer.shape)
    while (
        side > _SMALLEST
        and band.size * columns * side**2 > _MOST_ENTRIES * max(scope.core.shape) ** 2
    ):
        side = -(-side // 2)
    return side


def _can_be_divided(ops: Ops, scope: Scope, params: Params) -> bool:
    small = max(scope.core.shape) <= _SMALLEST
    return not small and not ops.solves_whole and halo_of(params.gamma) is not None


def refine_in_parts(
    context: BlockContext, scope: Scope, side: int, share: tuple[float, float]
) -> Refined:
    """Return the labels of a block, solved in smaller blocks with the given side."""
    labels, probabilities, tally = scope.seeds.copy(), None, Tally()
    if context.with_probabilities:
        probabilities = context.ops.xp.zeros((context.count, *labels.shape), np.float32)
    cores = list(scope.core.divided(side))
    step = (share[1] - share[0]) / len(cores)
    for i, core in enumerate(cores):
        part = _cut_out(context.ops, scope, core, context.params)
        found = refine_block(context, part, (share[0] + i * step, share[0] + (i + 1) * step))
        here, there = core.relative_to(scope.outer).slices, core.relative_to(part.outer).slices
        labels[here] = found.labels[there]
        if probabilities is not None and found.probabilities is not None:
            probabilities[:, *here] = found.probabilities[:, *there]
        tally += found.tally
    return Refined(labels, probabilities, tally)


def _cut_out(ops: Ops, scope: Scope, core: Window, params: Params) -> Scope:
    """Return a smaller block of a scope, with copies of its arrays."""
    outer = outer_of(core, params, (scope.outer.bottom, scope.outer.right))
    window = outer.intersection(scope.outer)
    assert window is not None
    inside = window.relative_to(scope.outer).slices
    image = ops.xp.ascontiguousarray(scope.image[inside])
    features = image
    if scope.features is not scope.image:
        features = ops.xp.ascontiguousarray(scope.features[inside])
    return Scope(core, window, scope.seeds[inside].copy(), image, features)


def _escape_probability(
    ops: Ops, region: Region, solution: Solution, escape: int, core: Window
) -> float:
    """Return the largest potential of the label `escape` at pixels of the core."""
    reached = region.labels[:, -1][region.rows(ops)] == escape
    rows, columns = ops.xp.divmod(ops.pixels(region.band), region.band.shape[1])
    inside = (rows >= core.top) & (rows < core.bottom)
    inside &= (columns >= core.left) & (columns < core.right)
    others = ops.body(solution.x).sum(axis=0)
    chances = ops.xp.where(reached & inside, 1.0 - others, 0.0)
    return max(0.0, float(chances.max()))


def _tally(solution: Solution, uncertain: int) -> Tally:
    return Tally(
        uncertified_pixels=None if solution.bound is None else uncertain,
        refined_pixels=solution.refined,
        systems=1,
        right_hand_sides=len(solution.x),
        iterations=solution.iterations,
        error=solution.error,
        solvers=tuple(name for name in solution.solver.split("+") if name != "none"),
        fallbacks=(solution.fallback,) if solution.fallback else (),
    )


def _advance(
    stages: Stages, share: tuple[float, float], before: float, weight: float, fraction: float
) -> None:
    """Report the progress of one system of a block as a fraction of the whole run."""
    done = min(1.0, before + weight * fraction)
    stages.advance("solve", min(1.0, share[0] + (share[1] - share[0]) * done))
