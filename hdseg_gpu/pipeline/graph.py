"""Splitting the unknown band into a few independent linear systems."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.params import ImageStatistics, Params
from hdseg_gpu.ops import EVERYWHERE, Band, Evidence, Ops, Places, component_count
from hdseg_gpu.pipeline.sharing import FEW, Sharing, shared_columns
from hdseg_gpu.solvers import System


@dataclass(frozen=True)
class Region:
    """Components of the band, solved with m - 1 right-hand sides; potentials sum to 1.

    Usually m classes reach each component (at most m where the backend merges small regions), and
    right-hand side j belongs to the j-th class of each component. So components with different
    classes share a matrix and its right-hand sides. Where too many classes reach a component, a
    right-hand side stands for different classes in different tiles of it (``sharing``).
    """

    band: Band
    labels: NDArray[Any]  # (rows, m): labels (class + 1) by row, 0 for none
    places: Places  # the row of `labels` for each pixel
    position: NDArray[np.int32] | None  # of its pixels in the whole band; None if it is all of it
    has_gaps: bool = False  # whether some labels are 0
    error: float = 0.0  # bound on what sharing adds to the sum of a pixel's potentials

    @property
    def entries(self) -> int:
        """Return the number of unknown potentials."""
        return self.band.size * (int(self.labels.shape[1]) - 1)

    def rows(self, ops: Ops) -> NDArray[np.int64]:
        """Return the row of `labels` for each pixel, (n,)."""
        columns = ops.pixels(self.band) % self.band.shape[1]
        found: NDArray[np.int64] = ops.of_pixels(self.band, self.places.first).astype(np.int64)
        found += columns // self.places.across
        return found


@dataclass(frozen=True)
class Reach:
    """The labels that reach each component of a band."""

    component: NDArray[np.int32]  # of each run
    counts: NDArray[np.int64]  # labels per component, in host memory
    label: NDArray[np.int64]  # component by component, ascending in each, in host memory

    @staticmethod
    def of(
        ops: Ops,
        band: Band,
        seeds: NDArray[Any],
        evidence: Evidence | None,
        component: NDArray[np.int32] | None = None,
    ) -> "Reach":
        """Find the labels that reach each component.

        A label reaches a component if one of its seeds adjoins it, or if it has evidence there.
        """
        if component is None:
            return Reach(*ops.reached(band, seeds, evidence))
        reached, label = ops.labels_at(band, seeds, Places(component, EVERYWHERE), evidence)
        counts = np.bincount(reached, minlength=component_count(component))
        return Reach(component, counts, label)

    def entries(self, ops: Ops, band: Band) -> int:
        """Return the number of unknown potentials if no two labels share a column."""
        counts = ops.xp.asarray(self.counts)[self.component]
        lengths = band.start[1:] - band.start[:-1]
        return int((lengths * (counts - 1)).sum())

    def runs_with(self, ops: Ops, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which runs belong to the chosen components; chosen: (components,)."""
        found: NDArray[np.bool_] = ops.xp.asarray(chosen)[self.component]
        return found


def regions(
    ops: Ops,
    band: Band,
    seeds: NDArray[Any],
    evidence: Evidence | None,
    sharing: Sharing | None = None,
    component: NDArray[np.int32] | None = None,
) -> list[Region]:
    """Divide a band into regions.

    Components are independent, so a class costs nothing in those it does not reach.
    """
    reach = Reach.of(ops, band, seeds, evidence, component)
    many = reach.counts > FEW
    if sharing is None or not many.any():
        return list(_alike(ops, band, seeds.dtype, reach, reach.counts))
    found = list(_alike(ops, band, seeds.dtype, reach, np.where(many, 0, reach.counts)))
    found.append(_shared(ops, band, seeds, evidence, reach.runs_with(ops, many), sharing))
    return found


def _alike(
    ops: Ops, band: Band, dtype: Any, reach: Reach, counts: NDArray[np.int64]
) -> Iterator[Region]:
    """Yield one region for each number of labels in `counts`; skip components with a count of 0.

    Small bands get a single region, in whose rows shorter lists of labels are aligned to the right.
    Components that only one label reaches stay apart, as there is nothing to solve.
    """
    start = np.cumsum(reach.counts) - reach.counts
    numbers = np.unique(counts[counts > 0])
    groups = [counts == m for m in numbers]
    if numbers.size > 0 and band.size * (int(numbers[-1]) - 1) <= ops.merged:
        groups = [group for group in (counts == 1, counts > 1) if group.any()]
    for group in groups:
        chosen = np.flatnonzero(group)
        found = counts[chosen][:, np.newaxis]
        m = int(found.max())
        column = np.arange(m) - (m - found)  # index into a component's labels, negative for none
        at = start[chosen][:, np.newaxis] + np.maximum(column, 0)
        table = np.where(column >= 0, reach.label[at], 0).astype(dtype)
        part, first, position = band, reach.component, None
        if chosen.size < counts.size:
            row = np.full(counts.size, -1, np.int32)
            row[chosen] = np.arange(chosen.size, dtype=np.int32)
            part, first, position = ops.part(band, reach.component, row)
        has_gaps = bool((found < m).any())
        yield Region(part, ops.xp.asarray(table), Places(first, EVERYWHERE), position, has_gaps)


def _shared(
    ops: Ops,
    band: Band,
    seeds: NDArray[Any],
    evidence: Evidence | None,
    runs: NDArray[np.bool_],
    sharing: Sharing,
) -> Region:
    """Return the region of the given runs, whose labels share columns."""
    grid = sharing.grid(band.shape)
    first = (band.pixel // band.shape[1] // sharing.tile * grid[1]).astype(np.int32)
    chosen = ops.xp.where(runs, first, -grid[0] * grid[1] - 1).astype(np.int32)
    tiles, labels = ops.labels_at(band, seeds, Places(chosen, sharing.tile), evidence)
    table = shared_columns(tiles, labels, grid).astype(seeds.dtype)
    position = ops.xp.flatnonzero(ops.of_pixels(band, runs)).astype(np.int32)
    part, first = ops.select(band, runs), first[runs]
    whole = part.size == band.size
    return Region(
        part, ops.xp.asarray(table), Places(first, sharing.tile), None if whole else position,
        has_gaps=True, error=sharing.error,
    )  # fmt: skip


def assemble(
    ops: Ops,
    region: Region,
    features: NDArray[Any],
    seeds: NDArray[Any],
    params: Params,
    statistics: ImageStatistics,
    evidence: Evidence | None,
) -> System:
    """Return (L_UU + gamma I) x^j = -L_US m^j + gamma lambda^j on a region."""
    band, places = region.band, region.places
    solved = ops.xp.ascontiguousarray(region.labels[:, :-1])
    edges, b = ops.assemble(
        band, features, params.edges, statistics.edge_scale, seeds, solved, places, params.gamma
    )
    if evidence is not None and solved.shape[1] > 0:
        ops.add_evidence(band, region.position, evidence, solved, places, params.gamma, b)
    return System(band, edges, b)
