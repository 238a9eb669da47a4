"""The coarse matrix of a level by its definition: Galerkin's, with rescaled weights."""

import numpy as np
from scipy import sparse

# Relative error of a sum of up to 50 positive float32 numbers, added one by one.
SUM = 4e-6


def in_series(weight, resistance):
    """Return the weight less what the resistances in series take, at most 40 %."""
    return weight * np.maximum(0.6, 1 / (1 + 0.2 * weight * resistance))


def rescaled_galerkin(ops, level, aggregate):
    """Return weights and row sums of the coarse matrix, by its definition in ops/levels.py."""
    n, count = level.size, aggregate.max(initial=-1) + 1
    matrix = sparse.csr_array(ops.submatrix(level, np.arange(n)), shape=(n, n))
    weights = sparse.diags_array(matrix.diagonal()) - matrix
    kept = aggregate >= 0
    p = sparse.csr_array(
        (np.ones(kept.sum()), (np.flatnonzero(kept), aggregate[kept])), shape=(n, count)
    )
    between = sparse.coo_array(p.T @ weights @ p)
    a, b = between.coords
    inside, members = np.zeros(count), p.sum(axis=0)
    inside[a[a == b]] = between.data[a == b] / 2
    resistance = np.divide(members - 1, inside, out=np.zeros(count), where=members > 1)
    data = np.where(a == b, 0.0, in_series(between.data, resistance[a] + resistance[b]))
    seen = weights @ (~kept).astype(float)  # what is left out is seen as seeds of 0
    sums = in_series(p.T @ (ops.row_sums(level) + seen), resistance)
    return sparse.coo_array((data, (a, b)), shape=(count, count)).tocsr(), sums
