"""What is known before the walk: enough to start from, and no more unknown than can be solved."""

from math import inf

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.ops import Classes, Ops, wall_of
from hdseg_gpu.core.params import Coarse, Params
from hdseg_gpu.core.report import Stages
from hdseg_gpu.core.windows import Placement
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
    ops: Ops, coarse: Coarse, place: Placement, classes: Classes, params: Params, passes: int
) -> Classes:
    """Return the seeds of classes in a window of the picture: thinned, pruned, sure, not ignored.

    They are those of the whole picture where the window's ends, but for the picture's frame, are
    farther away than ``reach_of``; the rules for cut off and lost objects look as far as the
    window goes.
    """
    seeds = ops.seeds(classes, coarse.count, params.elements, passes)
    if params.prune:
        seeds = ops.prune(seeds, min(2 * passes, max(seeds.shape)))
    if params.unsure > 0:
        clear_unsure(ops, coarse, place, seeds, params)
        keep_lost_objects(ops, classes, seeds, coarse.count)
    if coarse.ignored is not None:
        raise_walls(ops, coarse.ignored, place, classes, seeds, params)
    check_band(int(ops.histogram(seeds, wall_of(seeds.dtype) + 1)[0]), passes)
    return seeds


def clear_unsure(
    ops: Ops, coarse: Coarse, place: Placement, seeds: Classes, params: Params
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


def keep_lost_objects(ops: Ops, classes: Classes, seeds: Classes, count: int) -> None:
    """Make seeds of the objects (4-connected, of one class) that have none left.

    Thinning and pruning leave some of each; probabilities may leave a whole object unsure.
    """
    wall = wall_of(seeds.dtype)
    for k in range(count):
        own = ops.xp.where(classes == k, seeds, wall).astype(seeds.dtype)
        band = ops.band(own)
        component = ops.components(band)
        lost = ~ops.contacts(band, own, component, count)[:, k]
        seeds.reshape(-1)[ops.pixels(ops.select(band, lost[component]))] = k + 1


def seeded(ops: Ops, seeds: Classes, count: int) -> NDArray[np.int64]:
    """Return how many seeds each class has."""
    return ops.histogram(seeds, wall_of(seeds.dtype) + 1)[1 : count + 1]


def check_seeds(
    before: NDArray[np.bool_],
    after: NDArray[np.bool_],
    coarse: Coarse,
    passes: int,
    stages: Stages,
    gamma: float = 0.0,
) -> None:
    """Say which of the classes that were there before lost all seeds; refuse when none is left."""
    lost = coarse.values[before & ~after].tolist()
    if not after.any():
        raise InvalidInput(
            f"passes={passes} left no seeds: every pixel of every class {lost} became unknown; "
            "use fewer passes or other elements."
        )
    if lost:
        consequence = "can appear in the result only where the evidence has them"
        if gamma == 0:
            consequence = "cannot appear in the result"
        stages.notes.append(
            f"Thinning with passes={passes} left no seeds of class {lost}: "
            f"these classes {consequence}."
        )


def check_band(size: int, passes: int) -> None:
    """Refuse a band whose matrix and positions could not be indexed."""
    if size > MAX_UNKNOWN:
        raise InvalidInput(
            f"passes={passes} made {size} pixels unknown; at most {MAX_UNKNOWN} can be "
            "solved in one call: use fewer passes, or refine parts of the image."
        )
