"""Validation of input arrays on entry; later code relies on their shapes and dtypes."""

from math import inf, isfinite
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hdseg_gpu.core import values
from hdseg_gpu.core.checks import switch
from hdseg_gpu.core.classes import Mask
from hdseg_gpu.core.errors import InvalidInput, shown
from hdseg_gpu.core.report import Stages
from hdseg_gpu.core.values import Values
from hdseg_gpu.core.windows import Shape

IMAGE_DTYPES = ("uint8", "uint16", "float32", "float64")
MAX_CHANNELS = 16
MAX_MAGNITUDE = 1e140  # of floats, so that sums of squares stay finite
_LABELS = "a label map of shape (h, w) with integer or bool values"
_RGBA_CHANNELS = 4


def as_array(name: str, value: ArrayLike, expected: str) -> NDArray[Any]:
    """Return a NumPy array; arrays on a device are returned as they are."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise InvalidInput(
            f"{name} is a masked array, and the mask would be lost; pass {name}.filled(...)."
        )
    try:
        on_device = hasattr(value, "__cuda_array_interface__")
        array: Any = value if on_device else np.asarray(value)
    except MemoryError:
        raise
    except Exception as error:  # ragged lists, and whatever other libraries' arrays raise
        kind, reason = type(value).__name__, " ".join(f"{error}".split())
        raise InvalidInput(
            f"{name} is not an array ({kind}: {reason}); pass {expected}."
        ) from error
    if array.size == 0:
        raise InvalidInput(f"{name} is empty, shape {array.shape}; pass {expected}.")
    if array.dtype.kind == "b":
        array = array.view(np.uint8) != 0  # bools of Pillow's 1-bit images have the byte 255
    found: NDArray[Any] = array
    return found


def _native(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array C-contiguous, aligned, and in native byte order, as kernels require."""
    native: NDArray[Any] = array.astype(array.dtype.newbyteorder("="), order="C", copy=False)
    # A view into a file or a message may be unaligned; arrays on a device are not.
    return np.require(native, requirements=["C", "A"]) if type(native) is np.ndarray else native


def _last(array: NDArray[Any], axis: int) -> NDArray[Any]:
    """Return the array with one of its axes moved to the end."""
    axes = [i for i in range(array.ndim) if i != axis % array.ndim]
    return array.transpose(*axes, axis % array.ndim)


def axis_of(name: str, axis: int, ndim: int = 3) -> int:
    """Return `axis` if it is an axis of an array with `ndim` dimensions."""
    if (
        isinstance(axis, bool)
        or not isinstance(axis, Integral)
        or not -ndim <= int(axis) < ndim  # int: unsigned types cannot be compared with -ndim
    ):
        raise InvalidInput(
            f"{name}={shown(axis)} is not an axis of an array with {ndim} dimensions; "
            f"pass an integer from {-ndim} to {ndim - 1}."
        )
    return int(axis)


def require_finite(name: str, values: NDArray[Any], lowest: Any, highest: Any) -> None:
    """Raise InvalidInput if floats are not finite, or so large that their squares overflow."""
    if not (isfinite(lowest) and isfinite(highest)):
        index = first_not_finite(values)
        if index is not None:
            raise not_finite(name, index)
        lowest, highest = values.min(), values.max()  # of a type with a wider range than float64
    require_small(name, lowest, highest)


def not_finite(name: str, index: list[int]) -> InvalidInput:
    """Return the refusal of an array that has NaN or infinity."""
    return InvalidInput(
        f"{name} holds NaN or infinity, first at index {index}; replace "
        "such values (for example with numpy.nan_to_num) before the call."
    )


def require_small(name: str, lowest: Any, highest: Any) -> None:
    """Refuse values whose squares overflow."""
    if max(-lowest, highest) > MAX_MAGNITUDE:
        raise InvalidInput(
            f"{name} has values from {lowest:g} to {highest:g}, whose squares overflow; "
            "scale it down, for example to [0, 1]."
        )


def first_not_finite(array: NDArray[Any]) -> list[int] | None:
    """Return the index of the first NaN or infinity, with a mask of one part at a time."""
    for i, part in enumerate(array):
        bad = ~(abs(part) < inf)
        if bad.any():
            return [i, *(int(j) for j in np.unravel_index(int(bad.ravel().argmax()), part.shape))]
    return None


def _require_image_dtype(name: str, array: NDArray[Any]) -> None:
    if array.dtype.name not in IMAGE_DTYPES:
        raise InvalidInput(
            f"{name} has the unsupported dtype {array.dtype}; convert it to one of {IMAGE_DTYPES}."
        )


def image(
    value: ArrayLike,
    channel_axis: int,
    alpha: bool | None,
    stages: Stages,
    value_ops: Values = values,
) -> NDArray[Any]:
    """Return the image as (H, W, C) without its alpha channel, an array of the backend `ops`."""
    expected = "an image of shape (H, W) or (H, W, channels)"
    array = as_array("image", value, expected)
    _require_image_dtype("image", array)
    if array.ndim in (2, 3) and array.dtype.kind == "f":
        require_finite("image", array, *value_ops.extremes(array))
    axis, shape = axis_of("channel_axis", channel_axis), tuple(array.shape)
    if array.ndim == 2:
        array = array[:, :, None]
    elif array.ndim == 3:
        array = _last(array, axis)
    else:
        raise InvalidInput(f"image has {array.ndim} dimensions, {array.shape}; pass {expected}.")
    channels = array.shape[2]
    if channels > MAX_CHANNELS:
        raise InvalidInput(
            f"image has {channels} channels on channel_axis={channel_axis}, shape "
            f"{shape}; at most {MAX_CHANNELS} are supported. Is channel_axis right?"
        )
    if has_alpha(channels, alpha, stages):
        array = array[:, :, :-1]
    return _native(array)


def has_alpha(channels: int, alpha: bool | None, stages: Stages) -> bool:
    """Return whether the last channel is alpha and is ignored."""
    if alpha is not None:
        alpha = switch("alpha", alpha)
    if alpha is None and channels == _RGBA_CHANNELS:
        stages.notes.append(
            "The image has 4 channels and is read as RGBA: alpha is ignored "
            "(alpha=False uses all four)."
        )
        alpha = True
    if alpha and channels == 1:
        raise InvalidInput(
            "alpha=True leaves no channel of an image with 1 channel; pass alpha=False."
        )
    return bool(alpha)


def edge_strengths(boundary: ArrayLike, shape: Shape, value_ops: Values = values) -> NDArray[Any]:
    """Return a boundary map for an image of `shape` as (H, W, 1).

    Floats must lie in [0, 1]; integers are scaled to it later.
    """
    array = as_array("boundary", boundary, f"a map of edge strengths of shape {shape}")
    if array.shape != shape:
        raise InvalidInput(f"boundary has shape {array.shape}; the image has {shape}.")
    _require_image_dtype("boundary", array)
    if array.dtype.kind == "f":
        lowest, highest = value_ops.extremes(array)
        require_finite("boundary", array, lowest, highest)
        if lowest < 0 or highest > 1:
            raise InvalidInput(
                f"boundary has values from {lowest:g} to {highest:g}; scale it to [0, 1]."
            )
    return _native(array[:, :, None])


def labels(name: str, value: ArrayLike) -> NDArray[Any]:
    """Return a label map (h, w) of bools or integers."""
    return label_array(name, as_array(name, value, _LABELS))


def label_array(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """Return an array as a label map (h, w) of bools or integers."""
    if array.ndim != 2:
        raise InvalidInput(f"{name} has {array.ndim} dimensions, {array.shape}; pass {_LABELS}.")
    if array.dtype.kind == "f":
        raise InvalidInput(
            f"{name} has dtype {array.dtype}; labels are integers or bools. For a foreground "
            "probability p pass numpy.stack([1 - p, p]); for float labels use .astype(numpy.int32)."
        )
    if array.dtype.kind not in "biu":
        raise InvalidInput(f"{name} has the unsupported dtype {array.dtype}; pass {_LABELS}.")
    return _native(array)


def binary_mask(value: ArrayLike) -> Mask:
    """Return a mask of bools or uint8 (H, W)."""
    array = labels("mask", value)
    if array.dtype.name not in ("bool", "uint8"):
        raise InvalidInput(
            f"mask has dtype {array.dtype}; thinning takes bools or uint8, for example mask > 0."
        )
    return array


def packed_mask(value: ArrayLike, width: int) -> NDArray[np.uint8]:
    """Return a packed mask (H, ceil(width / 8)), the lowest bit of a byte leftmost."""
    if isinstance(width, bool) or not isinstance(width, Integral) or width < 1:
        raise InvalidInput(
            f"packed_width={shown(width)} must be the mask's width in pixels, at least 1."
        )
    width = int(width)  # NumPy integers overflow
    array = labels("mask", value)
    if array.dtype.name != "uint8" or array.shape[1] != -(-width // 8):
        raise InvalidInput(
            f"mask has dtype {array.dtype} and shape {array.shape}; packed_width={shown(width)} "
            f"needs uint8 of shape (H, {shown(-(-width // 8))}), as from "
            'numpy.packbits(mask, axis=1, bitorder="little").'
        )
    return array


def require_smaller(coarse: tuple[int, ...], shape: tuple[int, int]) -> None:
    """Raise InvalidInput if the coarse map is larger than the image."""
    if coarse[0] > shape[0] or coarse[1] > shape[1]:
        raise InvalidInput(
            f"coarse is larger than the image: {coarse} against {shape}; "
            "are the two arguments swapped, or is class_axis or channel_axis wrong?"
        )


def same_aspect(small: tuple[int, int], large: tuple[int, int]) -> bool:
    """Return whether h x w is at most one pixel off the aspect ratio of H x W.

    That is |h - H w / W| <= 1 or |w - W h / H| <= 1, in integers.
    """
    return abs(small[0] * large[1] - small[1] * large[0]) <= max(large)
