"""Ops of the backend `cuda` for the matrix of a band, and its red-black reduction."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cuda.kernels import CudaKernels, suffix
from hdseg_gpu.backends.cuda.layout import PADDING, CudaEdges, CudaLevel
from hdseg_gpu.backends.cuda.pictures import parts_of
from hdseg_gpu.backends.cuda.structs import band_of
from hdseg_gpu.core.options import EDGE_RULES
from hdseg_gpu.ops import Band, CsrMatrix, Edges, Level, Places

_FILE = "reduction.cu"


class CudaMatrixOps(CudaKernels):
    """Allocates, launches, returns; waits for the number of black pixels of some bands alone."""

    def assemble(
        self,
        band: Band,
        features: NDArray[Any],
        rule: str,
        edge_scale: float,
        seeds: NDArray[Any],
        labels: NDArray[Any],
        places: Places,
        gamma: float,
    ) -> tuple[Edges, NDArray[Any]]:
        columns = labels.shape[1]
        xp, stride = self.xp, band.size + 2 * PADDING
        rows, flux = xp.empty((4, stride), np.float32), xp.empty((columns, stride), np.float32)
        if band.size == 0:  # only padding, which the kernel would write
            rows[:3], rows[3], flux[:] = 0.0, 1.0, 0.0
        # Squares of integers are summed in float32, of floats in float64.
        factor = float(edge_scale) if suffix(features)[0] == "f" else np.float32(edge_scale)
        which = np.int32(EDGE_RULES.index(rule))
        for part in parts_of(self, features, band, halo=1):
            self._spread(
                "edges.cu", f"assemble_{suffix(features)}_{suffix(seeds)}", part.end - part.begin,
                band_of(band), (part.begin, part.end),
                (part.values, part.first, features.shape[2], which, factor), seeds,
                (labels, columns, places), np.float32(gamma), rows, flux, rows.shape[1],
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
            band_of(band), size, rows, rows.shape[1], row_start, column, value,
        )  # fmt: skip
        return CsrMatrix(value, column, row_start)

    def matrix_row_sums(self, edges: Edges) -> NDArray[np.float64]:
        assert isinstance(edges, CudaEdges)
        sums: NDArray[np.float64] = self.body(edges.rows)[3].astype(np.float64)
        return sums

    def eliminate_red(self, band: Band, edges: Edges) -> Level:
        assert isinstance(edges, CudaEdges)
        xp, runs = self.xp, len(band.pixel)
        first = self._degrees(runs)
        self._spread(_FILE, "count_black", runs, band_of(band), first)
        xp.cumsum(first, out=first)
        entries = int(first[-1]) if band.black < 0 else band.black
        offsets = xp.empty((4, entries), np.int32)
        weights = xp.zeros((7, entries + 2 * PADDING), np.float32)
        row_sum, inverse = xp.zeros((2, entries + 2 * PADDING), np.float32)
        self._spread(
            _FILE, "eliminate_red", entries,
            band_of(band), band.size, edges.rows, first, self._inverse(band, edges), entries,
            offsets, weights, row_sum, inverse,
        )  # fmt: skip
        return CudaLevel("stencil", (offsets, weights, row_sum), inverse, entries, first)

    def eliminate_red_rhs(
        self, band: Band, edges: Edges, level: Level, b: NDArray[Any]
    ) -> NDArray[Any]:
        assert isinstance(edges, CudaEdges)
        assert isinstance(level, CudaLevel)
        rhs: NDArray[Any] = self.xp.zeros((len(b), level.size + 2 * PADDING), np.float32)
        self._spread(
            _FILE, "eliminate_red_rhs", level.size,
            band_of(band), band.size, edges.rows, level.first_entry,
            self._inverse(band, edges), level.size, b, rhs, len(b),
        )  # fmt: skip
        return rhs

    def back_substitute(
        self, band: Band, edges: Edges, level: Level, x: NDArray[Any], b: NDArray[Any]
    ) -> NDArray[Any]:
        assert isinstance(edges, CudaEdges)
        assert isinstance(level, CudaLevel)
        where = band_of(band), band.size
        self._spread(
            _FILE, f"place_black_{suffix(x)}", level.size, *where, level.first_entry, x, b, len(b)
        )
        red = band.size - level.size
        self._spread(
            _FILE, "solve_red", red,
            *where, edges.rows, band.start - level.first_entry, self._inverse(band, edges), red,
            b, len(b),
        )  # fmt: skip
        return b

    def _inverse(self, band: Band, edges: CudaEdges) -> Any:
        """Return 1 / A_ii of the pixels, padded by 1."""
        if edges.inverse is None:
            edges.inverse = inverse = self.xp.empty(band.size + 2 * PADDING, np.float32)
            self._spread(_FILE, "invert_diagonal", len(inverse), edges.rows, band.size, inverse)
        return edges.inverse
