"""``RefineMaskd``: refinement of dictionaries of arrays, by the conventions of MONAI."""

from collections.abc import Hashable, Iterable, Mapping
from copy import deepcopy
from inspect import Parameter, Signature
from typing import Any

import numpy as np

from hdseg_gpu.backends.interop import is_tensor
from hdseg_gpu.compat.arrays import require_array
from hdseg_gpu.compat.channels_first import OPTIONS, OUTPUTS, options_of, refined
from hdseg_gpu.core.checks import choice, switch
from hdseg_gpu.core.errors import InvalidInput

_DIMENSIONS = 3  # channels, rows, columns
_MOST = 2**31


class RefineMaskd:
    """A transform of dictionaries: masks under some keys are refined to an image under another.

    It follows MONAI's conventions and works in its ``Compose``; MONAI need not be installed.
    ``transform(data)`` returns a new dictionary with all other entries as they were, and leaves
    `data` alone. It is not differentiable.

    Parameters
    ----------
    keys : hashable or iterable of them
        Where the masks are, of shape (1, h, w) for labels or (K, h, w) for the probabilities or
        logits of K classes. Labels are integers, bools, or floats that are all integers.
    image_key : hashable
        Where the image is, of shape (C, H, W) with H >= h and W >= w. Floats are used unchanged,
        and beta is meant for [0, 1].
    allow_missing_keys : bool
        Whether masks that are missing are passed over, instead of a KeyError.
    output : {"labels", "probabilities"}
        What masks become: (1, H, W), in the dtype of labels, or class indices; or float32
        (K, H, W), for which masks must not be labels.
    **options
        Those of ``refine``, except boundary, edges, channel_axis and class_axis.

    Notes
    -----
    Mask and image are both tensors or both arrays, and so is the result, on the image's device. A
    MetaTensor stays one: its metadata are kept, and its affine and "spatial_shape" become those of
    the larger grid.

    See Also
    --------
    Refiner : the same for batches.

    Examples
    --------
    >>> import numpy as np
    >>> import hdseg_gpu
    >>> image = np.full((1, 64, 64), 50, np.uint8)
    >>> image[:, :, 30:] = 200
    >>> mask = np.zeros((1, 8, 8), np.uint8)
    >>> mask[:, :, 4:] = 1  # from column 32 on
    >>> transform = hdseg_gpu.RefineMaskd("mask")
    >>> found = transform({"image": image, "mask": mask, "name": "edge"})
    >>> found["mask"].shape, found["mask"][0, 40, 28:33].tolist(), found["name"]
    ((1, 64, 64), [0, 0, 1, 1, 1], 'edge')
    """

    def __init__(
        self,
        keys: Hashable | Iterable[Hashable],
        image_key: Hashable = "image",
        *,
        allow_missing_keys: bool = False,
        output: str = "labels",
        **options: Any,
    ) -> None:
        several = isinstance(keys, Iterable) and not isinstance(keys, str)
        self.keys: tuple[Hashable, ...] = tuple(keys) if several else (keys,)  # type: ignore
        if not self.keys:
            raise InvalidInput("keys is empty; pass the keys of the masks.")
        if image_key in self.keys:
            raise InvalidInput(
                f"image_key={image_key!r} is among keys, which are those of the masks."
            )
        self.image_key = image_key
        self.allow_missing_keys = switch("allow_missing_keys", allow_missing_keys)
        self.output = choice("output", output, OUTPUTS)
        self.options = options_of("RefineMaskd", options)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a dictionary with refined masks."""
        found = dict(data)
        for key in self.keys:
            if key in found:
                found[key] = self._refined(key, data)
            elif not self.allow_missing_keys:
                raise KeyError(
                    f"RefineMaskd: there is no mask under the key {key!r}, and "
                    "allow_missing_keys=False."
                )
        return found

    def __repr__(self) -> str:
        said = {"allow_missing_keys": self.allow_missing_keys, "output": self.output} | self.options
        options = ", ".join(f"{name}={value!r}" for name, value in said.items())
        return f"RefineMaskd({self.keys!r}, {self.image_key!r}, {options})"

    def _refined(self, key: Hashable, data: Mapping[Hashable, Any]) -> Any:
        if self.image_key not in data:
            raise KeyError(f"RefineMaskd: there is no image under the key {self.image_key!r}.")
        image, mask = _array(self.image_key, data), _array(key, data)
        if is_tensor(image) != is_tensor(mask):
            raise TypeError(
                f"data[{self.image_key!r}] and data[{key!r}] are a tensor and an array; make both "
                "of one kind."
            )
        coarse, is_float = (mask, False) if len(mask) > 1 else _labels(key, mask)
        try:
            refined_mask = refined(image, coarse, self.output, self.options)
        except InvalidInput as error:
            raise InvalidInput(f"data[{key!r}] as coarse: {error}") from error
        if len(mask) > 1 and self.output == "probabilities":
            return _with_metadata(refined_mask, data[key])
        if is_float:
            refined_mask = _as_dtype(refined_mask, mask.dtype)
        return _with_metadata(refined_mask[None], data[key])


RefineMaskd.__signature__ = Signature(  # type: ignore[attr-defined]
    [
        Parameter("keys", Parameter.POSITIONAL_OR_KEYWORD),
        Parameter("image_key", Parameter.POSITIONAL_OR_KEYWORD, default="image"),
        Parameter("allow_missing_keys", Parameter.KEYWORD_ONLY, default=False),
        Parameter("output", Parameter.KEYWORD_ONLY, default="labels"),
        *OPTIONS,
    ]
)


def _array(key: Hashable, data: Mapping[Hashable, Any]) -> Any:
    """Return an array (channels, rows, columns) of a dictionary, without its metadata."""
    name = f"data[{key!r}]"
    array = require_array(name, data[key])
    shape = tuple(array.shape)
    if len(shape) != _DIMENSIONS or 0 in shape:
        raise InvalidInput(
            f"{name} has the shape {shape}; pass (channels, rows, columns), none of them 0."
        )
    return array.as_tensor() if hasattr(array, "as_tensor") else array


def _labels(key: Hashable, mask: Any) -> tuple[Any, bool]:
    """Return a mask (1, h, w) as labels (h, w), and whether it had floats."""
    plane = mask[0]
    dtype = str(plane.dtype)
    if "float" not in dtype:
        return plane, False
    if not (bool((plane == plane.round()).all()) and float(abs(plane).max()) < _MOST):
        raise InvalidInput(
            f"data[{key!r}] has one plane of floats that are not all labels; pass integers, or one "
            "plane for each class: for a foreground probability p, 1 - p and p."
        )
    return _as_dtype(plane, "int32"), True


def _as_dtype(array: Any, dtype: Any) -> Any:
    """Return a tensor or an array in another dtype: int32, or one of its library's."""
    if not is_tensor(array):
        return array.astype(np.dtype(dtype))
    return array.int() if dtype == "int32" else array.to(dtype)


def _with_metadata(found: Any, mask: Any) -> Any:
    """Return a refined mask with the metadata of a MetaTensor, for the larger grid."""
    if not (hasattr(mask, "as_tensor") and hasattr(mask, "meta")):
        return found
    small, large = tuple(mask.shape[1:]), tuple(found.shape[1:])
    meta = deepcopy(mask.meta)
    meta["affine"] = mask.affine @ _scaling(small, large, mask.affine)
    if "spatial_shape" in meta:
        meta["spatial_shape"] = np.array(large)
    return type(mask)(found, meta=meta, applied_operations=deepcopy(mask.applied_operations))


def _scaling(small: tuple[int, ...], large: tuple[int, ...], like: Any) -> Any:
    """Return the matrix from indices of the larger grid to those of the smaller one.

    Pixels have areas: (i + 1/2) h / H - 1/2.
    """
    matrix = like.new_zeros(like.shape)
    matrix.fill_diagonal_(1)
    for axis, (few, many) in enumerate(zip(small, large, strict=True)):
        matrix[axis, axis] = few / many
        matrix[axis, -1] = (few / many - 1) / 2
    return matrix
