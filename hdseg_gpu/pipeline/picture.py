"""A whole picture in memory: rounds of evidence, then block by block the walker."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.ops import Classes, Ops, Steps, wall_of
from hdseg_gpu.core.params import Coarse, Params, Survey
from hdseg_gpu.core.report import Stages, Tally
from hdseg_gpu.core.windows import all_of, whole
from hdseg_gpu.pipeline.block import BLOCK, Scope, halo_of, refine_block, refine_in_parts
from hdseg_gpu.pipeline.decide import decide_classes
from hdseg_gpu.pipeline.seeds import check_seeds, mark_seeds


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
    present = ops.xp.zeros((2, wall_of(classes.dtype) + 1), np.uint8)
    ops.mark_present(classes, present[0])
    in_one = max(classes.shape) <= BLOCK or ops.solves_whole or halo_of(params.gamma) is None

    def ask(seeds: Classes) -> list[Steps[Any]]:
        """Begin to find out which classes occur, before and among the seeds, and the band."""
        ops.mark_present(seeds, present[1])
        return [ops.fetching(present), *([ops.begin_band(seeds)] if in_one else [])]

    surroundings, doubt, passes = None, None, params.passes
    if params.gamma > 0:
        decided = decide_classes(ops, image, frozen, coarse, place, classes, params, stages, ask)
        seeds, surroundings, known = decided.seeds, decided.surroundings, decided.known
        doubt, passes = decided.doubt, decided.passes
    else:
        with stages("seeds"):
            seeds = mark_seeds(ops, coarse, place, classes, params, passes)
            known = ops.together(*ask(seeds))
    del classes
    ((occurs,), *bands) = known
    before, after = occurs[0, : coarse.count] > 0, occurs[1, 1 : coarse.count + 1] > 0
    check_seeds(before, after, coarse, passes, stages, params.gamma)
    scope = Scope(whole(seeds.shape), whole(seeds.shape), seeds, image, features)
    refined = (
        partial(refine_block, band=bands[0]) if in_one else partial(refine_in_parts, side=BLOCK)
    )
    found = refined(
        ops, scope, count=coarse.count, surroundings=surroundings, params=params, frozen=frozen,
        stages=stages, with_probabilities=with_probabilities,
    )  # fmt: skip
    stages.advance("solve", 1.0)
    return PictureResult(found.labels, found.probabilities, found.tally, passes, doubt)


def without_evidence_unless_asked(params: Params) -> Params:
    """Return the parameters without evidence where nothing is decided again.

    Without a band of its own, what is unsure is the walker's alone.
    """
    return replace(params, gamma=0.0) if params.passes == 0 else params
