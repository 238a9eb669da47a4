"""Whether thinning left enough to start from, and no more than can be solved."""

import numpy as np

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.ops import Classes, Ops
from hdseg_gpu.core.params import Coarse
from hdseg_gpu.core.report import Stages

# The matrix has up to 5 entries a row, counted in int32.
MAX_UNKNOWN = (2**31 - 1) // 5


def check_seeds(
    ops: Ops,
    classes: Classes,
    seeds: Classes,
    coarse: Coarse,
    passes: int,
    stages: Stages,
    gamma: float = 0.0,
) -> int:
    """Say which classes lost all their seeds; refuse when none is left; return how many unknown."""
    before = ops.histogram(classes, coarse.count) > 0
    unknown, *seeded = ops.histogram(seeds, coarse.count + 1).tolist()
    after = np.array(seeded) > 0
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
    return int(unknown)


def check_band(size: int, passes: int) -> None:
    """Refuse a band whose matrix could not be indexed."""
    if size > MAX_UNKNOWN:
        raise InvalidInput(
            f"passes={passes} made {size} pixels unknown; at most {MAX_UNKNOWN} can be "
            "solved in one call: use fewer passes, or refine parts of the image."
        )
