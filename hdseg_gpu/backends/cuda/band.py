"""Ops of the backend `cuda` on the band."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cuda.kernels import CudaKernels, suffix
from hdseg_gpu.backends.cuda.structs import band_of
from hdseg_gpu.core.classes import Classes, wall_of
from hdseg_gpu.core.windows import Window
from hdseg_gpu.ops import EVERYWHERE, Band, Evidence, Places, Steps

_CHUNK = 1024  # pixels of a row, as in kernels/cuda/runs.cu
# For labels_at, as in kernels/cuda/components.cu: entries of its hash table at first, pairs that
# the host fetches with their count, the factor of places in keys, and words before the pairs.
_ENTRIES = 1 << 16
_AT_ONCE = 4096
_WALL = wall_of(np.uint32)
_HEAD = 8


class CudaBandOps(CudaKernels):
    """Allocates, launches, returns."""

    def band(self, seeds: NDArray[Any]) -> Band:
        band: Band = self.together(self.begin_band(seeds))[0]
        return band

    def begin_band(self, seeds: NDArray[Any]) -> Steps[Band]:
        xp, (height, width) = self.xp, seeds.shape
        chunks = height * -(-width // _CHUNK)
        found = self._counted(chunks, 3)
        self._spread(
            "runs.cu", f"count_runs_{suffix(seeds)}", 32 * chunks,
            seeds, height, width, found.counts, found.done,
        )  # fmt: skip
        self._scanned(found)
        (totals,) = yield (found.totals,)
        runs, size, black = totals[:, -1].tolist()
        pixel, start = xp.empty(runs, np.int64), xp.empty(runs + 1, np.int32)
        self._spread(
            "runs.cu", f"write_runs_{suffix(seeds)}", 32 * chunks,
            seeds, height, width, *found.before, pixel, start,
        )  # fmt: skip
        return Band((height, width), pixel, start, size, black)

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

    def part(
        self, band: Band, component: NDArray[np.int32], row: NDArray[np.int32]
    ) -> tuple[Band, NDArray[np.int32], NDArray[np.int32]]:
        xp, runs = self.xp, len(band.pixel)
        rows, found = xp.asarray(row), self._counted(runs, 3)
        self._spread(
            "runs.cu", "count_part", runs,
            band_of(band), component, rows, found.counts, found.done,
        )  # fmt: skip
        self._scanned(found)
        kept, size, black = self.host(found.totals)[:, -1].tolist()
        pixel, start = xp.empty(kept, np.int64), xp.empty(kept + 1, np.int32)
        first, position = xp.empty(kept, np.int32), xp.empty(size, np.int32)
        self._spread(
            "runs.cu", "write_part", band.size, band_of(band), band.size, component, rows,
            found.before, (pixel, start, first, position),
        )  # fmt: skip
        return Band(band.shape, pixel, start, size, black), first, position

    def put(self, band: Band, values: Classes, picture: Classes, less: int = 0) -> None:
        step = 1 if values.ndim == 1 else values.shape[1]
        self._spread(
            "runs.cu", f"put_{suffix(picture)}", band.size,
            band_of(band), band.size, values, step, np.int32(less), picture,
        )  # fmt: skip

    def _run_of(self, band: Band) -> Any:
        """Return the run of each position."""
        run = self.xp.empty(band.size, np.int32)
        self._spread("runs.cu", "runs_of_positions", band.size, band_of(band), band.size, run)
        return run

    def components(self, band: Band) -> NDArray[np.int32]:
        return self._components(band)[0]

    def _components(self, band: Band) -> tuple[NDArray[np.int32], Any]:
        """Return the component of each run, and how many there are: (1,)."""
        xp, runs = self.xp, len(band.pixel)
        component: NDArray[np.int32] = xp.empty(runs, np.int32)
        if runs == 0:
            return component, xp.zeros(1, np.int64)
        parent, found = xp.empty(runs, np.int32), self._counted(runs)
        self._spread("components.cu", "begin_apart", runs, runs, parent)
        self._spread("components.cu", "link_runs", runs, band_of(band), parent)
        self._spread("components.cu", "count_roots", runs, parent, runs, found.counts, found.done)
        self._scanned(found)
        self._spread(
            "components.cu", "number_components", runs,
            parent, runs, found.in_tile, found.tile, component,
        )  # fmt: skip
        return component, found.tile[-1:]

    def labels_at(
        self, band: Band, seeds: NDArray[Any], places: Places, evidence: Evidence | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        place, label, _ = self._labels_at(band, seeds, places, evidence, self.xp.zeros(1, np.int64))
        return place, label

    def reached(
        self, band: Band, seeds: NDArray[Any], evidence: Evidence | None
    ) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
        component, number = self._components(band)
        places = Places(component, EVERYWHERE)
        place, label, count = self._labels_at(band, seeds, places, evidence, number)
        return component, np.bincount(place, minlength=count), label

    def _labels_at(
        self,
        band: Band,
        seeds: NDArray[Any],
        places: Places,
        evidence: Evidence | None,
        number: Any,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
        """Return the result of ``labels_at``, and a number on the device, fetched with it."""
        size = _ENTRIES
        kept = 0 if evidence is None else evidence.label.shape[1]
        evident = seeds if evidence is None else evidence.label
        while True:
            pairs = self.xp.zeros(_HEAD + 2 * size, np.uint64)
            self._spread(
                "components.cu", f"labels_at_{suffix(seeds)}", band.size, band_of(band), band.size,
                seeds, places, evident, kept, pairs, size, number,
            )  # fmt: skip
            found = self.host(pairs[: _HEAD + _AT_ONCE])
            full, count, fetched = found[:3].tolist()
            if not full:
                break
            size *= 8
        if count > _AT_ONCE:
            found = self.host(pairs[: _HEAD + count])
        keys = np.sort(found[_HEAD : _HEAD + count]).astype(np.int64)
        place, label = np.divmod(keys, _WALL + 1)
        return place, label, fetched

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
        uncertain = xp.zeros(1, np.int32)
        potentials = bounds = x.astype(np.float32, copy=False)
        of_all = np.float32(-1.0)  # each pixel has a row of its own
        if isinstance(bound, xp.ndarray) and bound.size == band.size:
            bounds = bound.astype(np.float32, copy=False).reshape(-1)
        else:
            of_all = np.float32(float(bound))
        self._spread(
            "labels.cu", f"decide_{suffix(seeds)}", band.size,
            band_of(band), band.size, potentials, x.shape[1], (labels, labels.shape[1], places),
            bounds, of_all, (core.top, core.left, core.bottom, core.right), seeds, uncertain,
        )  # fmt: skip
        return int(uncertain[0])
