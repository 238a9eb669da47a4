"""Seeds: the pixels whose class is kept. All others are the unknown band."""

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

# The matrix has up to 5 entries per row, and indices are int32.
MAX_UNKNOWN = (2**31 - 1) // 5

# Least number of probabilities sampled at a time.
_BLOCK = 1 << 20


def reach_of(params: Params, passes: int) -> int:
    """Return the halo in pixels with which a window's seeds are those of the whole image.

    A structuring element of radius r reaches r pixels, so a thinning pass with m elements reaches
    m r. Pruning spurs looks for thick seeds within twice the passes, and an opening reaches 2.
    """
    count, side = int(params.elements.shape[0]), int(params.elements.shape[1])
    return passes * count * (side // 2) + (2 * passes + 2 if params.prune else 0)


def mark_seeds(
    ops: Ops, coarse: Coarse, place: GridMapping, classes: Classes, params: Params, passes: int
) -> Classes:
    """Return the seeds (h, w) of the classes in a window: thinned, pruned, sure and not ignored.

    At pixels farther than ``reach_of`` from the window's sides inside the image, they equal those
    of the whole image. Only the rules for objects that are cut off or would lose all seeds depend
    on the whole window.
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
    """Make seeds unknown where the two largest interpolated probabilities differ too little."""
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
    """Turn objects (4-connected, of one class) that have no seeds left into seeds.

    Thinning and pruning leave some of each object; ``clear_unsure`` may leave none.
    """
    xp, wall, (height, width) = ops.xp, wall_of(seeds.dtype), seeds.shape
    # Pixels go to every other row and column of a larger grid, joined only within a class: then one
    # component search finds the objects of all classes.
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
    """Count the seeds of each class, (K,)."""
    return ops.histogram(seeds, wall_of(seeds.dtype) + 1)[1 : count + 1]


def check_seeds(
    before: NDArray[np.bool_],
    after: NDArray[np.bool_],
    labels: NDArray[Any],
    passes: int,
    stages: Stages,
    gamma: float = 0.0,
) -> None:
    """Note which classes lost all their seeds; refuse if no class has any left.

    before, after: (K,); labels: (K,) of the classes.
    """
    lost = labels[before & ~after].tolist()
    if not after.any():
        raise InvalidInput(
            f"passes={passes} left no seeds: every pixel of every class {listed(lost)} became "
            "unknown; use fewer passes or other elements."
        )
    if lost:
        consequence = "can appear in the result only where there is evidence for them"
        if gamma == 0:
            consequence = "cannot appear in the result"
        stages.notes.append(
            f"Thinning with passes={passes} left no seeds of class {listed(lost)}: "
            f"these classes {consequence}."
        )


def check_band(ops: Ops, seeds: Classes, passes: int) -> None:
    """Raise InvalidInput if the band has too many pixels for the matrix's indices."""
    if seeds.size <= MAX_UNKNOWN:
        return
    size = int(ops.histogram(seeds, wall_of(seeds.dtype) + 1)[0])
    if size > MAX_UNKNOWN:
        raise InvalidInput(
            f"passes={passes} made {size} pixels unknown; at most {MAX_UNKNOWN} can be "
            "solved in one call: use fewer passes, or refine parts of the image."
        )
