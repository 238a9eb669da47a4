"""Where arrays come from, and how results get back there."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.ops import Ops


@dataclass(frozen=True)
class Home:
    """Where an array lives: "host", or on a CUDA device as a tensor ("torch") or array ("cuda")."""

    kind: str = "host"
    device: int = 0


def home_of(value: Any) -> Home:
    """Return where a value lives.

    On a device are CUDA tensors of torch, CuPy's arrays, and all with __cuda_array_interface__;
    everything else is for NumPy.
    """
    if _is_tensor(value):
        return Home("torch", value.device.index or 0) if value.is_cuda else Home()
    if not hasattr(value, "__cuda_array_interface__"):
        return Home()
    device = getattr(getattr(value, "device", None), "id", None)
    if device is None:  # not CuPy's
        from hdseg_gpu.backends.cuda_device import device_of

        device = device_of(value)
    return Home("cuda", int(device))


def on_host(value: Any) -> Any:
    """Return what NumPy understands; waits for what is on a device."""
    if _is_tensor(value):
        return value.detach().cpu().numpy()
    if home_of(value).kind == "host":
        return value
    if hasattr(value, "get"):  # CuPy's
        return value.get()
    from hdseg_gpu.backends.cuda_device import downloaded

    return downloaded(value)


def taken_in(ops: Ops, value: Any) -> Any:
    """Return a value as the backend's array if it is on its device, else as NumPy understands it.

    Nothing is copied on a device; with DLPack, the current stream waits for torch's.
    """
    home = home_of(value)
    if home.kind == "host" or ops.xp is np:
        return on_host(value)
    if home.kind == "torch":
        return ops.xp.from_dlpack(value.detach())
    return ops.xp.asarray(value)


def given_back(ops: Ops, array: NDArray[Any], home: Home) -> Any:
    """Return a result of the backend where the input came from."""
    if home.kind == "host":
        return ops.host(array)
    if home.kind == "torch":
        import torch  # which made the input

        if ops.xp is np:
            return torch.from_numpy(array).to(f"cuda:{home.device}")
        return torch.from_dlpack(array)
    if ops.xp is np:
        from hdseg_gpu.backends.cuda_device import uploaded

        return uploaded(array, home.device)
    return array


def _is_tensor(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "torch"
