"""Where it runs: one Ops for each backend, chosen once for each call."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hdseg_gpu.backends.interop import Home
from hdseg_gpu.core.checks import choice
from hdseg_gpu.core.errors import BackendUnavailable
from hdseg_gpu.core.registry import BACKENDS, ON_DEVICE, loaded
from hdseg_gpu.ops import Ops


def load(name: str, device: int = 0) -> Ops:
    """Return the backend's Ops, or raise BackendUnavailable with the reason."""
    open_backend: Callable[[int], Ops] = loaded(BACKENDS, "backend", name, BackendUnavailable)
    return open_backend(device)


def of_host() -> Ops:
    """Return the best backend for arrays in host memory."""
    return _first([name for name in BACKENDS if name not in ON_DEVICE])


def beside(ops: Ops, array: Any) -> Ops:
    """Return the backend that computes where an array is: `ops`, or one of the host."""
    return ops if ops.xp is np or isinstance(array, ops.xp.ndarray) else of_host()


def reason_against(name: str) -> str | None:
    """Return why the backend cannot run here, or None when it can."""
    try:
        load(name)
    except BackendUnavailable as error:
        return str(error)
    return None


def available() -> tuple[str, ...]:
    """Return the names of the backends that can run here, best first."""
    return tuple(name for name in BACKENDS if reason_against(name) is None)


def lost_by_fork(name: str) -> tuple[str, ...]:
    """Return the sentence to be said if "auto" has no device only because of a fork."""
    if name != "auto":
        return ()
    from hdseg_gpu.backends.cuda.installation import reason_after_fork

    cause = reason_after_fork()
    if cause is None:
        return ()
    return (f"backend='cpu' instead of 'cuda': {cause}.",)


def select(name: str, home: Home | None = None) -> Ops:
    """Return the Ops for a name or "auto". An explicit name is final: it works or raises.

    With arrays on a device, `home`, the backend "cuda" is that of this device.
    """
    name = choice("backend", name, ("auto", *BACKENDS))
    device = 0 if home is None else home.device
    return _first(list(BACKENDS), device) if name == "auto" else load(name, device)


def _first(names: Sequence[str], device: int = 0) -> Ops:
    """Return the first backend that can run here; those after it are not even imported."""
    *better, last = names
    for name in better:
        try:
            return load(name, device)
        except BackendUnavailable:
            continue
    return load(last, device)
