"""Whether thinning left enough to start from, and no more than can be solved."""

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.ops import Ops
from hdseg_gpu.core.params import Coarse
from hdseg_gpu.core.report import Stages

# The matrix has up to 5 entries a row, counted in int32.
MAX_UNKNOWN = (2**31 - 1) // 5
_BLOCK = 1 << 20


def check_seeds(
    ops: Ops,
    classes: NDArray[np.int32],
    seeds: NDArray[np.int32],
    coarse: Coarse,
    passes: int,
    stages: Stages,
    gamma: float = 0.0,
) -> None:
    """Say which classes lost all their seeds; refuse when no seed is left at all."""
    before = _present(classes, coarse.count)
    after = _present(seeds, coarse.count + 1)[1:]
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
    """Refuse a band whose matrix could not be indexed."""
    if size > MAX_UNKNOWN:
        raise InvalidInput(
            f"passes={passes} made {size} pixels unknown; at most {MAX_UNKNOWN} can be "
            "solved in one call: use fewer passes, or refine parts of the image."
        )


def _present(values: NDArray[np.int32], count: int) -> NDArray[np.bool_]:
    """Return which of 0..count-1 occur, without a copy of the picture in another dtype."""
    found = np.zeros(count, np.bool_)
    flat = values.reshape(-1)
    for start in range(0, flat.size, _BLOCK):
        found[flat[start : start + _BLOCK]] = True
    return found
