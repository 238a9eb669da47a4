"""A whole picture in memory: rounds of evidence, then block by block the walker."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.ops import Classes, Ops
from hdseg_gpu.core.params import Coarse, Params, Survey
from hdseg_gpu.core.report import Stages, Tally
from hdseg_gpu.core.windows import Window, all_of, whole
from hdseg_gpu.pipeline.block import Scope, blocks_of, cut_out, halo_of, outer_of, refine_block
from hdseg_gpu.pipeline.decide import decide_classes
from hdseg_gpu.pipeline.seeds import check_seeds, mark_seeds, seeded


@dataclass(frozen=True)
class PictureResult:
    """Labels of a picture, and what it took to find them."""

    labels: NDArray[Any]  # (H, W) class index + 1, or a wall
    probabilities: NDArray[np.float32] | None  # (K, H, W), if asked for
    tally: Tally
    passes: int  # of the thinning that the seeds come from
    doubt: float | None  # of the coarse map's boundaries; None without evidence


def refine_picture(
    ops: Ops,
    image: NDArray[Any],
    features: NDArray[Any],
    coarse: Coarse,
    classes: Classes,
    params: Params,
    frozen: Survey,
    stages: Stages,
    with_probabilities: bool = False,
) -> PictureResult:
    """Return the refined labels of a picture, from its upsampled classes (H, W), used up."""
    params = without_evidence_unless_asked(params)
    place = all_of(classes.shape, coarse.shape)
    before = ops.histogram(classes, coarse.count) > 0
    surroundings, doubt, passes = None, None, params.passes
    if params.gamma > 0:
        decided = decide_classes(ops, image, frozen, coarse, place, classes, params, stages)
        seeds, surroundings = decided.seeds, decided.surroundings
        doubt, passes = decided.doubt, decided.passes
    else:
        with stages("seeds"):
            seeds = mark_seeds(ops, coarse, place, classes, params, passes)
    del classes
    after = seeded(ops, seeds, coarse.count) > 0
    check_seeds(before, after, coarse, passes, stages, params.gamma)
    labels, probabilities = seeds, None
    cores = list(blocks_of(seeds.shape))
    if len(cores) == 1 or ops.solves_whole or halo_of(params.gamma) is None:
        scope = Scope(whole(seeds.shape), whole(seeds.shape), seeds, image, features)
        found = refine_block(
            ops, scope, coarse.count, surroundings, params, frozen, stages,
            with_probabilities=with_probabilities,
        )  # fmt: skip
        labels, probabilities, tally = found.labels, found.probabilities, found.tally
    else:
        labels, tally = ops.xp.empty_like(seeds), Tally()
        if with_probabilities:
            probabilities = ops.xp.empty((coarse.count, *seeds.shape), np.float32)
        for i, scope in enumerate(_scopes(ops, cores, seeds, image, features, params)):
            share = i / len(cores), (i + 1) / len(cores)
            found = refine_block(
                ops, scope, coarse.count, surroundings, params, frozen, stages, share,
                with_probabilities,
            )  # fmt: skip
            inside = scope.core.seen_from(scope.outer).slices
            labels[scope.core.slices] = found.labels[inside]
            if probabilities is not None and found.probabilities is not None:
                probabilities[:, *scope.core.slices] = found.probabilities[:, *inside]
            tally += found.tally
    stages.advance("solve", 1.0)
    return PictureResult(labels, probabilities, tally, passes, doubt)


def without_evidence_unless_asked(params: Params) -> Params:
    """Return the parameters without evidence where nothing is decided again.

    Without a band of its own, what is unsure is the walker's alone.
    """
    return replace(params, gamma=0.0) if params.passes == 0 else params


def _scopes(
    ops: Ops,
    cores: list[Window],
    seeds: Classes,
    image: NDArray[Any],
    features: NDArray[Any],
    params: Params,
) -> Iterator[Scope]:
    """Cut a picture into blocks."""
    everything = Scope(whole(seeds.shape), whole(seeds.shape), seeds, image, features)
    for core in cores:
        yield cut_out(ops, everything, core, outer_of(core, params, seeds.shape))
