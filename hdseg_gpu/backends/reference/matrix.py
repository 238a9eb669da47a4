"""The matrix of a band, and its reduction."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from hdseg_gpu.backends.host import HostOps
from hdseg_gpu.backends.reference.band import neighbour_pixels, neighbours, places_of
from hdseg_gpu.backends.reference.layout import Matrix, csr
from hdseg_gpu.core.classes import wall_of
from hdseg_gpu.ops import Band, CsrMatrix, Edges, Level, Places

_EDGE_FLOOR = 1e-10


class ReferenceMatrixOps(HostOps):
    """The definitions, written down."""

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
        pixels, n = band.pixels(), band.size
        vectors = features.reshape(-1, features.shape[2]).astype(np.float64)
        sign = -1.0 if rule == "intensity" else 1.0
        weights = np.zeros((n, 4))
        flux = np.zeros((labels.shape[1], n))
        of_pixel: NDArray[Any] = labels[places_of(band, places)]
        for k, (inside, other) in enumerate(neighbour_pixels(pixels, band.shape)):
            pairs = vectors[pixels[inside]] + sign * vectors[other]
            weights[inside, k] = np.exp(-edge_scale * (pairs**2).sum(axis=1)) + _EDGE_FLOOR
            weights[inside, k] *= seeds.ravel()[other] != wall_of(seeds.dtype)
            for j in range(labels.shape[1]):
                same = (seeds.ravel()[other] == of_pixel[inside, j]) & (of_pixel[inside, j] > 0)
                flux[j, inside] += weights[inside, k] * same
        beside = neighbours(band)
        row, side = np.nonzero(beside >= 0)
        off = sparse.csr_array((weights[row, side], (row, beside[row, side])), shape=(n, n))
        row_sum = gamma + np.where(beside < 0, weights, 0.0).sum(axis=1)
        colour = (pixels // band.shape[1] + pixels % band.shape[1]) % 2
        return Matrix(off, row_sum, np.flatnonzero(colour == 0)), flux

    def laplacian(self, band: Band, edges: Edges) -> CsrMatrix:
        assert isinstance(edges, Matrix)
        return csr(edges.matrix())

    def matrix_row_sums(self, edges: Edges) -> NDArray[np.float64]:
        assert isinstance(edges, Matrix)
        return edges.row_sum

    def eliminate_red(self, band: Band, edges: Edges) -> Level:
        assert isinstance(edges, Matrix)
        a, black, red = edges.matrix(), edges.black, edges.red()
        inverse = sparse.diags_array(1 / a.diagonal()[red])
        schur = a[black][:, black] - a[black][:, red] @ inverse @ a[red][:, black]
        off = sparse.csr_array(-schur + sparse.diags_array(schur.diagonal()))
        off.eliminate_zeros()
        row_sum = edges.row_sum[black] - a[black][:, red] @ inverse @ edges.row_sum[red]
        return Matrix(off, row_sum)

    def eliminate_red_rhs(
        self, band: Band, edges: Edges, level: Level, b: NDArray[Any]
    ) -> NDArray[Any]:
        assert isinstance(edges, Matrix)
        a, black, red = edges.matrix(), edges.black, edges.red()
        found: NDArray[Any] = b[:, black] - (a[black][:, red] @ (b[:, red] / a.diagonal()[red]).T).T
        return found

    def back_substitute(
        self, band: Band, edges: Edges, level: Level, x: NDArray[Any], b: NDArray[Any]
    ) -> NDArray[Any]:
        assert isinstance(edges, Matrix)
        a, black, red = edges.matrix(), edges.black, edges.red()
        whole = np.empty_like(b)
        whole[:, black] = x
        whole[:, red] = (b[:, red] - (a[red][:, black] @ x.T).T) / a.diagonal()[red]
        return whole
