"""The part of the backend `cuda` that makes the matrix of a band."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cuda_kernels import PADDING, CudaEdges, CudaKernels, runs_of, suffix
from hdseg_gpu.backends.cuda_pictures import parts_of
from hdseg_gpu.core.ops import Band, CsrMatrix, Edges, Places
from hdseg_gpu.core.options import EDGE_RULES


class CudaAssembly(CudaKernels):
    """Allocates, launches, returns."""

    def assemble(
        self,
        band: Band,
        features: NDArray[Any],
        rule: str,
        strength: float,
        seeds: NDArray[Any],
        labels: NDArray[Any],
        places: Places,
        gamma: float,
    ) -> tuple[Edges, NDArray[Any]]:
        columns = labels.shape[1]
        xp, stride = self.xp, band.size + 2 * PADDING
        rows, flux = xp.empty((4, stride), np.float32), xp.empty((columns, stride), np.float32)
        if band.size == 0:  # nothing but padding, which the kernel writes otherwise
            rows[:3], rows[3], flux[:] = 0.0, 1.0, 0.0
        # Squares of integers are summed in float32, of floats in float64.
        factor = float(strength) if suffix(features)[0] == "f" else np.float32(strength)
        for part in parts_of(self, features, band, halo=1):
            self._spread(
                "edges.cu", f"assemble_{suffix(features)}_{suffix(seeds)}", part.end - part.begin,
                band.pixel, band.start, len(band.pixel), part.begin, part.end, *band.shape,
                part.values, part.first, features.shape[2], np.int32(EDGE_RULES.index(rule)),
                factor, seeds, labels, columns, *places, np.float32(gamma), rows, flux,
                rows.shape[1],
            )  # fmt: skip
        return CudaEdges(rows), flux

    def laplacian(self, band: Band, edges: Edges) -> CsrMatrix:
        assert isinstance(edges, CudaEdges)
        xp, rows, size = self.xp, edges.rows, band.size
        count = xp.empty(size, np.int32)
        self._spread("edges.cu", "count_entries", size, rows, rows.shape[1], size, count)
        row_start = self._starts(count)
        entries = int(row_start[-1])
        column, value = xp.empty(entries, np.int32), xp.empty(entries, np.float64)
        self._spread(
            "edges.cu", "laplacian", size,
            *runs_of(band), *band.shape, rows, rows.shape[1], row_start, column, value,
        )  # fmt: skip
        return CsrMatrix(value, column, row_start)

    def excess(self, edges: Edges) -> NDArray[np.float64]:
        assert isinstance(edges, CudaEdges)
        sums: NDArray[np.float64] = self.body(edges.rows)[3].astype(np.float64)
        return sums
