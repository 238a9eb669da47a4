"""Where input arrays live, and returning results there."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import BackendUnavailable, InvalidInput
from hdseg_gpu.ops import Ops


@dataclass(frozen=True)
class Home:
    """The library and the device of an array.

    kind: "host"; "tensor", of torch and not on a CUDA device; on a CUDA device, as a tensor
    ("torch") or array ("cuda").
    """

    kind: str = "host"
    device: int = 0  # number of the CUDA device
    place: str = "cpu"  # torch's name of the device of a "tensor"

    backend = "cuda"  # backend for such devices

    @property
    def on_device(self) -> bool:
        """Return whether it is on a CUDA device."""
        return self.kind in ("torch", "cuda")


def home_of(value: Any) -> Home:
    """Return the home of a value.

    CUDA tensors of torch, arrays of CuPy and other objects with __cuda_array_interface__ are on a
    device; everything else is converted by NumPy.
    """
    if is_tensor(value):
        if value.is_cuda:
            _require_devices("a tensor")
            return Home("torch", value.device.index or 0)
        return Home("tensor", place=str(value.device))
    if not hasattr(value, "__cuda_array_interface__"):
        return Home()
    _require_devices(f"an array of the type {type(value).__name__}")
    device = getattr(getattr(value, "device", None), "id", None)
    if device is None:  # not CuPy's
        from hdseg_gpu.backends.cuda.cupy_device import device_of

        device = device_of(value)
    return Home("cuda", int(device))


def on_host(name: str, value: Any) -> Any:
    """Return an array in host memory; waits if it is on a device."""
    if is_tensor(value):
        return _values(name, value)
    if not home_of(value).on_device:
        return value
    if hasattr(value, "get"):  # CuPy's
        return value.get()
    from hdseg_gpu.backends.cuda.cupy_device import downloaded

    return downloaded(value)


def taken_in(ops: Ops, name: str, value: Any) -> Any:
    """Return a value as the backend's array if it is on its device, else as an array of NumPy.

    Nothing is copied on a device; with DLPack, the current stream waits for torch's.
    """
    home = home_of(value)
    if not home.on_device or ops.xp is np:
        return on_host(name, value)
    if home.kind == "torch":
        if str(value.layout) != "torch.strided":
            return on_host(name, value)  # which raises the error
        return ops.xp.from_dlpack(_widened(value.detach()))
    return ops.xp.asarray(value)


def given_back(ops: Ops, array: NDArray[Any], home: Home) -> Any:
    """Return a result of the backend as the library and on the device of the input."""
    if home.kind == "host":
        return ops.host(array)
    if home.kind in ("tensor", "torch"):
        import torch  # of the input

        if home.kind == "tensor":
            return torch.from_numpy(ops.host(array)).to(home.place)
        if ops.xp is np:
            return torch.from_numpy(array).to(f"cuda:{home.device}")
        return torch.from_dlpack(array)
    if ops.xp is np:
        from hdseg_gpu.backends.cuda.cupy_device import uploaded

        return uploaded(array, home.device)
    return array


def _require_devices(what: str) -> None:
    """Raise BackendUnavailable for arrays on a device that a forked process cannot use."""
    from hdseg_gpu.backends.cuda.installation import reason_after_fork

    cause = reason_after_fork()
    if cause:
        raise BackendUnavailable(f"{what} is on a CUDA device: {cause}.")


def is_tensor(value: Any) -> bool:
    """Return whether a value is a tensor of torch, or of a subclass."""
    return any((t.__module__, t.__name__) == ("torch", "Tensor") for t in type(value).__mro__)


def _widened(tensor: Any) -> Any:
    """Return a tensor with a dtype that NumPy has: bfloat16 and float8 become float32, exactly."""
    return (
        tensor.float()
        if str(tensor.dtype).startswith(("torch.bfloat16", "torch.float8"))
        else tensor
    )


def _values(name: str, tensor: Any) -> NDArray[Any]:
    """Return a tensor's values in host memory, without its gradients."""
    try:
        values: NDArray[Any] = _widened(tensor).numpy(force=True)
    except (TypeError, RuntimeError, NotImplementedError) as error:  # sparse, nested, without data
        reason = " ".join(f"{error}".split())
        raise InvalidInput(
            f"{name} is a tensor whose values NumPy cannot take ({reason}); pass a dense one, as "
            "from .to_dense(), in host memory or on a CUDA device."
        ) from error
    return values
