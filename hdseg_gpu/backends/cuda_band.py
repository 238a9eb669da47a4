"""The part of the backend `cuda` that knows the band, and the matrix on it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cuda_kernels import CudaKernels, runs_of, suffix
from hdseg_gpu.core.ops import Band, Classes, component_count
from hdseg_gpu.core.windows import Window

_CHUNK = 1024  # pixels of a row, as in kernels/cuda/runs.cu


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

    def contacts(
        self, band: Band, seeds: NDArray[Any], component: NDArray[np.int32], count: int
    ) -> NDArray[np.bool_]:
        components = component_count(component)
        touches: NDArray[np.bool_] = self.xp.zeros((components, count), np.bool_)
        self._spread(
            "components.cu", f"contacts_{suffix(seeds)}", band.size,
            *runs_of(band), *seeds.shape, seeds, component, count, touches,
        )  # fmt: skip
        return touches

    def decide(
        self,
        band: Band,
        x: NDArray[Any],
        classes: NDArray[Any],
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
            *runs_of(band), potentials, *x.shape, classes, bounds, int(bounds.size > 1),
            *band.shape, core.top, core.left, core.bottom, core.right, seeds, uncertain,
        )  # fmt: skip
        return int(uncertain[0])
