"""The system A x = b on a band, and its reduction to the black pixels."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.ops.types import Band, CsrMatrix, Edges, Level, Places


class MatrixOps(ABC):
    """The matrix of a band, as `Edges`."""

    @abstractmethod
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
        """Return A = L_UU + gamma I, and -L_US m as columns.

        features is (H, W, C). With s the edge scale, rule "intensity" is
        w_ij = exp(-s sum_c (I_i - I_j)^2) + 1e-10, and rule "boundary"
        w_ij = exp(-s sum_c (g_i + g_j)^2) + 1e-10. Entry i of column j is the sum of the weights of
        the edges from pixel i to seeds with the label of column j at the pixel's place,
        labels[place, j]; labels (rows, m) are of the seeds' dtype, 0 for none, and no other twice
        in a row.
        """

    @abstractmethod
    def laplacian(self, band: Band, edges: Edges) -> CsrMatrix:
        """Return A in compressed sparse rows."""

    @abstractmethod
    def matrix_row_sums(self, edges: Edges) -> NDArray[np.float64]:
        """Return A 1, (n,): sums of A's rows would cancel edges of 1e-10."""

    @abstractmethod
    def eliminate_red(self, band: Band, edges: Edges) -> Level:
        """Return S = A_bb - A_br A_rr^-1 A_rb, on the black pixels: those with even x + y."""

    @abstractmethod
    def eliminate_red_rhs(
        self, band: Band, edges: Edges, level: Level, b: NDArray[Any]
    ) -> NDArray[Any]:
        """Return b_b - A_br A_rr^-1 b_r for each column of b."""

    @abstractmethod
    def back_substitute(
        self, band: Band, edges: Edges, level: Level, x: NDArray[Any], b: NDArray[Any]
    ) -> NDArray[Any]:
        """Return columns x at black pixels, A_rr^-1 (b_r - A_rb x) at red ones; overwrites b."""
