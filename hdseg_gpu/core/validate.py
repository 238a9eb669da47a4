"""The door: the only place that checks input. Below it, shapes and dtypes are promises."""

import os
from collections.abc import Callable, Sequence
from math import inf, isfinite, nan
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hdseg_gpu.core import values
from hdseg_gpu.core.elements import MAX_RADIUS, structuring_elements
from hdseg_gpu.core.elements import NAMES as ELEMENT_NAMES
from hdseg_gpu.core.errors import InvalidInput, shown
from hdseg_gpu.core.ops import Mask
from hdseg_gpu.core.params import (
    ASSUMED_SCALE,
    EDGE_RULES,
    INTERPOLATIONS,
    METHODS,
    PASSES_PER_SCALE,
    Coarse,
    Defaults,
)
from hdseg_gpu.core.report import Stages
from hdseg_gpu.core.values import Values

IMAGE_DTYPES = ("uint8", "uint16", "float32", "float64")
MAX_CHANNELS = 16
MAX_MAGNITUDE = 1e140  # of floats, so that sums of squares stay finite
MAX_WEIGHT = 1e12  # of beta and gamma; larger ones say no more and lead to overflow
MIN_WEIGHT = 1e-12  # of gamma, if it is not 0; edges weigh 1e-10 at least, in float32
MIN_SIGMA = 1e-140  # if it is not 0: the edge weights' exponent stays finite
MAX_WINDOW = 15  # of the majority filter
_LABELS = "a label map of shape (h, w) with integer or bool values"
_MAX_INTEGER = int(np.iinfo(np.int64).max)
MAX_PASSES = _MAX_INTEGER
_RGBA_CHANNELS = 4


def as_array(name: str, value: ArrayLike, expected: str) -> NDArray[Any]:
    """Return a NumPy array; arrays of a device stay as they are, they have the same methods."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise InvalidInput(
            f"{name} is a masked array, and the mask would be lost; pass {name}.filled(...)."
        )
    try:
        on_device = hasattr(value, "__cuda_array_interface__")
        array: Any = value if on_device else np.asarray(value)
    except MemoryError:
        raise
    except Exception as error:  # ragged lists, and what other libraries' arrays raise
        kind, reason = type(value).__name__, " ".join(f"{error}".split())
        raise InvalidInput(
            f"{name} is not an array that NumPy can take ({kind}: {reason}); pass {expected}."
        ) from error
    if array.size == 0:
        raise InvalidInput(f"{name} is empty, shape {array.shape}; pass {expected}.")
    if array.dtype.kind == "b":
        array = array.view(np.uint8) != 0  # Pillow's 1-bit pictures have bools made of 255
    found: NDArray[Any] = array
    return found


def _native(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array C-contiguous, aligned, and in the machine's byte order: as kernels read."""
    native: NDArray[Any] = array.astype(array.dtype.newbyteorder("="), order="C", copy=False)
    # A view into a file or a message may begin anywhere; what is on a device cannot.
    return np.require(native, requirements=["C", "A"]) if type(native) is np.ndarray else native


def _last(array: NDArray[Any], axis: int) -> NDArray[Any]:
    """Return the array with one of its axes moved to the end."""
    axes = [i for i in range(array.ndim) if i != axis % array.ndim]
    return array.transpose(*axes, axis % array.ndim)


def axis_of(name: str, axis: int, ndim: int = 3) -> int:
    """Return an axis of an array with so many dimensions."""
    if (
        isinstance(axis, bool)
        or not isinstance(axis, Integral)
        or not -ndim <= int(axis) < ndim  # int: negative numbers, also of unsigned types
    ):
        raise InvalidInput(
            f"{name}={shown(axis)} is not an axis of an array with {ndim} dimensions; "
            f"pass an integer from {-ndim} to {ndim - 1}."
        )
    return int(axis)


def require_finite(name: str, values: NDArray[Any], lowest: Any, highest: Any) -> None:
    """Refuse floats whose extremes are NaN, for one is not finite, or too large for squares."""
    if not (isfinite(lowest) and isfinite(highest)):
        index = _first_not_finite(values)
        if index is not None:
            raise InvalidInput(
                f"{name} holds NaN or infinity, first at index {index}; replace "
                "such values (for example with numpy.nan_to_num) before the call."
            )
        lowest, highest = values.min(), values.max()  # of a type with larger numbers than float64
    if max(-lowest, highest) > MAX_MAGNITUDE:
        raise InvalidInput(
            f"{name} has values from {lowest:g} to {highest:g}, whose squares overflow; "
            "scale it down, for example to [0, 1]."
        )


def _first_not_finite(array: NDArray[Any]) -> list[int] | None:
    """Return the index of the first NaN or infinity; a mask is made of one part at a time."""
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
    verbs: Values = values,
) -> NDArray[Any]:
    """Return the image as (H, W, C), an array of `verbs`, without its alpha channel."""
    expected = "an image of shape (H, W) or (H, W, channels)"
    array = as_array("image", value, expected)
    _require_image_dtype("image", array)
    if array.ndim in (2, 3) and array.dtype.kind == "f":
        require_finite("image", array, *verbs.extremes(array))
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
            f"image has {channels} channels on axis channel_axis={channel_axis}, shape "
            f"{shape}; at most {MAX_CHANNELS} are supported. Is channel_axis right?"
        )
    if has_alpha(channels, alpha, stages):
        array = array[:, :, :-1]
    return _native(array)


def has_alpha(channels: int, alpha: bool | None, stages: Stages) -> bool:
    """Return whether the last channel is to be ignored."""
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
            "alpha=True leaves nothing of an image with 1 channel; pass alpha=False."
        )
    return bool(alpha)


def edge_features(
    pixels: NDArray[Any], boundary: ArrayLike | None, edges: str, verbs: Values = values
) -> NDArray[Any]:
    """Return what the edge weights are taken from: the image, or the boundary map g as (H, W, 1).

    The values of g lie in [0, 1] after scaling of integers.
    """
    shape = pixels.shape[:2]
    if edges != "boundary":
        if boundary is not None:
            raise InvalidInput(f"boundary= is given, but edges={edges!r}; pass edges='boundary'.")
        return pixels
    if boundary is None:
        raise InvalidInput(
            f"edges={edges!r} needs boundary=, a map of edge strengths in [0, 1] of shape {shape}."
        )
    array = as_array("boundary", boundary, f"a map of edge strengths of shape {shape}")
    if array.shape != shape:
        raise InvalidInput(f"boundary has shape {array.shape}; the image has {shape}.")
    _require_image_dtype("boundary", array)
    if array.dtype.kind == "f":
        lowest, highest = verbs.extremes(array)
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
    """Return an array as ``labels`` does."""
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
    """Return a mask of bits (H, ceil(width / 8)), the lowest bit of a byte leftmost."""
    if isinstance(width, bool) or not isinstance(width, Integral) or width < 1:
        raise InvalidInput(
            f"packed_width={shown(width)} is not possible; pass the mask's width in pixels, "
            "at least 1."
        )
    width = int(width)  # of NumPy's they overflow
    array = labels("mask", value)
    if array.dtype.name != "uint8" or array.shape[1] != -(-width // 8):
        raise InvalidInput(
            f"mask has dtype {array.dtype} and shape {array.shape}; packed_width={shown(width)} "
            f"needs uint8 of shape (H, {shown(-(-width // 8))}), as from "
            'numpy.packbits(mask, axis=1, bitorder="little").'
        )
    return array


def require_smaller(coarse: tuple[int, ...], shape: tuple[int, int]) -> None:
    """Refuse a coarse map that is larger than the image."""
    if coarse[0] > shape[0] or coarse[1] > shape[1]:
        raise InvalidInput(
            f"coarse is larger than the image: {coarse} against {shape}; "
            "are the two arguments swapped, or is class_axis or channel_axis wrong?"
        )


def scale_of(
    coarse: Coarse,
    shape: tuple[int, int],
    scale: float | None,
    passes: int | None,
    stages: Stages,
) -> float:
    """Return image pixels per coarse pixel, s = max(H / h, W / w), or what the caller says."""
    h, w = coarse.shape
    require_smaller(coarse.shape, shape)
    if not same_aspect(coarse.shape, shape):
        raise InvalidInput(
            f"coarse {coarse.shape} and image {shape} differ in aspect by more than one coarse "
            f"pixel: {shape[0] / h:.3f} image rows, but {shape[1] / w:.3f} image columns for each "
            "coarse pixel; crop or resize the coarse map to the image's aspect."
        )
    if scale is None and coarse.shape != shape:
        return coarse.scale_to(shape)
    return scale_of_mask(scale, passes, stages)


def same_aspect(small: tuple[int, int], large: tuple[int, int]) -> bool:
    """Return whether h x w is at most one pixel off the aspect of H x W.

    That is |h - H w / W| <= 1 or |w - W h / H| <= 1, in integers.
    """
    return abs(small[0] * large[1] - small[1] * large[0]) <= max(large)


def scale_of_mask(scale: float | None, passes: int | None, stages: Stages) -> float:
    """Return the scale of a mask that has the image's size, where only the caller can know."""
    if scale is not None:
        return at_least("scale", scale, 1.0)
    if passes is None:
        stages.notes.append(
            f"The mask is as large as the image: scale={ASSUMED_SCALE:g} is assumed "
            "(pass scale= or passes=)."
        )
    return ASSUMED_SCALE


def pass_count(passes: int | None, scale: float, passes_per_scale: float = PASSES_PER_SCALE) -> int:
    """Return the number of passes, by default in proportion to the scale."""
    if passes is None:
        return min(max(1, round(min(passes_per_scale * scale, MAX_PASSES))), MAX_PASSES)
    if isinstance(passes, bool) or not isinstance(passes, Integral) or passes < 0:
        raise InvalidInput(
            f"passes={shown(passes)} is not possible; pass an integer of at least 0."
        )
    return min(int(passes), MAX_PASSES)


def element_set(value: str | ArrayLike) -> NDArray[np.int8]:
    """Return a preset by name, or a custom set (m, n, n) of +1, 0 and -1."""
    if isinstance(value, str):
        return structuring_elements(value)
    size = 2 * MAX_RADIUS + 1
    expected = (
        f"one of {ELEMENT_NAMES}, or an array (m, n, n) of +1, 0, -1 with n odd, at most {size}"
    )
    array = as_array("elements", value, expected)
    if (
        array.ndim != 3
        or array.shape[1] != array.shape[2]
        or array.shape[1] not in range(1, size + 1, 2)
    ):
        raise InvalidInput(f"elements has shape {array.shape}; pass {expected}.")
    if array.dtype.kind not in "iu":
        raise InvalidInput(f"elements has dtype {array.dtype}; pass {expected}.")
    if not np.isin(array, (-1, 0, 1)).all():
        raise InvalidInput(
            f"elements has values from {array.min()} to {array.max()}; pass {expected}."
        )
    return np.ascontiguousarray(array, np.int8)


def choice(name: str, value: str, valid: Sequence[str]) -> str:
    """Return the value if it is one of the valid names."""
    if not isinstance(value, str) or value not in valid:
        raise InvalidInput(f"{name}={shown(value)} is unknown; choose one of {tuple(valid)}.")
    return str(value)  # without what NumPy's may add


def method_defaults(value: str) -> Defaults:
    """Return what a method takes for options that are not given."""
    return METHODS[choice("method", value, tuple(METHODS))]


def edge_rule(value: str | None, boundary: ArrayLike | None) -> str:
    """Return what the edge weights are taken from; None leaves it to whether there is a map."""
    if value is None:
        value = "intensity" if boundary is None else "boundary"
    return choice("edges", value, EDGE_RULES)


def unsure_margin(value: float, given: bool, coarse: Coarse, stages: Stages) -> float:
    """Return up to which difference of probabilities a pixel is unknown; 0 for labels."""
    margin = at_least("unsure", value, 0.0, 1.0)
    if margin == 1.0:
        raise InvalidInput(f"unsure={shown(value)} leaves no pixel known; pass a number below 1.")
    if coarse.probabilities is None:
        if given and margin > 0:
            stages.notes.append(f"unsure={margin:g} has no effect: labels came in.")
        return 0.0
    return margin


def window(name: str, value: int) -> int:
    """Return the side of a square window: odd, so that it has a centre."""
    side = integer(name, value)
    if side not in range(1, MAX_WINDOW + 1, 2):
        raise InvalidInput(
            f"{name}={shown(value)} is not possible; pass an odd integer from 1 (off) to "
            f"{MAX_WINDOW}."
        )
    return side


def switch(name: str, value: bool) -> bool:
    """Return whether something is on."""
    if not isinstance(value, bool | np.bool_):
        raise InvalidInput(f"{name}={shown(value)} is not possible; pass True or False.")
    return bool(value)


def integer(name: str, value: int, minimum: int | None = None) -> int:
    """Return an integer that is no bool; with a minimum, also one that has 64 bits."""
    limits = "" if minimum is None else f" from {minimum} to {_MAX_INTEGER}"
    if (
        isinstance(value, bool | np.bool_)
        or not isinstance(value, Integral)
        or (minimum is not None and not minimum <= int(value) <= _MAX_INTEGER)
    ):
        raise InvalidInput(f"{name}={shown(value)} is not possible; pass an integer{limits}.")
    return int(value)


def count(name: str, value: int | None) -> int | None:
    """Return a number of things that there may be, at least one; None is for somebody else."""
    return None if value is None else integer(name, value, 1)


def text(name: str, value: str | None) -> str | None:
    """Return a name, if there is one."""
    if value is not None and not isinstance(value, str):
        raise InvalidInput(f"{name}={shown(value)} is not possible; pass a str, or None.")
    return value


def path(name: str, value: str | os.PathLike[str]) -> Path:
    """Return where a file is, or is to be."""
    try:
        found = os.fspath(value)
        possible = isinstance(found, str) and found != "" and b"\0" not in os.fsencode(found)
    except Exception:  # what is no path, what no name can have, and what somebody's class raises
        possible = False
    if not possible:
        raise InvalidInput(
            f"{name}={shown(value)} cannot be the path of a file; pass a str or a pathlib.Path."
        )
    return Path(found)


def callback(name: str, value: Callable[..., None] | None) -> None:
    """Refuse what cannot be called; None is for nobody."""
    if value is not None and not callable(value):
        raise InvalidInput(f"{name}={shown(value)} cannot be called; pass a function, or None.")


def interpolation(value: str | None, coarse: Coarse, of_labels: str = "nearest") -> str:
    """Return how to enlarge the coarse map; only labels can take the nearest."""
    if coarse.probabilities is None:
        valid: tuple[str, ...] = ("nearest", *INTERPOLATIONS)
        return choice("interpolation", of_labels if value is None else value, valid)
    return choice("interpolation", "linear" if value is None else value, INTERPOLATIONS)


def memory(name: str, value: float | None) -> int | None:
    """Return a number of bytes, if there is one."""
    return None if value is None else int(at_least(name, value, 1.0))


def zero_or_at_least(name: str, value: float, minimum: float, maximum: float = inf) -> float:
    """Return 0, or a finite number from `minimum` to `maximum`."""
    number = at_least(name, value, 0.0, maximum)
    if 0.0 < number < minimum:
        raise InvalidInput(
            f"{name}={shown(value)} is too small to be computed with; pass 0 or a number of at "
            f"least {minimum:g}."
        )
    return number


def at_least(name: str, value: float, minimum: float, maximum: float = inf) -> float:
    """Return a finite number from `minimum` to `maximum`."""
    try:
        number = nan if isinstance(value, bool) or not isinstance(value, Real) else float(value)
    except OverflowError:
        number = inf
    if not (isfinite(number) and minimum <= number <= maximum):
        limit = f"at least {minimum:g}"
        if isfinite(maximum):
            limit += f" and at most {maximum:g}"
        raise InvalidInput(
            f"{name}={shown(value)} is not possible; pass a finite number of {limit}."
        )
    return number
