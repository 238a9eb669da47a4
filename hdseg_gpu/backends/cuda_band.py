"""The part of the backend `cuda` that knows the band, and the matrix on it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cuda_kernels import CudaKernels, runs_of, suffix
from hdseg_gpu.core.ops import Band, Classes, Evidence, Places, wall_of
from hdseg_gpu.core.windows import Window

_CHUNK = 1024  # pixels of a row, as in kernels/cuda/runs.cu
# Entries of the table of who has a say, at first; one that is free; what labels are counted by, as
# in kernels/cuda/components.cu.
_HEARD = 1 << 16
_FREE = (1 << 64) - 1
_WALL = wall_of(np.uint32)


class CudaBand(CudaKernels):
    """Allocates, launches, returns."""

    def band(self, seeds: NDArray[Any]) -> Band:
        xp, (height, width) = self.xp, seeds.shape
        chunks = height * -(-width // _CHUNK)
        found = xp.empty(chunks, np.int32)
        self._spread(
            "runs.cu", f"count_runs_{suffix(seeds)}", 32 * chunks, seeds, height, width, found
        )
        behind = xp.cumsum(found, dtype=np.int64)
        pixel, last = xp.empty(int(behind[-1]), np.int64), xp.empty(int(behind[-1]), np.int64)
        self._spread(
            "runs.cu", f"write_runs_{suffix(seeds)}", 32 * chunks,
            seeds, height, width, behind, pixel, last,
        )  # fmt: skip
        return self._band((height, width), pixel, last + 1 - pixel)

    def _band(self, shape: tuple[int, int], pixel: Any, lengths: Any) -> Band:
        start = self._starts(lengths)
        return Band(shape, pixel, start, int(start[-1]))

    def select(self, band: Band, runs: NDArray[np.bool_]) -> Band:
        lengths = band.start[1:] - band.start[:-1]
        return self._band(band.shape, band.pixel[runs], lengths[runs])

    def pixels(self, band: Band) -> NDArray[np.int64]:
        run = self._run_of(band)
        found: NDArray[np.int64] = (band.pixel - band.start[:-1])[run] + self.xp.arange(
            band.size, dtype=np.int64
        )
        return found

    def of_pixels(self, band: Band, values: NDArray[Any]) -> NDArray[Any]:
        found: NDArray[Any] = values[self._run_of(band)]
        return found

    def put(self, band: Band, values: Classes, picture: Classes) -> None:
        step = 1 if values.ndim == 1 else values.shape[1]
        self._spread(
            "runs.cu", f"put_{suffix(picture)}", band.size, *runs_of(band), values, step, picture
        )

    def _run_of(self, band: Band) -> Any:
        """Return the run of each position."""
        run = self.xp.empty(band.size, np.int32)
        self._spread(
            "runs.cu", "runs_of_positions", band.size, band.start, len(band.pixel), band.size, run
        )
        return run

    def components(self, band: Band) -> NDArray[np.int32]:
        xp, runs = self.xp, len(band.pixel)
        parent = xp.arange(runs, dtype=np.int32)
        where = (band.pixel, band.start, runs, *band.shape)
        self._spread("components.cu", "link_runs", runs, *where, parent)
        root, is_first = xp.empty(runs, np.int32), xp.empty(runs, np.int32)
        self._spread("components.cu", "find_roots", runs, parent, runs, root, is_first)
        component: NDArray[np.int32] = (xp.cumsum(is_first, dtype=np.int32) - 1)[root]
        return component

    def says(
        self, band: Band, seeds: NDArray[Any], places: Places, evidence: Evidence | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        xp, size = self.xp, _HEARD
        kept = 0 if evidence is None else evidence.label.shape[1]
        label = seeds if evidence is None else evidence.label
        while True:
            table, full = xp.full(size, _FREE, np.uint64), xp.zeros(1, np.int32)
            self._spread(
                "components.cu", f"says_{suffix(seeds)}", band.size, *runs_of(band), *band.shape,
                seeds, *places, label, kept, table, size, full,
            )  # fmt: skip
            if not int(full[0]):
                break
            size *= 8
        keys = np.sort(self.host(table[table != _FREE])).astype(np.int64)
        place, said = np.divmod(keys, _WALL + 1)
        return place, said

    def decide(
        self,
        band: Band,
        x: NDArray[Any],
        labels: NDArray[Any],
        places: Places,
        bound: NDArray[Any] | float,
        core: Window,
        seeds: NDArray[Any],
    ) -> int:
        xp = self.xp
        if isinstance(bound, xp.ndarray):
            bounds = bound.astype(np.float32, copy=False).reshape(-1)
        else:
            bounds = xp.full(1, bound, np.float32)
        uncertain = xp.zeros(1, np.int32)
        potentials = x.astype(np.float32, copy=False)
        self._spread(
            "labels.cu", f"decide_{suffix(seeds)}", band.size,
            *runs_of(band), potentials, *x.shape, labels, *places, bounds, int(bounds.size > 1),
            *band.shape, core.top, core.left, core.bottom, core.right, seeds, uncertain,
        )  # fmt: skip
        return int(uncertain[0])
