"""Our functions for scikit-image's own dispatching: an entry point of ``skimage_backends``.

scikit-image 0.26 dispatches two functions, neither of which is ours; so this does nothing until it
dispatches more. It is in use only within ``accelerate()``, or where the environment variable
``HDSEG_SKIMAGE_BACKEND`` is 1: installing this package alone must not change anybody's results.
"""

import inspect
import os
from collections.abc import Callable
from functools import cache, wraps
from typing import Any

from hdseg_gpu.compat.acceleration import active, attempt, is_inside
from hdseg_gpu.compat.targets import TARGETS, Target, reason_against

FUNCTIONS = {f"{t.home}:{t.name}": t for t in TARGETS if t.home.startswith("skimage.")}


def can_has(name: str, *args: Any, **options: Any) -> bool:
    """Return whether we take a call of a function, such as "skimage.morphology:thin"."""
    wanted = active() or os.environ.get("HDSEG_SKIMAGE_BACKEND") == "1"
    if name not in FUNCTIONS or not wanted or is_inside():
        return False
    target = FUNCTIONS[name]
    return reason_against(target, _signature(target), args, options)[0] is None


def get_implementation(name: str) -> Callable[..., Any]:
    """Return our function, which lets scikit-image's answer a call where ours fails."""
    target = FUNCTIONS[name]

    @wraps(target.function())
    def implementation(*args: Any, **options: Any) -> Any:
        # Inside of a call of ours can_has() declines, so that their name leads to their code.
        return attempt(target, _signature(target), target.theirs(), args, options)

    return implementation


@cache
def _signature(target: Target) -> inspect.Signature:
    return inspect.signature(target.function())
