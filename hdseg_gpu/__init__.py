"""Sharp segmentation masks for very large images.

The public names are imported on first use, so that ``import hdseg_gpu`` stays cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import hdseg_gpu.accelerate as accelerate  # noqa: PLR0402
    import hdseg_gpu.metrics as metrics  # noqa: PLR0402 - mypy does not find itself otherwise
    from hdseg_gpu.api import (
        available_backends,
        refine,
        release_device_memory,
        seeds,
        thinning,
    )
    from hdseg_gpu.compat.dictionary import RefineMaskd
    from hdseg_gpu.compat.masks import refine_mask
    from hdseg_gpu.compat.morphology import hit_or_miss, thin
    from hdseg_gpu.compat.random_walker import random_walker
    from hdseg_gpu.compat.refiner import Refiner
    from hdseg_gpu.core.elements import structuring_elements
    from hdseg_gpu.core.errors import (
        BackendUnavailable,
        HdsegError,
        InvalidInput,
        NotConverged,
        OutOfDeviceMemory,
        RefinementWarning,
        Unfinished,
    )
    from hdseg_gpu.core.report import FileReport, Report
    from hdseg_gpu.core.windows import Window
    from hdseg_gpu.files import refine_file
    from hdseg_gpu.io import create_output, open_image

__all__ = [
    "BackendUnavailable",
    "FileReport",
    "HdsegError",
    "InvalidInput",
    "NotConverged",
    "OutOfDeviceMemory",
    "RefineMaskd",
    "RefinementWarning",
    "Refiner",
    "Report",
    "Unfinished",
    "Window",
    "accelerate",
    "available_backends",
    "create_output",
    "hit_or_miss",
    "metrics",
    "open_image",
    "random_walker",
    "refine",
    "refine_file",
    "refine_mask",
    "release_device_memory",
    "seeds",
    "structuring_elements",
    "thin",
    "thinning",
]

_HOMES = {
    "available_backends": "hdseg_gpu.api",
    "refine": "hdseg_gpu.api",
    "release_device_memory": "hdseg_gpu.api",
    "seeds": "hdseg_gpu.api",
    "thinning": "hdseg_gpu.api",
    "hit_or_miss": "hdseg_gpu.compat.morphology",
    "thin": "hdseg_gpu.compat.morphology",
    "RefineMaskd": "hdseg_gpu.compat.dictionary",
    "refine_mask": "hdseg_gpu.compat.masks",
    "random_walker": "hdseg_gpu.compat.random_walker",
    "Refiner": "hdseg_gpu.compat.refiner",
    "structuring_elements": "hdseg_gpu.core.elements",
    "BackendUnavailable": "hdseg_gpu.core.errors",
    "HdsegError": "hdseg_gpu.core.errors",
    "InvalidInput": "hdseg_gpu.core.errors",
    "NotConverged": "hdseg_gpu.core.errors",
    "OutOfDeviceMemory": "hdseg_gpu.core.errors",
    "RefinementWarning": "hdseg_gpu.core.errors",
    "Unfinished": "hdseg_gpu.core.errors",
    "FileReport": "hdseg_gpu.core.report",
    "Report": "hdseg_gpu.core.report",
    "Window": "hdseg_gpu.core.windows",
    "refine_file": "hdseg_gpu.files",
    "create_output": "hdseg_gpu.io",
    "open_image": "hdseg_gpu.io",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    elif name in ("accelerate", "metrics"):
        value = import_module(f"hdseg_gpu.{name}")
    elif name == "__version__":
        from importlib.metadata import version

        value = version("hdseg_gpu")
    else:
        raise AttributeError(f"module 'hdseg_gpu' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
