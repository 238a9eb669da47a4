"""The part of the backend `cuda` that eliminates the red pixels of a band."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cuda_kernels import (
    PADDING,
    CudaEdges,
    CudaKernels,
    CudaLevel,
    runs_of,
    suffix,
)
from hdseg_gpu.core.ops import Band, Edges, Level

_FILE = "reduction.cu"


class CudaReduction(CudaKernels):
    """Allocates, launches, returns; waits for the number of black pixels of some bands alone."""

    def reduce(self, band: Band, edges: Edges) -> Level:
        assert isinstance(edges, CudaEdges)
        xp, runs = self.xp, len(band.pixel)
        first = self._degrees(runs)
        self._spread(_FILE, "count_black", runs, band.shape[1], band.pixel, band.start, runs, first)
        xp.cumsum(first, out=first)
        entries = int(first[-1]) if band.black < 0 else band.black
        offsets = xp.empty((4, entries), np.int32)
        weights = xp.zeros((7, entries + 2 * PADDING), np.float32)
        excess, inverse = xp.zeros((2, entries + 2 * PADDING), np.float32)
        self._spread(
            _FILE, "reduce", entries,
            *band.shape, *runs_of(band), edges.rows, first, self._inverse(band, edges), entries,
            offsets, weights, excess, inverse,
        )  # fmt: skip
        return CudaLevel("stencil", (offsets, weights, excess), inverse, entries, first)

    def reduce_columns(
        self, band: Band, edges: Edges, level: Level, b: NDArray[Any]
    ) -> NDArray[Any]:
        assert isinstance(edges, CudaEdges)
        assert isinstance(level, CudaLevel)
        rhs: NDArray[Any] = self.xp.zeros((len(b), level.size + 2 * PADDING), np.float32)
        self._spread(
            _FILE, "reduce_columns", level.size,
            *band.shape, *runs_of(band), edges.rows, level.first_entry,
            self._inverse(band, edges), level.size, b, rhs, len(b),
        )  # fmt: skip
        return rhs

    def expand(
        self, band: Band, edges: Edges, level: Level, x: NDArray[Any], b: NDArray[Any]
    ) -> NDArray[Any]:
        assert isinstance(edges, CudaEdges)
        assert isinstance(level, CudaLevel)
        where = (*band.shape, *runs_of(band))
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
