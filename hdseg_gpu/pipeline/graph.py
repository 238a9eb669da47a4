"""The unknown band as a few independent linear systems."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.ops import Band, Ops
from hdseg_gpu.core.params import Params, Survey
from hdseg_gpu.solvers import System

# Pixels -> (n, K) evidence, at least 0 and summing to 1 over the classes.
Evidence = Callable[[NDArray[np.int64]], NDArray[np.float64]]

# Pixels whose evidence is held at a time.
_BLOCK = 1 << 16


@dataclass(frozen=True)
class Region:
    """The components of the band that m classes reach: one system with m - 1 right-hand sides.

    Component by component, j counts the classes that reach it, so components with different
    classes share the matrix and its right-hand sides. The potentials sum to 1: there is none for
    the last class.
    """

    band: Band
    labels: NDArray[Any]  # (runs, m) for each run the labels (class + 1) that reach it, ascending


def regions(
    ops: Ops, band: Band, seeds: NDArray[Any], count: int, evidence: Evidence | None
) -> list[Region]:
    """Return the regions of a band.

    A class reaches a component when one of its seeds adjoins it or, with evidence, when it has
    some there. Components are independent of one another: a class costs nothing where it has no
    say.
    """
    component = ops.components(band)
    reach = ops.contacts(band, seeds, component, count)
    if evidence is not None:
        for first, last in _blocks(band):
            has = evidence(band.pixels(first, last)) > 0
            starts = band.start[first:last] - band.start[first]
            by_run = np.logical_or.reduceat(has, starts, axis=0)
            np.logical_or.at(reach, component[first:last], by_run)
    counts = reach.sum(axis=1)
    found = []
    for m in np.unique(counts).tolist():
        runs = counts[component] == m
        # Row by row, nonzero() lists the classes of one component after the other.
        chosen = np.flatnonzero(counts == m)
        table = np.empty((counts.size, m), seeds.dtype)
        table[chosen] = np.nonzero(reach[chosen])[1].reshape(-1, m) + 1
        part = band if len(chosen) == counts.size else band.select(runs)
        found.append(Region(part, table[component[runs]]))
    return found


def assemble(
    ops: Ops,
    region: Region,
    features: NDArray[Any],
    seeds: NDArray[Any],
    params: Params,
    frozen: Survey,
    evidence: Evidence | None,
) -> System:
    """Return (L_UU + gamma I) x^j = -L_US m^j + gamma lambda^j on a region."""
    band = region.band
    solved = np.ascontiguousarray(region.labels[:, :-1])
    edges, b = ops.assemble(
        band, features, params.edges, frozen.strength, seeds, solved, params.gamma
    )
    if evidence is not None and solved.shape[1] > 0:
        for first, last in _blocks(band):
            prior = evidence(band.pixels(first, last))
            lengths = np.diff(band.start[first : last + 1])
            classes = np.repeat(solved[first:last].astype(np.intp) - 1, lengths, axis=0)
            part = ops.body(b)[:, band.start[first] : band.start[last]]
            part += params.gamma * np.take_along_axis(prior, classes, axis=1).T
    return System(band, edges, b)


def _blocks(band: Band) -> Iterator[tuple[int, int]]:
    """Yield ranges of runs with about so many pixels each."""
    first = 0
    while first < band.pixel.size:
        last = int(np.searchsorted(band.start, band.start[first] + _BLOCK, side="right")) - 1
        last = min(max(last, first + 1), band.pixel.size)
        yield first, last
        first = last
