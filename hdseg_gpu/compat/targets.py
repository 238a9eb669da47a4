"""Which functions of other libraries are replaced by ours, and which of their calls are not."""

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Target:
    """A function that is replaced."""

    home: str  # the module that users import it from
    name: str
    ours: str  # its name in hdseg_gpu
    first: str  # the parameter whose size decides
    least: int  # elements from which ours is faster (docs/decisions/0015-drop-in.md)
    dims: tuple[int, ...]

    @property
    def label(self) -> str:
        """Return its full name."""
        return f"{self.home}.{self.name}"

    @property
    def on_device(self) -> bool:
        """Return whether its arrays are CuPy's."""
        return self.home.partition(".")[0] in ("cucim", "cupyx")

    def theirs(self) -> Callable[..., Any]:
        """Return what their module has under this name now."""
        found: Callable[..., Any] = getattr(import_module(self.home), self.name)
        return found

    def function(self) -> Callable[..., Any]:
        """Return ours; it is imported when it is first needed."""
        found: Callable[..., Any] = getattr(import_module("hdseg_gpu"), self.ours)
        return found


def _targets(*homes: str, name: str, **more: Any) -> tuple[Target, ...]:
    return tuple(Target(home, name, **more) for home in homes)


TARGETS = (
    *_targets(
        "skimage.segmentation", "cucim.skimage.segmentation",
        name="random_walker", ours="random_walker", first="labels", least=1 << 10, dims=(2, 3),
    ),
    *_targets(
        "skimage.morphology", "cucim.skimage.morphology",
        name="thin", ours="thin", first="image", least=1 << 12, dims=(2,),
    ),
    *_targets(
        "scipy.ndimage", "cupyx.scipy.ndimage",
        name="binary_hit_or_miss", ours="hit_or_miss", first="input", least=1 << 14, dims=(2,),
    ),
)  # fmt: skip


def reason_against(
    target: Target,
    signature: inspect.Signature,
    args: Sequence[Any],
    options: Mapping[str, Any],
) -> tuple[str | None, int]:
    """Return why a call is for the original, or None, and how many elements it has."""
    try:
        given = signature.bind(*args, **options).arguments
    except TypeError:
        return "arguments that it does not have", 0
    plain = getattr(sys.modules.get("cupy"), "ndarray", None) if target.on_device else np.ndarray
    for array in (given[name] for name in ("data", "labels", "image", "input") if name in given):
        if type(array) is not plain:
            return f"{type(array).__name__} instead of an array", 0
    first = given.get(target.first)
    if first is None or first.ndim not in target.dims:
        return "dimensions", 0
    if first.size < target.least:
        return "small", first.size
    return None, first.size
