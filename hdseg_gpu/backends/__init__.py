"""Where it runs: one Ops for each backend, chosen once for each call."""

from typing import Any

import numpy as np

from hdseg_gpu.backends.interop import Home
from hdseg_gpu.core.errors import BackendUnavailable, InvalidInput, shown
from hdseg_gpu.core.ops import Ops

# Best first: "auto" takes the first that is available.
NAMES = ("cuda", "cpu", "reference")


def load(name: str, device: int = 0) -> Ops:
    """Return the backend's Ops, or raise BackendUnavailable with the reason."""
    if name == "cuda":
        from hdseg_gpu.backends.cuda import CudaOps
        from hdseg_gpu.backends.cuda_device import open_device

        return CudaOps(open_device(device))
    if name == "cpu":
        try:
            from hdseg_gpu.backends.cpu import CpuOps

            return CpuOps()
        except ImportError as error:
            raise BackendUnavailable(
                f"backend='cpu' needs the compiled module, which did not load ({error}); "
                "run `pip install .` in the source folder, or use backend='reference'."
            ) from error
    from hdseg_gpu.backends.reference import ReferenceOps

    return ReferenceOps()


def of_host() -> Ops:
    """Return the best backend for arrays in host memory."""
    try:
        return load("cpu")
    except BackendUnavailable:
        return load("reference")


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
    return tuple(name for name in NAMES if reason_against(name) is None)


def lost_by_fork(name: str) -> tuple[str, ...]:
    """Return the sentence to be said if "auto" has no device only because of a fork."""
    from hdseg_gpu.backends import cuda_installation

    cause = cuda_installation.reason_after_fork()
    if name != "auto" or cause is None:
        return ()
    return (f"backend='cpu' instead of 'cuda': {cause}.",)


def select(name: str, home: Home | None = None) -> Ops:
    """Return the Ops for a name or "auto". An explicit name is final: it works or raises.

    With arrays on a device, `home`, the backend "cuda" is that of this device.
    """
    if not isinstance(name, str) or name not in ("auto", *NAMES):
        raise InvalidInput(f"backend={shown(name)} is unknown; choose one of {('auto', *NAMES)}.")
    device = 0 if home is None else home.device
    if name == "auto":
        # The next best is not even looked at: loading a backend costs time.
        for best in NAMES[:-1]:
            try:
                return load(best, device)
            except BackendUnavailable:
                continue
        return load(NAMES[-1])
    return load(name, device)
