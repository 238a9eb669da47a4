"""The matrix of a band, and its reduction."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cpu.kernels import CpuKernels
from hdseg_gpu.backends.cpu.layout import CpuEdges, StencilLevel
from hdseg_gpu.ops import Band, CsrMatrix, Edges, Level, Places


class CpuMatrixOps(CpuKernels):
    """Allocates, calls, returns."""

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
        edges = self.zeros(band.size, 4)
        padding = self._kernels.padding
        edges[3, :padding] = edges[3, -padding:] = 1.0  # what is not there may be divided by
        flux = self.zeros(band.size, labels.shape[1])
        self._kernels.assemble(
            band, features, rule, edge_scale, seeds, labels, places, gamma, edges, flux
        )
        return CpuEdges(edges), flux

    def laplacian(self, band: Band, edges: Edges) -> CsrMatrix:
        assert isinstance(edges, CpuEdges)
        row_start = np.empty(band.size + 1, np.int32)
        entries = self._kernels.row_starts(band, edges, row_start)
        matrix = CsrMatrix(np.empty(entries), np.empty(entries, np.int32), row_start)
        self._kernels.laplacian(band, edges, row_start, matrix.indices, matrix.data)
        return matrix

    def matrix_row_sums(self, edges: Edges) -> NDArray[np.float64]:
        assert isinstance(edges, CpuEdges)
        sums: NDArray[np.float64] = self.body(edges.rows)[3].astype(np.float64)
        return sums

    def eliminate_red(self, band: Band, edges: Edges) -> Level:
        assert isinstance(edges, CpuEdges)
        pieces, first_entry, chunk = self._kernels.link_black(band)
        size = int(first_entry[-1])
        weights = self.zeros(size, 7)
        row_sum, inverse = self.zeros(size, 2)
        self._kernels.eliminate_red(band, edges, first_entry, weights, row_sum, inverse)
        pieces = pieces.reshape(-1, 6)
        return StencilLevel(pieces, chunk, weights, row_sum, inverse, first_entry)

    def eliminate_red_rhs(
        self, band: Band, edges: Edges, level: Level, b: NDArray[Any]
    ) -> NDArray[Any]:
        assert isinstance(edges, CpuEdges)
        assert isinstance(level, StencilLevel)
        rhs = self.zeros(level.size, len(b))
        self._kernels.eliminate_red_rhs(band, edges, level.first_entry, b, rhs)
        return rhs

    def back_substitute(
        self, band: Band, edges: Edges, level: Level, x: NDArray[Any], b: NDArray[Any]
    ) -> NDArray[Any]:
        assert isinstance(edges, CpuEdges)
        assert isinstance(level, StencilLevel)
        x = x.astype(np.float32, copy=False)
        self._kernels.back_substitute(band, edges, level.first_entry, x, b)
        return b
