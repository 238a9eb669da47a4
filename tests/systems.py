"""Bands with their matrices, and solutions exact to the last digits."""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from hdseg_gpu import backends
from hdseg_gpu.ops import EVERYWHERE, Band, Edges, Places, by_run
from hdseg_gpu.solvers import System

# Backends whose arrays are NumPy's.
HOSTS = ("cpu", "reference")

UNPROVEN = {"amg"}  # solvers that return no proven bound of the error


class Case(NamedTuple):
    """A band of one backend, its columns, and the potentials by `eliminate`."""

    band: Band
    edges: Edges
    b: np.ndarray  # columns
    exact: np.ndarray  # (m, n)

    def system(self):
        """Return a system that a solver may use up."""
        return System(self.band, self.edges, self.b.copy())


def as_dense(matrix):
    n = len(matrix.indptr) - 1
    return sparse.csr_array((matrix.data, matrix.indices, matrix.indptr), shape=(n, n)).toarray()


def row_sums(ops, edges):
    """Return the row sums of A without the cancellation of adding up its rows."""
    if ops.name == "reference":
        return edges.row_sum
    return ops.body(edges.rows)[3].astype(np.float64)


def eliminate(weights, row_sum, b):
    """Return A^-1 b for A = diag(row_sum + weights 1) - weights, b (m, n) at least 0.

    Gaussian elimination that never subtracts: every entry is right to about 1e-13, however weak
    the edges (Grassmann, Taksar & Heyman 1985; Alfa, Xue & Ye 2002).
    """
    w, e, x = weights.astype(np.float64), row_sum.astype(np.float64), b.astype(np.float64)
    np.fill_diagonal(w, 0.0)
    pivots = []
    for k in range(len(e) - 1, -1, -1):
        row = w[k, :k].copy()
        pivots.append(e[k] + row.sum())
        near = np.flatnonzero(row)
        share = row[near] / pivots[-1]
        w[np.ix_(near, near)] += np.outer(row[near], share)
        w[near, near] = 0.0
        e[near] += share * e[k]
        x[:, near] += share * x[:, k, np.newaxis]
    for k in range(len(e)):
        x[:, k] = (x[:, k] + x[:, :k] @ w[k, :k]) / pivots[-1 - k]
    return x


def case(ops, seeds, image, strength, gamma, solved, evidence=None, rule="intensity"):
    """Return the whole band as one system for the labels `solved`, by one backend.

    evidence: (m, n) for the solved labels; without, each of them and one more has the same share.
    """
    band = ops.band(seeds)
    labels = np.tile(np.asarray(solved, seeds.dtype), (band.pixel.size, 1))
    edges, b = ops.assemble(band, image, rule, strength, seeds, labels, by_run(band), gamma)
    if gamma > 0:
        ops.body(b)[:] += gamma * (1 / (len(solved) + 1) if evidence is None else evidence)
    weights = -as_dense(ops.laplacian(band, edges))
    exact = eliminate(weights, row_sums(ops, edges), ops.body(b))
    return Case(band, edges, b, exact)


def last(x):
    """Return potentials with the last class's added: 1 minus all others."""
    return np.vstack([x, 1 - x.sum(axis=0)])


def seed_everything(seeds, classes, rng):
    """Give every component of the band a seed beside it; return whether there is a band."""
    ops = backends.load("reference")
    band = ops.band(seeds)
    if band.size == 0:
        return False
    component = ops.components(band)
    touched, _ = ops.labels_at(band, seeds, Places(component, EVERYWHERE), None)
    for c in np.setdiff1d(component, touched):
        pixels = band.pixels()[np.repeat(component, np.diff(band.start)) == c]
        if pixels.size == 1:
            return False
        seeds.reshape(-1)[rng.choice(pixels)] = rng.integers(1, classes + 1)
    return bool((seeds == 0).any())
