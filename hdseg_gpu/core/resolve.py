"""Completes the options of a call to parameters, with the checks that need the input."""

from dataclasses import fields
from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hdseg_gpu.core.checks import MAX_INTEGER, at_least, choice
from hdseg_gpu.core.elements import MAX_RADIUS, SETS, structuring_elements
from hdseg_gpu.core.errors import InvalidInput, shown
from hdseg_gpu.core.options import (
    ASSUMED_SCALE,
    EDGE_RULES,
    INTERPOLATIONS,
    PASSES_PER_SCALE,
    CallOptions,
    Options,
    usual,
)
from hdseg_gpu.core.params import CoarseSummary, Params
from hdseg_gpu.core.report import Stages
from hdseg_gpu.core.validate import as_array, require_smaller, same_aspect
from hdseg_gpu.core.windows import Shape


def params_of(options: CallOptions, network: CoarseSummary, shape: Shape, stages: Stages) -> Params:
    """Return the parameters for an image of `shape`; assumptions are noted in `stages`."""
    found = {each.name: getattr(options, each.name) for each in fields(Options)}
    given = {name for name, value in found.items() if value is not None}
    found |= {name: usual(name, options.method) for name in found if name not in given}
    # Options that depend on the input or on other options.
    scale = _scale(network, shape, options.scale, options.passes, stages)
    found["scale"] = scale
    found["passes"] = pass_count(options.passes, scale, usual("passes", options.method))
    found["elements"] = element_set(found["elements"])
    found["edges"] = _edge_rule(found["edges"], options.boundary)
    found["interpolation"] = _interpolation(
        options.interpolation, network, usual("interpolation", options.method)
    )
    if not network.soft:
        if "unsure" in given and found["unsure"] > 0:
            stages.notes.append(f"unsure={found['unsure']:g} has no effect: coarse holds labels.")
        found["unsure"] = 0.0
    if found["passes"] == 0:
        if "gamma" in given and found["gamma"] > 0:
            stages.notes.append(
                f"gamma={found['gamma']:g} has no effect with passes=0: without thinning there is "
                "no band for the evidence."
            )
        found["gamma"] = 0.0
    if network.count == 1:
        stages.notes.append(
            f"The coarse map has only one class, {network.values[0]}, and so has the result."
        )
    return Params(**found)


def _scale(
    coarse: CoarseSummary,
    shape: tuple[int, int],
    scale: float | None,
    passes: int | None,
    stages: Stages,
) -> float:
    """Return image pixels per coarse pixel, max(H / h, W / w) unless the caller passes a scale."""
    h, w = coarse.shape
    require_smaller(coarse.shape, shape)
    if not same_aspect(coarse.shape, shape):
        raise InvalidInput(
            f"coarse {coarse.shape} and image {shape} differ in aspect ratio by more than one "
            f"coarse pixel: {shape[0] / h:.3f} image rows, but {shape[1] / w:.3f} image columns "
            "per coarse pixel; crop or resize the coarse map to the image's aspect ratio."
        )
    if scale is None and coarse.shape != shape:
        return coarse.scale_to(shape)
    return scale_of_mask(scale, passes, stages)


def scale_of_mask(scale: float | None, passes: int | None, stages: Stages) -> float:
    """Return the scale of a mask of the image's size: as passed, or an assumption."""
    if scale is not None:
        return at_least("scale", scale, 1.0)
    if passes is None:
        stages.notes.append(
            f"The mask is as large as the image: scale={ASSUMED_SCALE:g} is assumed "
            "(pass scale= or passes=)."
        )
    return ASSUMED_SCALE


def _edge_rule(value: str | None, boundary: ArrayLike | None) -> str:
    """Return the source of the edge weights; None is "boundary" if there is a boundary map."""
    if value is None:
        value = "intensity" if boundary is None else "boundary"
    rule = choice("edges", value, EDGE_RULES)
    if rule == "boundary" and boundary is None:
        raise InvalidInput(
            f"edges={rule!r} needs boundary=, a map of edge strengths in [0, 1] as large as the "
            "image."
        )
    if rule != "boundary" and boundary is not None:
        raise InvalidInput(f"boundary= is given, but edges={rule!r}; pass edges='boundary'.")
    return rule


def _interpolation(value: str | None, coarse: CoarseSummary, of_labels: str) -> str:
    """Return how to upsample the coarse map; "nearest" is for labels only."""
    if not coarse.soft:
        valid: tuple[str, ...] = ("nearest", *INTERPOLATIONS)
        return choice("interpolation", of_labels if value is None else value, valid)
    return choice("interpolation", "linear" if value is None else value, INTERPOLATIONS)


def element_set(value: str | ArrayLike) -> NDArray[np.int8]:
    """Return a named element set, or a checked custom one: (m, n, n) of +1, 0 and -1."""
    if isinstance(value, str):
        value = structuring_elements(value)
    size = 2 * MAX_RADIUS + 1
    expected = (
        f"one of {tuple(SETS)}, or an array (m, n, n) of +1, 0, -1 with n odd, at most {size}"
    )
    array = as_array("elements", value, expected)
    if (
        array.ndim != 3
        or array.shape[1] != array.shape[2]
        or array.shape[1] not in range(1, size + 1, 2)
    ):
        raise InvalidInput(f"elements has shape {array.shape}; pass {expected}.")
    if array.dtype.kind not in "iu":
        raise InvalidInput(f"elements has dtype {array.dtype}; pass {expected}.")
    if not np.isin(array, (-1, 0, 1)).all():
        raise InvalidInput(
            f"elements has values from {array.min()} to {array.max()}; pass {expected}."
        )
    return np.ascontiguousarray(array, np.int8)


def pass_count(passes: int | None, scale: float, passes_per_scale: float = PASSES_PER_SCALE) -> int:
    """Return the number of passes, by default in proportion to the scale."""
    if passes is None:
        return min(max(1, round(min(passes_per_scale * scale, MAX_INTEGER))), MAX_INTEGER)
    if isinstance(passes, bool) or not isinstance(passes, Integral) or passes < 0:
        raise InvalidInput(f"passes={shown(passes)} must be an integer of at least 0.")
    return min(int(passes), MAX_INTEGER)
