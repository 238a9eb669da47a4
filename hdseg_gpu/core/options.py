"""From the options of a call to complete parameters."""

from dataclasses import replace
from typing import Any

from hdseg_gpu.core import validate
from hdseg_gpu.core.params import LEAST_TOLERANCE, SOLVERS, Coarse, Params
from hdseg_gpu.core.report import Stages
from hdseg_gpu.core.windows import Shape


def params_of(
    network: Coarse,
    shape: Shape,
    stages: Stages,
    boundary: Any,
    *,
    method: str,
    scale: float | None,
    passes: int | None,
    elements: Any,
    unsure: float | None,
    prune: bool | None,
    edges: str | None,
    beta: float | None,
    gamma: float | None,
    interpolation: str | None,
    median: int | None,
    solver: str | None,
    tol: float,
) -> Params:
    """Return the parameters for an image of `shape`; see ``hdseg_gpu.refine`` for each option.

    boundary: None if there is no boundary map.
    """
    size = validate.scale_of(network, shape, scale, passes, stages)
    options = validate.method_defaults(method).overridden(
        elements=elements, edges=edges, beta=beta, gamma=gamma, solver=solver,
        unsure=unsure, prune=prune, median=median,
    )  # fmt: skip
    params = Params(
        elements=validate.element_set(options.elements),
        passes=validate.pass_count(passes, size, options.passes_per_scale),
        scale=size,
        edges=validate.edge_rule(options.edges, boundary),
        beta=validate.at_least("beta", options.beta, 0.0, validate.MAX_WEIGHT),
        gamma=validate.zero_or_at_least(
            "gamma", options.gamma, validate.MIN_WEIGHT, validate.MAX_WEIGHT
        ),
        interpolation=validate.interpolation(interpolation, network, options.interpolation),
        solver=validate.choice("solver", options.solver, SOLVERS),
        tolerance=validate.at_least("tol", tol, LEAST_TOLERANCE, 0.5),
        method=method,
        unsure=validate.unsure_margin(options.unsure, unsure is not None, network, stages),
        prune=validate.switch("prune", options.prune),
        median=validate.window("median", options.median),
    )
    if params.passes == 0:  # without a band of its own, what is unsure is the walker's alone
        params = replace(params, gamma=0.0)
    if network.count == 1:
        stages.notes.append(
            f"The coarse map has one class only, {network.values[0]}: so has the result."
        )
    return params
