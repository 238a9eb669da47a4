"""The methods of ``benchmarks.accuracy``: functions of an Item that return labels (H, W).

The first line of each docstring describes the method. A baseline that cannot run raises ``Skipped``
with the reason.
"""

import inspect
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Any

from numpy.typing import NDArray

from benchmarks import accuracy_baselines as baselines
from benchmarks.accuracy_items import Item
from benchmarks.accuracy_pieces import Skipped, labels_of, nearest
from hdseg_gpu import refine

Method = Callable[[Item], NDArray[Any]]


def interpolated(item: Item, *, how: str) -> NDArray[Any]:
    """Argmax of the linearly enlarged planes; ignores the image."""
    return labels_of(item, refine(item.image, item.coarse, passes=0, interpolation=how))


def default(item: Item) -> NDArray[Any]:
    """``refine(image, coarse)`` with all defaults."""
    return labels_of(item, refine(item.image, item.coarse))


def published(item: Item) -> NDArray[Any]:
    """``refine(image, coarse, method="published")``: thinning and the plain random walker."""
    if "method" not in inspect.signature(refine).parameters:
        raise Skipped("refine() has no argument method")
    options: dict[str, Any] = {"method": "published"}
    return labels_of(item, refine(item.image, item.coarse, **options))


METHODS: dict[str, Method] = {
    "nearest": nearest,
    "linear": partial(interpolated, how="linear"),
    "cubic": partial(interpolated, how="cubic"),
    "default": default,
    "published": published,
    "guided filter": partial(baselines.guided_filter, reach=2, epsilon=1e-3),
    "guided filter, narrow": partial(baselines.guided_filter, reach=1, epsilon=1e-4),
    "GrabCut": baselines.grabcut,
    "skimage random walker": baselines.skimage_walker,
    "closed-form matting": baselines.closed_form_matting,
}


def warm_up() -> None:
    """Import what baselines import late, so that it is not timed."""
    for module in ("skimage.segmentation", "pymatting"):
        with suppress(ImportError):
            import_module(module)
