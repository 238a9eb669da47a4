"""Refining images that have their channels first, as torch and MONAI hold them."""

from collections.abc import Mapping
from inspect import Parameter
from typing import Any

import numpy as np

from hdseg_gpu.api import refine
from hdseg_gpu.core.calls import keywords, unknown_option
from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.options import CallOptions, checked

OUTPUTS = ("labels", "probabilities")
# The layout is fixed, and there is no boundary map.
_LEFT_OUT = ("boundary", "edges", "channel_axis", "class_axis")
OPTIONS: tuple[Parameter, ...] = tuple(
    each for each in keywords(CallOptions) if each.name not in _LEFT_OUT
)


def options_of(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of ``refine`` that a class of the name was given, checked."""
    known = [each.name for each in OPTIONS]
    for each in given:
        if each not in known:
            raise unknown_option(name, each, known)
    call = checked(CallOptions(**given))
    return {each: getattr(call, each) for each in given}


def refined(image: Any, coarse: Any, output: str, options: Mapping[str, Any]) -> Any:
    """Return labels (H, W), or probabilities (K, H, W), of an image (C, H, W)."""
    if output == "labels":
        return refine(_widened(image), coarse, channel_axis=0, **options)
    if coarse.ndim == 2:
        raise InvalidInput(
            f"output='probabilities' needs one plane for each class, and coarse holds labels of "
            f"shape {tuple(coarse.shape)}; pass probabilities or logits."
        )
    return refine(_widened(image), coarse, channel_axis=0, return_probabilities=True, **options)[1]


def _widened(image: Any) -> Any:
    """Return an image; in float32, exactly, if it is in half precision."""
    if not str(image.dtype).endswith("float16"):  # nor bfloat16
        return image
    return image.astype(np.float32) if hasattr(image, "astype") else image.float()
