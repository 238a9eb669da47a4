"""One tile: seeds, evidence, graph, solve, labels. A small picture is one tile."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.ops import Classes, Ops
from hdseg_gpu.core.params import Coarse, Params, Survey
from hdseg_gpu.core.report import Stages
from hdseg_gpu.pipeline.colours import colours_of
from hdseg_gpu.pipeline.evidence import cell_size, decide_classes
from hdseg_gpu.pipeline.graph import assemble, regions
from hdseg_gpu.pipeline.labels import seed_probabilities, write_probabilities
from hdseg_gpu.pipeline.seeds import check_seeds, find_seeds
from hdseg_gpu.solvers import Solution, solve


@dataclass(frozen=True)
class TileResult:
    """Labels of the tile, and what it took to find them."""

    labels: NDArray[Any]  # (H, W) class index + 1, or a wall
    probabilities: NDArray[np.float32] | None  # (K, H, W), if asked for
    unknown_pixels: int
    uncertified_pixels: int | None  # labels that are not proven; None where nothing can be
    solutions: tuple[Solution, ...]  # one for each system, without the potentials
    passes: int  # of the thinning that the seeds come from
    doubt: float | None  # of the coarse map's boundaries; None without evidence


def refine_tile(
    ops: Ops,
    image: NDArray[Any],
    features: NDArray[Any],
    coarse: Coarse,
    classes: Classes,
    params: Params,
    frozen: Survey,
    stages: Stages,
    with_probabilities: bool = False,
) -> TileResult:
    """Return the refined labels of a tile, from its upsampled classes (H, W)."""
    decided = None
    if params.passes == 0:  # nothing is decided again: what is unsure is the walker's alone
        params = replace(params, gamma=0.0)
    if params.gamma > 0:
        before = ops.histogram(classes, coarse.count) > 0
        with stages.timed("evidence"):
            colours = colours_of(ops, image, frozen, cell_size(params.scale, classes.shape))
        decided = decide_classes(ops, colours, coarse, classes, params, stages)
        seeds, band = decided.seeds, decided.band
        check_seeds(ops, before, seeds, coarse, decided.passes, stages, params.gamma)
    else:
        with stages("seeds"):
            seeds = find_seeds(ops, coarse, classes, params, stages)
            band = ops.band(seeds)
    del classes
    probabilities = seed_probabilities(ops, seeds, coarse.count) if with_probabilities else None
    with stages("graph"):
        evidence = None if decided is None else decided.evidence
        parts = regions(ops, band, seeds, coarse.count, evidence)
    solutions: list[Solution] = []
    uncertain: int | None = 0
    solved = 0.0
    for region in parts:
        with stages.timed("graph"):
            system = assemble(ops, region, features, seeds, params, frozen, evidence)
        share = region.band.size / band.size
        with stages.timed("solve"):
            solution = solve(
                ops,
                system,
                params.solver,
                params.tolerance,
                partial(_advance, stages, solved, share),
            )
        with stages.timed("labels"):
            if probabilities is not None:
                write_probabilities(ops, region, ops.body(solution.x), probabilities)
            bound = 0.0 if solution.bound is None else solution.bound
            # The seeds become the labels: components do not touch, no other region looks here.
            found = ops.decide(region.band, solution.x, region.labels, bound, seeds)
            uncertain = None if solution.bound is None or uncertain is None else uncertain + found
        solved += share
        solutions.append(solution.without_potentials())
    if solutions:
        stages.advance("solve", 1.0)
    if params.median > 1:
        with stages.timed("labels"):
            ops.put(band, ops.majority(seeds, band, params.median), seeds)
    passes, doubt = (params.passes, None) if decided is None else (decided.passes, decided.doubt)
    return TileResult(seeds, probabilities, band.size, uncertain, tuple(solutions), passes, doubt)


def _advance(stages: Stages, before: float, share: float, fraction: float) -> None:
    """Tell the progress of a system that is a share of the band, `before` being solved already."""
    stages.advance("solve", min(1.0, before + share * fraction))
