"""Levels, with dense and sparse matrices."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from hdseg_gpu.backends.host import HostOps
from hdseg_gpu.backends.reference.layout import Matrix, csr
from hdseg_gpu.core.links import sparse_rows
from hdseg_gpu.ops import CsrMatrix, Level


class ReferenceLevelOps(HostOps):
    """The definitions, written down."""

    def grid_level(
        self, link: NDArray[np.int32], weight: NDArray[np.float32], row_sum: NDArray[np.float32]
    ) -> Level:
        start, column, weights = sparse_rows(np, link, weight)
        n = len(row_sum)
        off = sparse.csr_array((weights.astype(np.float64), column, start), shape=(n, n))
        return Matrix(off, row_sum.astype(np.float64))

    def diagonal(self, level: Level) -> NDArray[Any]:
        assert isinstance(level, Matrix)
        diagonal: NDArray[Any] = level.row_sum + level.off.sum(axis=1)
        return diagonal

    def row_sums(self, level: Level) -> NDArray[Any]:
        assert isinstance(level, Matrix)
        return level.row_sum

    def coarsen(self, level: Level) -> tuple[NDArray[np.int32], Level]:
        assert isinstance(level, Matrix)
        aggregate = _aggregate(level.off, level.row_sum, self.diagonal(level))
        kept = aggregate >= 0
        # P has a row of zeros where there is no aggregate.
        p = sparse.csr_array(
            (np.ones(kept.sum()), (np.flatnonzero(kept), aggregate[kept])),
            shape=(level.size, aggregate.max(initial=-1) + 1),
        )
        both = sparse.csr_array(p.T @ level.off @ p)
        size, inner = p.sum(axis=0), both.diagonal() / 2
        resistance = np.divide(size - 1, inner, out=np.zeros_like(inner), where=size > 1)
        both.setdiag(0)
        both.eliminate_zeros()
        off = both.tocoo()
        a, b = off.coords
        off.data = _in_series(off.data, resistance[a] + resistance[b])
        left_out = level.off @ (~kept).astype(np.float64)  # treated as seeds of value 0
        row_sum = _in_series(p.T @ (level.row_sum + left_out), resistance)
        return aggregate, Matrix(sparse.csr_array(off), row_sum)

    def submatrix(self, level: Level, chosen: NDArray[np.int64]) -> CsrMatrix:
        assert isinstance(level, Matrix)
        return csr(level.matrix()[chosen][:, chosen])


def _in_series(weight: NDArray[Any], resistance: NDArray[Any]) -> NDArray[Any]:
    reduced: NDArray[Any] = weight * np.maximum(0.6, 1 / (1 + 0.2 * weight * resistance))
    return reduced


def _aggregate(
    off: sparse.csr_array, row_sum: NDArray[np.float64], diagonal: NDArray[np.float64]
) -> NDArray[np.int32]:
    """Return aggregates by pairing twice; see kernels/cpu/aggregation.cpp for the rules."""
    weight = off.toarray()
    group = np.where(row_sum > 0.5 * (diagonal - row_sum), -1, 0).astype(np.int32)
    group[group == 0] = np.arange(np.count_nonzero(group == 0))
    for _ in range(2):
        count = group.max(initial=-1) + 1
        p = (group[:, np.newaxis] == np.arange(count)).astype(np.float64)
        link, size = p.T @ weight @ p, p.T @ diagonal
        np.fill_diagonal(link, 0)
        merged = np.full(count, -1)
        found = 0
        for a in range(count):
            if merged[a] >= 0:
                continue
            quality = link[a] * (size[a] + size) / (size[a] * size)
            partners = ((merged < 0) & (link[a] >= 0.25 * link[a].max()) & (quality >= 0.25)) & (
                link[a] > 0
            )
            hosts = (merged >= 0) & (size[a] <= size) & (quality >= 0.25)
            if partners.any():
                merged[a] = merged[np.argmax(np.where(partners, link[a], -1))] = found
            elif hosts.any():
                merged[a] = merged[np.argmax(np.where(hosts, quality, -1))]
                continue
            else:
                merged[a] = found
            found += 1
        group[group >= 0] = merged[group[group >= 0]]
    return group
