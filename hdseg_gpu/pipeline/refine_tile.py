"""One tile: seeds, evidence, graph, solve, labels. A small picture is one tile."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.ops import Classes, Ops
from hdseg_gpu.core.params import Coarse, Params, Survey
from hdseg_gpu.core.report import Stages
from hdseg_gpu.pipeline.evidence import evidence
from hdseg_gpu.pipeline.graph import System, assemble, build_band
from hdseg_gpu.pipeline.labels import complete, seed_probabilities, winners
from hdseg_gpu.pipeline.seeds import check_band, check_seeds
from hdseg_gpu.solvers import Solution, solve


@dataclass(frozen=True)
class TileResult:
    """Class indices of the tile, and what it took to find them."""

    classes: NDArray[np.int32]  # (H, W)
    probabilities: NDArray[np.float32] | None  # (K, H, W), if asked for
    unknown_pixels: int
    solutions: tuple[Solution, ...]  # one for each system, without the potentials


def refine_tile(
    ops: Ops,
    features: NDArray[Any],
    coarse: Coarse,
    classes: Classes,
    params: Params,
    frozen: Survey,
    stages: Stages,
    with_probabilities: bool = False,
) -> TileResult:
    """Return the refined classes of a tile, from its upsampled classes (H, W)."""
    with stages("seeds"):
        thinned = ops.seeds(classes, coarse.count, params.elements, params.passes)
        check_seeds(ops, classes, thinned, coarse, params.passes, stages, params.gamma)
        seeds = thinned.astype(np.int32)
        pixels = ops.band(seeds)
        check_band(pixels, params.passes)
    refined = seeds - 1
    probabilities = seed_probabilities(seeds, coarse.count) if with_probabilities else None
    solutions: list[Solution] = []
    if pixels.size > 0:
        prior = None
        if params.gamma > 0:
            with stages("evidence"):
                prior = evidence(ops, coarse, classes.shape, pixels, params)
        with stages("graph"):
            weights = ops.edge_weights(features, pixels, params.edges, frozen.strength)
            band = build_band(ops, pixels, seeds, weights, prior, coarse.count)
        solved = 0.0
        for class_count in np.unique(band.class_counts()).tolist():
            with stages.timed("graph"):
                system = assemble(ops, band, seeds, class_count, params.gamma)
            share = system.rows.size / pixels.size
            with stages.timed("solve"):
                solution = _solve(system, params, stages, solved, share)
            with stages.timed("labels"):
                potentials = complete(solution.x)
                chosen = pixels[system.rows]
                refined.reshape(-1)[chosen] = winners(system, potentials)
                if probabilities is not None:
                    flat = probabilities.reshape(coarse.count, -1)
                    for j in range(class_count):
                        flat[system.classes[:, j], chosen] = potentials[:, j]
            solved += share
            solutions.append(solution.without_potentials())
        stages.advance("solve", 1.0)
    return TileResult(refined, probabilities, pixels.size, tuple(solutions))


def _solve(system: System, params: Params, stages: Stages, before: float, share: float) -> Solution:
    """Solve one system, a share of the band; `before` is the share solved already."""
    return solve(
        system.matrix,
        system.b,
        params.solver,
        params.tolerance,
        lambda fraction: stages.advance("solve", min(1.0, before + share * fraction)),
    )
