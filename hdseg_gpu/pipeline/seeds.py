"""Whether thinning left enough to start from."""

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.params import Coarse
from hdseg_gpu.core.report import Stages


def check_seeds(
    classes: NDArray[np.int32],
    seeds: NDArray[np.int32],
    coarse: Coarse,
    passes: int,
    stages: Stages,
) -> None:
    """Say which classes lost all their seeds; refuse when no seed is left at all."""
    before = np.bincount(classes.reshape(-1), minlength=coarse.count)
    after = np.bincount(seeds.reshape(-1), minlength=coarse.count + 1)[1:]
    lost = coarse.values[(before > 0) & (after == 0)].tolist()
    if not after.any():
        raise InvalidInput(
            f"passes={passes} left no seeds: every pixel of every class {lost} became unknown; "
            "use fewer passes or other elements."
        )
    if lost:
        stages.notes.append(
            f"Thinning with passes={passes} left no seeds of class {lost}: "
            "these classes cannot appear in the result."
        )
