"""Potentials of the random walker for seeds anywhere, in the plane or on grids of any dimension."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from hdseg_gpu.compat.grid_graph import Contacts, GridGraph, grid_graph
from hdseg_gpu.core.classes import wall_of
from hdseg_gpu.core.links import sparse_rows
from hdseg_gpu.core.windows import Window
from hdseg_gpu.ops import CsrMatrix, Ops
from hdseg_gpu.pipeline.graph import Region, regions
from hdseg_gpu.pipeline.labels import write_probabilities
from hdseg_gpu.solvers import System, solve
from hdseg_gpu.solvers.direct import corrected
from hdseg_gpu.solvers.multigrid import on_level

_TOGETHER = 8  # right-hand sides solved together; more would take too much memory


class Walk(NamedTuple):
    """What potentials depend on; arrays are the backend's."""

    ops: Ops
    image: NDArray[Any]  # (..., C)
    seeds: NDArray[Any]  # label 1 .. labels, 0 where unlabelled, the wall where excluded
    labels: int
    scales: tuple[float, ...]  # s of each axis, see ``grid_graph``
    tolerance: float  # bound on the error of each potential
    direct: bool = False  # by LU factors

    @property
    def flat(self) -> bool:
        """Return whether a stencil with one scale describes the edges."""
        used = {s for s, n in zip(self.scales, self.seeds.shape, strict=True) if n > 1}
        return self.seeds.ndim == 2 and len(used) <= 1


def label_all(walk: Walk, probabilities: NDArray[Any] | None) -> None:
    """Give each unlabelled pixel that a label reaches the likeliest one, in the seeds.

    probabilities: (labels, ...), 0 on entry; filled for those pixels.
    """
    if walk.flat:
        _in_the_plane(walk, probabilities)
    else:
        _on_a_graph(walk, probabilities)


def _in_the_plane(walk: Walk, probabilities: NDArray[Any] | None) -> None:
    ops, seeds = walk.ops, walk.seeds
    band = ops.band(seeds)
    if band.size == 0:
        return
    scale = next((s for s, n in zip(walk.scales, seeds.shape, strict=True) if n > 1), 0.0)
    everything = Window(0, 0, *seeds.shape)
    found = regions(ops, band, seeds, None)
    for region in found:
        groups = list(_groups(region, ops))
        columns = []
        for labels in groups:
            edges, b = ops.assemble(
                region.band, walk.image, "intensity", scale, seeds, labels, region.places, 0.0
            )
            system = System(region.band, edges, b)
            name = "direct" if walk.direct else "auto"
            solution = solve(
                ops, system, name, _shared(walk, len(b), len(groups)), _quiet, certify=False
            )
            columns.append(solution.x)
        x = columns[0] if len(columns) == 1 else ops.xp.concatenate(columns)
        if probabilities is not None:
            write_probabilities(ops, region, ops.body(x), probabilities)
        ops.decide(region.band, x, region.labels, region.places, 0.0, everything, seeds)


def _groups(region: Region, ops: Ops) -> Iterator[NDArray[Any]]:
    """Yield the labels of right-hand sides that are solved together: all but the last label."""
    solved = region.labels.shape[1] - 1
    for first in range(0, max(1, solved), _TOGETHER):
        part = region.labels[:, first : min(first + _TOGETHER, solved)]
        yield ops.xp.ascontiguousarray(part)


def _shared(walk: Walk, columns: int, groups: int) -> float:
    """Return the tolerance of one group of right-hand sides; the last label gets all errors."""
    return walk.tolerance if groups == 1 else walk.tolerance * columns / (groups * _TOGETHER)


def _on_a_graph(walk: Walk, probabilities: NDArray[Any] | None) -> None:
    xp = walk.ops.xp
    graph = reached(walk)
    pixel, n = graph.pixel, len(graph.pixel)
    solve_for = _solver(walk, graph)
    del graph  # of which the solver keeps what it needs
    best, rest = xp.zeros(n), xp.ones(n)
    label = xp.full(n, walk.labels, walk.seeds.dtype)
    for first in range(1, walk.labels, _TOGETHER):
        group = range(first, min(first + _TOGETHER, walk.labels))
        for k, potential in zip(group, solve_for(group), strict=True):
            value = xp.clip(potential, 0.0, 1.0)
            rest -= value
            larger = value > best
            label[larger], best = k, xp.maximum(best, value)
            if probabilities is not None:
                probabilities.reshape(walk.labels, -1)[k - 1, pixel] = value
    label[rest > best] = walk.labels
    if probabilities is not None:
        probabilities.reshape(walk.labels, -1)[-1, pixel] = xp.clip(rest, 0.0, 1.0)
    walk.seeds.reshape(-1)[pixel] = label


def reached(walk: Walk, dtype: type[np.floating[Any]] = np.float32) -> GridGraph:
    """Return the graph of the unlabelled pixels that labels reach; dtype: of its weights."""
    ops, flat, wall = walk.ops, walk.seeds.reshape(-1), wall_of(walk.seeds.dtype)
    graph = grid_graph(ops.xp, walk.image, walk.seeds, wall, walk.scales, dtype)
    if not bool((flat == wall).any()):  # labels reach all
        return graph
    sums, link = ops.fetched(graph.row_sum, graph.link)
    n, (axis, entry) = len(sums), np.nonzero(link >= 0)
    ends = entry, link[axis, entry]
    matrix = sparse.csr_array((np.ones(len(entry), np.int8), ends), shape=(n, n))
    count, component = connected_components(matrix, directed=False)
    dark = np.bincount(component, sums, count)[component] == 0
    if not dark.any():
        return graph
    islands = graph.pixel[ops.xp.asarray(dark)]
    flat[islands] = wall
    graph = grid_graph(ops.xp, walk.image, walk.seeds, wall, walk.scales, dtype)
    flat[islands] = 0
    return graph


def _solver(walk: Walk, graph: GridGraph) -> Callable[[range], NDArray[np.float64]]:
    """Return a function that returns the potentials of some labels, (m, n)."""
    ops, contacts, n = walk.ops, graph.contacts, len(graph.pixel)
    if walk.direct:
        matrix, row_sum = csr_of(ops, graph), ops.host(graph.row_sum)

        def exact(labels: range) -> NDArray[np.float64]:
            b = np.stack([ops.host(flux(ops, contacts, n, label)) for label in labels], axis=1)
            found: NDArray[np.float64] = ops.xp.asarray(corrected(matrix, row_sum, b)[0].T)
            return found

        return exact
    level = ops.grid_level(graph.link, graph.weight, graph.row_sum)

    def iterated(labels: range) -> NDArray[np.float64]:
        b = ops.zeros(n, len(labels))
        for column, label in zip(ops.body(b), labels, strict=True):
            column[:] = flux(ops, contacts, n, label)
        return on_level(ops, level, b, walk.tolerance / walk.labels, _quiet)[0]

    return iterated


def flux(ops: Ops, contacts: Contacts, n: int, label: int) -> NDArray[np.float64]:
    """Return the weights of each of n unlabelled pixels to pixels of a label, (n,)."""
    chosen = ops.xp.flatnonzero(contacts.label == label)
    weights: NDArray[np.float64] = ops.xp.bincount(
        contacts.entry[chosen], contacts.weight[chosen], n
    )
    return weights


def csr_of(ops: Ops, graph: GridGraph) -> CsrMatrix:
    """Return the matrix in host memory, for SciPy."""
    weight, link, sums = ops.fetched(graph.weight, graph.link, graph.row_sum)
    start, column, weight = sparse_rows(np, link, weight)
    n = len(sums)
    links = sparse.csr_array((weight.astype(np.float64), column, start), shape=(n, n))
    matrix = sparse.csr_array(sparse.diags_array(links.sum(axis=1) + sums) - links)
    matrix.sort_indices()
    return CsrMatrix(matrix.data, matrix.indices, matrix.indptr)


def _quiet(_fraction: float) -> None:
    """Ignore progress."""
