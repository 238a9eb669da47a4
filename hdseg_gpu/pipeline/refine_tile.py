"""One tile: seeds, evidence, graph, solve, labels. A small picture is one tile."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.ops import Ops
from hdseg_gpu.core.params import Coarse, Params, Survey
from hdseg_gpu.core.report import Stages
from hdseg_gpu.pipeline.evidence import evidence
from hdseg_gpu.pipeline.graph import System, assemble, build_band
from hdseg_gpu.pipeline.labels import complete, seed_probabilities, winners
from hdseg_gpu.pipeline.seeds import check_seeds
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
    classes: NDArray[np.int32],
    params: Params,
    frozen: Survey,
    stages: Stages,
    with_probabilities: bool = False,
) -> TileResult:
    """Return the refined classes of a tile, from its upsampled classes (H, W)."""
    with stages("seeds"):
        seeds = ops.seeds(classes, coarse.count, params.elements, params.passes)
        check_seeds(classes, seeds, coarse, params.passes, stages)
        pixels = ops.band(seeds)
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
        solved = 0
        for group in range(len(band.reach)):
            with stages("graph"):
                system = assemble(ops, band, seeds, group, params.gamma)
            with stages("solve"):
                solution = _solve(system, params, stages, solved / pixels.size, pixels.size)
            with stages("labels"):
                potentials = complete(solution.x)
                chosen = pixels[system.rows]
                refined.reshape(-1)[chosen] = winners(system, potentials)
                if probabilities is not None:
                    flat = probabilities.reshape(coarse.count, -1)
                    for j, k in enumerate(system.classes):
                        flat[k, chosen] = potentials[:, j]
            solved += system.rows.size
            solutions.append(solution.without_potentials())
    return TileResult(refined, probabilities, pixels.size, tuple(solutions))


def _solve(
    system: System, params: Params, stages: Stages, before: float, band_size: int
) -> Solution:
    """Solve one system; `before` is the share of the band solved already."""
    share = system.rows.size / band_size
    return solve(
        system.matrix,
        system.b,
        params.solver,
        params.tolerance,
        lambda fraction: stages.advance("solve", before + share * fraction),
    )
