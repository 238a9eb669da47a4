"""The inputs of a run, and their arrays as files that a child process can load.

``HDSEG_BENCH_SIZES`` lists the sizes in megapixels, of 1, 4, 16 and 64 (default 1);
``HDSEG_BENCH_FULL=1`` runs slow peers on everything and for all passes.
"""

import os
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from gallery import SCENES, scene
from numpy.typing import NDArray

from benchmarks import systems
from hdseg_gpu import backends, structuring_elements
from hdseg_gpu.core.windows import all_of

SIZES = [int(s) for s in os.environ.get("HDSEG_BENCH_SIZES", "1").split(",")]
FULL = os.environ.get("HDSEG_BENCH_FULL", "0") not in ("", "0")


class Case(NamedTuple):
    """A scene and its thinning."""

    scene: str
    elements: str
    passes: int

    def __str__(self) -> str:
        return f"{self.scene}, {self.elements}, n = {self.passes}"

    def key(self) -> str:
        """Return a name that pytest's -k can select."""
        return f"{self.scene}-{self.elements}-{self.passes}"


def _asked(*cases: Case) -> list[Case]:
    return [case for case in cases if SCENES[case.scene] in SIZES]


GENERATED = _asked(*(Case(f"blobs-{size}M", "9x9", 35) for size in (1, 4, 16, 64)))
# With the generated images: bands of 0.15, 0.2, 0.3, 0.7, 1.3, 1.3, 2.7 and 4.8 M unknowns.
REAL = _asked(
    Case("seed_figure", "3x3", 27),
    Case("dis_bike", "9x9", 16),
    Case("hrf_01_h", "9x9", 16),
    Case("dis_bike", "9x9", 62),
    Case("hrf_grid", "9x9", 8),
)


class Files:
    """Arrays of the inputs as .npy files, created on demand, one folder per input."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.picture = cache(self._picture)
        self.system = cache(self._system)

    def _picture(self, case: Case) -> Path:
        """Return the folder with image, coarse, mask (coarse enlarged) and seeds."""
        image, coarse = scene(case.scene)
        ops = backends.load("cpu")
        classes = ops.upsample_labels(coarse, all_of(image.shape[:2], coarse.shape))
        elements = structuring_elements(case.elements)
        seeds = ops.seeds(classes, 2, elements, case.passes)
        return self._save(
            f"{case}", image=image, coarse=coarse, mask=classes > 0, elements=elements, seeds=seeds
        )

    def _system(self, case: Case, beta: float, gamma: float) -> Path:
        """Return the folder with the band's system, see ``systems.build``."""
        picture = self.picture(case)
        image, coarse, seeds = (load(picture, name) for name in ("image", "coarse", "seeds"))
        arrays = systems.build(image, coarse, seeds, beta=beta, gamma=gamma)
        folder = self._save(f"{case}, {beta:g}, {gamma:g}", **arrays)
        for name in ("image.npy", "seeds.npy"):
            (folder / name).symlink_to(picture / name)
        return folder

    def _save(self, name: str, **arrays: NDArray[Any]) -> Path:
        folder = self._root / name
        folder.mkdir()
        for key, array in arrays.items():
            np.save(folder / f"{key}.npy", array)
        return folder


def load(folder: Path, name: str) -> NDArray[Any]:
    """Return one array, memory-mapped."""
    array: NDArray[Any] = np.load(folder / f"{name}.npy", mmap_mode="r")
    return array
