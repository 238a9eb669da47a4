"""What is known before the walk: enough to start from, and no more unknown than can be solved."""

from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.classes import Classes, wall_of
from hdseg_gpu.core.errors import InvalidInput, listed
from hdseg_gpu.core.params import Coarse, Params
from hdseg_gpu.core.report import Stages
from hdseg_gpu.core.windows import GridMapping
from hdseg_gpu.ops import Ops
from hdseg_gpu.pipeline.graph import Reach
from hdseg_gpu.pipeline.ignored import raise_walls

# The matrix has up to 5 entries a row, counted in int32.
MAX_UNKNOWN = (2**31 - 1) // 5

# Probabilities that are sampled at a time, at least.
_BLOCK = 1 << 20


def reach_of(params: Params, passes: int) -> int:
    """Return how far a pixel can have a say in the seeds: the halo that makes a window exact.

    An element looks r pixels far, so thinning m r a pass; spurs are looked at by an opening and
    twice the passes.
    """
    count, side = int(params.elements.shape[0]), int(params.elements.shape[1])
    return passes * count * (side // 2) + (2 * passes + 4 if params.prune else 0)


def mark_seeds(
    ops: Ops, coarse: Coarse, place: GridMapping, classes: Classes, params: Params, passes: int
) -> Classes:
    """Return the seeds of classes in a window of the picture: thinned, pruned, sure, not ignored.

    They are those of the whole picture where the window's ends, but for the picture's frame, are
    farther away than ``reach_of``; the rules for cut off and lost objects look as far as the
    window goes.
    """
    length = min(2 * passes, max(classes.shape)) if params.prune else 0
    seeds = ops.pruned_seeds(classes, coarse.count, params.elements, passes, length)
    if params.unsure > 0:
        clear_unsure(ops, coarse, place, seeds, params)
        keep_lost_objects(ops, classes, seeds)
    if coarse.ignored is not None:
        raise_walls(ops, coarse.ignored, place, classes, seeds, params)
    check_band(ops, seeds, passes)
    return seeds


def clear_unsure(
    ops: Ops, coarse: Coarse, place: GridMapping, seeds: Classes, params: Params
) -> None:
    """Make seeds unknown where the largest two interpolated probabilities are close together."""
    assert coarse.probabilities is not None
    flat = seeds.reshape(-1)
    step = max(1, max(_BLOCK, ops.block) // coarse.count)
    for first in range(0, flat.size, step):
        pixels = first + ops.xp.flatnonzero(flat[first : first + step])
        samples = ops.sample_planes(coarse.probabilities, place, pixels, params.interpolation)
        best = samples.max(axis=1)
        others = ops.xp.where(samples < best[:, None], samples, -inf).max(axis=1)
        tied = (samples == best[:, None]).sum(axis=1) > 1
        flat[pixels[tied | (best - others <= params.unsure)]] = 0


def keep_lost_objects(ops: Ops, classes: Classes, seeds: Classes) -> None:
    """Make seeds of the objects (4-connected, of one class) that have none left.

    Thinning and pruning leave some of each; probabilities may leave a whole object unsure.
    """
    xp, wall, (height, width) = ops.xp, wall_of(seeds.dtype), seeds.shape
    # Pixels on every other row and column of a larger picture, and between them what joins them:
    # so the classes are apart, and one search finds the objects of all.
    apart = xp.full((2 * height - 1, 2 * width - 1), wall, seeds.dtype)
    apart[::2, ::2] = seeds
    for joint, one, other in (
        (apart[::2, 1::2], np.s_[:, :-1], np.s_[:, 1:]),
        (apart[1::2, ::2], np.s_[:-1], np.s_[1:]),
    ):
        unknown = (seeds[one] == 0) | (seeds[other] == 0)
        joint[(classes[one] == classes[other]) & unknown] = 0
    band = ops.band(apart)
    reach = Reach.of(ops, band, apart, None)
    y, x = xp.divmod(
        ops.pixels(ops.select(band, reach.runs_with(ops, reach.counts == 0))), 2 * width - 1
    )
    inside = (y % 2 == 0) & (x % 2 == 0)
    lost = y[inside] // 2 * width + x[inside] // 2
    seeds.reshape(-1)[lost] = classes.reshape(-1)[lost] + 1


def seeded(ops: Ops, seeds: Classes, count: int) -> NDArray[np.int64]:
    """Return how many seeds each class has."""
    return ops.histogram(seeds, wall_of(seeds.dtype) + 1)[1 : count + 1]


def check_seeds(
    before: NDArray[np.bool_],
    after: NDArray[np.bool_],
    labels: NDArray[Any],
    passes: int,
    stages: Stages,
    gamma: float = 0.0,
) -> None:
    """Say which of the classes that were there before lost all seeds; refuse when none is left.

    before, after: (K,); labels: (K,) of the classes.
    """
    lost = labels[before & ~after].tolist()
    if not after.any():
        raise InvalidInput(
            f"passes={passes} left no seeds: every pixel of every class {listed(lost)} became "
            "unknown; use fewer passes or other elements."
        )
    if lost:
        consequence = "can appear in the result only where the evidence has them"
        if gamma == 0:
            consequence = "cannot appear in the result"
        stages.notes.append(
            f"Thinning with passes={passes} left no seeds of class {listed(lost)}: "
            f"these classes {consequence}."
        )


def check_band(ops: Ops, seeds: Classes, passes: int) -> None:
    """Refuse a band whose matrix and positions could not be indexed."""
    if seeds.size <= MAX_UNKNOWN:
        return
    size = int(ops.histogram(seeds, wall_of(seeds.dtype) + 1)[0])
    if size > MAX_UNKNOWN:
        raise InvalidInput(
            f"passes={passes} made {size} pixels unknown; at most {MAX_UNKNOWN} can be "
            "solved in one call: use fewer passes, or refine parts of the image."
        )
