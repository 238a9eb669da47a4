"""The unknown band as a few independent linear systems."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.ops import Band, Evidence, Ops
from hdseg_gpu.core.params import Params, Survey
from hdseg_gpu.solvers import System


@dataclass(frozen=True)
class Region:
    """The components of the band that m classes reach: one system with m - 1 right-hand sides.

    Component by component, j counts the classes that reach it, so components with different
    classes share the matrix and its right-hand sides. The potentials sum to 1: there is none for
    the last class.
    """

    band: Band
    labels: NDArray[Any]  # (runs, m) for each run the labels (class + 1) that reach it, ascending
    position: NDArray[np.int32] | None  # of its pixels in the whole band; None: it is the whole


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
        reach |= ops.evident_classes(band, evidence, component, count)
    xp = ops.xp
    counts = reach.sum(axis=1)
    found = []
    for m in xp.unique(counts).tolist():
        runs = counts[component] == m
        # Row by row, nonzero() lists the classes of one component after the other.
        chosen = xp.flatnonzero(counts == m)
        table = xp.empty((counts.size, m), seeds.dtype)
        table[chosen] = (xp.nonzero(reach[chosen])[1].reshape(-1, m) + 1).astype(seeds.dtype)
        part, position = band, None
        if len(chosen) < counts.size:
            part = ops.select(band, runs)
            position = xp.flatnonzero(ops.of_pixels(band, runs)).astype(np.int32)
        found.append(Region(part, table[component[runs]], position))
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
    solved = ops.xp.ascontiguousarray(region.labels[:, :-1])
    edges, b = ops.assemble(
        band, features, params.edges, frozen.strength, seeds, solved, params.gamma
    )
    if evidence is not None and solved.shape[1] > 0:
        ops.add_evidence(band, region.position, evidence, solved, params.gamma, b)
    return System(band, edges, b)
