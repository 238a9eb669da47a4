"""Layout of the reference's matrices."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from hdseg_gpu.ops import CsrMatrix, Edges, Level


@dataclass(frozen=True)
class Matrix(Edges, Level):
    """An M-matrix as weights between entries and row sums."""

    off: sparse.csr_array  # weights, at least 0, without diagonal
    row_sum: NDArray[np.float64]
    black: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    @property
    def size(self) -> int:
        return self.row_sum.size

    def matrix(self) -> sparse.csr_array:
        return sparse.csr_array(sparse.diags_array(self.row_sum + self.off.sum(axis=1)) - self.off)

    def product(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return A x of each column; A's diagonal would lose a row sum of 1e-10 by rounding."""
        i, j = self.off.nonzero()
        flows = self.off.data * (x[:, i] - x[:, j])
        return np.array(
            [self.row_sum * c + np.bincount(i, f, self.size) for c, f in zip(x, flows, strict=True)]
        ).reshape(x.shape)

    def red(self) -> NDArray[np.int64]:
        return np.setdiff1d(np.arange(self.size), self.black)


def csr(matrix: sparse.csr_array) -> CsrMatrix:
    """Return a matrix as ops return it, columns ascending."""
    matrix.sort_indices()
    return CsrMatrix(matrix.data, matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32))
