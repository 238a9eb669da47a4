"""``random_walker`` with the signature and the semantics of scikit-image's."""

import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from math import isfinite, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu import backends
from hdseg_gpu.backends.interop import Home, given_back, home_of, is_tensor, taken_in
from hdseg_gpu.compat.arrays import is_dask, require_array
from hdseg_gpu.compat.potentials import Walk, label_all
from hdseg_gpu.compat.textbook import FEW, warned_of
from hdseg_gpu.core.classes import class_dtype, wall_of
from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.label_map import occurring, recoded
from hdseg_gpu.core.validate import IMAGE_DTYPES, axis_of, require_finite
from hdseg_gpu.ops import Ops

_MODES = ("cg_mg", "cg", "bf", "cg_j", None)
_SPATIAL = (2, 3)
# Bounds on the error of each potential: what float32 allows, and what `tol` by default leads to.
_FINEST, _COARSEST = 2e-6, 1e-3


def random_walker(
    data: Any,
    labels: Any,
    beta: float = 130,
    mode: str | None = "cg_j",
    tol: float = 1.0e-3,
    copy: bool = True,
    return_full_prob: bool = False,
    spacing: Sequence[float] | None = None,
    *,
    prob_tol: float = 1e-3,
    channel_axis: int | None = None,
) -> Any:
    """Segment an image from labelled pixels, as ``skimage.segmentation.random_walker`` does.

    Parameters
    ----------
    data : array, shape (M, N[, P][, C])
        Image. Integers are scaled to [0, 1] or [-1, 1]; floats are taken as they are.
    labels : array, shape (M, N[, P])
        Labels > 0 where known, 0 where to be labelled, negative where excluded.
    beta : float
        The larger, the harder it is to cross an edge.
    mode : {"cg", "cg_j", "cg_mg", "bf", None}
        "bf" solves by LU factors, all others by multigrid.
    tol : float
        Bound on the error of each potential, from 2e-6 to 1e-3.
    copy : bool
        False writes -1 at unreachable pixels into `labels`, as there.
    return_full_prob : bool
        Whether to return the probability of each label instead of the likeliest one.
    spacing : sequence of float, optional
        Distance of neighbours along each axis of `labels`. Default: 1.
    prob_tol : float
        Ours are in [0, 1]. For a few pixels, a warning tells where conjugate gradients, as there,
        would exceed this range by more than `prob_tol`.
    channel_axis : int, optional
        Axis of the channels of `data`; default: it has none.

    Returns
    -------
    array
        Labels of the shape and dtype of `labels`, renumbered to 1..K; excluded pixels keep
        negative numbers, and unreachable ones are 0. Or probabilities, (K, M, N[, P]) of float64.
        Of the array type of `labels`, on its device.

    Raises
    ------
    ValueError
        As there; also for data with NaN or infinity.
    TypeError
        An argument is no array of NumPy, CuPy, torch or Dask (2-D).

    Notes
    -----
    Neighbours i, j have the weight exp(-beta / (10 sigma sqrt(C)) sum_c (I_i - I_j)^2 / h^2)
    + 1e-10, where sigma is the standard deviation of all of `data` and h the spacing. Of constant
    data all weights are equal. Source: Grady, Random walks for image segmentation, IEEE TPAMI 2006.

    Examples
    --------
    >>> import numpy as np
    >>> import hdseg_gpu
    >>> image = np.zeros((3, 6))
    >>> image[:, 3:] = 1
    >>> labels = np.zeros((3, 6), int)
    >>> labels[1, 0], labels[1, 5] = 1, 2
    >>> hdseg_gpu.random_walker(image, labels)[0]
    array([1, 1, 1, 2, 2, 2])
    """
    if mode not in _MODES:
        raise ValueError(
            f"{mode} is not a valid mode. Valid modes are 'cg_mg', 'cg', 'cg_j', 'bf', and None"
        )
    if is_dask(labels) or is_dask(data):
        from hdseg_gpu.compat.lazy import later

        return later(random_walker, data, labels, beta=beta, mode=mode, tol=tol, copy=copy,
                     return_full_prob=return_full_prob, spacing=spacing, prob_tol=prob_tol,
                     channel_axis=channel_axis)  # fmt: skip
    data, labels = require_array("data", data), require_array("labels", labels)
    image, steps = _checked(data, labels, spacing, channel_axis)
    home, place = home_of(data), home_of(labels)
    ops = backends.select("auto" if home.on_device else "cpu", home)
    with ops.here():
        marks = _native(ops, "labels", labels)
        numbered = _numbered(ops, marks)
        if numbered is None:
            _warn(
                "Random walker only segments unlabeled areas, where labels == 0. No zero valued "
                "areas in labels were found. Returning provided labels."
            )
            return _unsolved(ops, marks, place, labels, copy, return_full_prob)
        scales, pixels = _features(ops, image, beta, steps, channel_axis is not None)
        walk = Walk(
            ops, pixels, numbered.seeds, numbered.largest, scales,
            min(max(tol, _FINEST), _COARSEST), mode == "bf",
        )  # fmt: skip
        seeded = numbered.seeds != 0
        probabilities = _of_seeds(walk) if return_full_prob else None
        unlabelled = int(seeded.size - ops.xp.count_nonzero(seeded))
        notes = list(_of_mode(mode))
        if unlabelled <= FEW.get(mode or "cg_j", 0) and ops.xp is np:
            notes += warned_of(walk, mode or "cg_j", tol, prob_tol)
        label_all(walk, probabilities)
        lost = walk.seeds == 0  # no label reaches them
        missing = int(ops.xp.count_nonzero(lost))
        found = numbered.named(ops, marks) if probabilities is None else probabilities
        if missing and not copy:
            labels[given_back(ops, lost, place)] = -1
        if missing == unlabelled:
            _warn(
                "All unlabeled pixels are isolated, they could not be determined by the random "
                "walker algorithm."
            )
            marks = marks.copy()
            marks[lost] = -1
            return _unsolved(ops, marks, place, labels, copy, return_full_prob)
        for note in notes:
            _warn(note)
        return given_back(ops, found, place)


class _Numbered(NamedTuple):
    """Labels as numbers: 1..largest, 0 where unlabelled, the wall where negative."""

    seeds: NDArray[Any]
    largest: int
    values: NDArray[Any]  # all that occur, ascending, in host memory

    def named(self, ops: Ops, marks: NDArray[Any]) -> NDArray[Any]:
        """Return the seeds in the dtype of the labels; negative ones count down from -1."""
        found: NDArray[Any] = self.seeds.astype(marks.dtype)
        below = int(np.count_nonzero(self.values < 0))
        if below:
            excluded = marks < 0
            order = ops.xp.asarray(self.values[:below])
            found[excluded] = (ops.xp.searchsorted(order, marks[excluded]) - below).astype(
                marks.dtype
            )
        return found


def _checked(
    data: Any, labels: Any, spacing: Sequence[float] | None, channel_axis: int | None
) -> tuple[Any, tuple[float, ...]]:
    """Return the data with channels last, and the distance of neighbours along each axis."""
    dims = len(labels.shape)
    steps = (1.0,) * dims
    if spacing is not None:
        if len(spacing) != dims:
            raise ValueError(
                "Input argument `spacing` incorrect, should be an iterable with one number per "
                "spatial dimension."
            )
        steps = tuple(float(step) for step in spacing)
        if not all(step > 0 and isfinite(step) for step in steps):
            raise InvalidInput(f"spacing={spacing} has a step that is not above 0.")
    shape = tuple(data.shape)
    if channel_axis is None:
        if len(shape) not in _SPATIAL:
            raise ValueError("For non-multichannel input, data must be of dimension 2 or 3.")
    else:
        if len(shape) - 1 not in _SPATIAL:
            raise ValueError("For multichannel input, data must have 3 or 4 dimensions.")
        axis = axis_of("channel_axis", channel_axis, len(shape))
        data = data.permute(*_last(axis, len(shape))) if is_tensor(data) else data.transpose(
            *_last(axis, len(shape))
        )  # fmt: skip
        shape = tuple(data.shape)[:-1]
    if shape != tuple(labels.shape):
        raise ValueError("Incompatible data and labels shapes.")
    if 0 in shape:
        raise InvalidInput(f"labels are empty, shape {shape}; pass at least one pixel.")
    return data, steps


def _last(axis: int, ndim: int) -> list[int]:
    """Return the axes with one of them moved to the end."""
    return [i for i in range(ndim) if i != axis % ndim] + [axis % ndim]


def _native(ops: Ops, name: str, array: Any) -> Any:
    """Return an array of the backend, contiguous and in native byte order."""
    found = ops.xp.asarray(taken_in(ops, name, array))
    if found.dtype.byteorder not in "=|":
        found = found.astype(found.dtype.newbyteorder("="))
    return ops.xp.ascontiguousarray(found)


def _numbered(ops: Ops, marks: NDArray[Any]) -> _Numbered | None:
    """Return the labels as numbers, None if no pixel is unlabelled."""
    whole = marks
    if marks.dtype.kind == "f":
        if not bool(ops.xp.isfinite(marks).all()):
            raise InvalidInput("labels have NaN or infinity; label such pixels with 0 or -1.")
        whole = marks.astype(np.int64)
        if not bool((whole == marks).all()):
            raise InvalidInput("labels have values that are not whole; pass integers.")
    elif marks.dtype.kind not in "iub":
        raise InvalidInput(f"labels have the dtype {marks.dtype}; pass integers.")
    plane = whole.reshape(len(whole), -1)
    values = occurring("labels", [plane], ops)
    if not values[-1] > 0:
        raise ValueError(
            "No seeds provided in label image: please ensure it contains at least one positive "
            "value"
        )
    zero = np.flatnonzero(values == 0)
    if not len(zero):
        return None
    count = len(values) - 1 - int(zero[0])
    dtype = class_dtype(count)
    codes = np.maximum(np.arange(len(values)) - int(zero[0]), 0).astype(dtype)
    codes[values < 0] = wall_of(dtype)
    seeds = recoded(values, plane, codes, ops).reshape(marks.shape)
    return _Numbered(seeds, count, values)


def _features(
    ops: Ops, data: Any, beta: float, steps: tuple[float, ...], multichannel: bool
) -> tuple[tuple[float, ...], NDArray[Any]]:
    """Return s of each axis (see ``grid_graph``), and the image (..., C)."""
    image = _native(ops, "data", data)
    image = image if multichannel else image[..., np.newaxis]
    kind, size = image.dtype.kind, image.dtype.itemsize
    unit = 1.0  # converts to the values that scikit-image's img_as_float returns
    if kind in "iu":
        unit = 1.0 / float(np.iinfo(image.dtype).max)
    elif kind not in "fb":
        raise InvalidInput(f"data have the dtype {image.dtype}; pass integers or floats.")
    if image.dtype.name not in IMAGE_DTYPES:
        image = image.astype(np.float32 if size <= np.dtype(np.float16).itemsize else np.float64)
    if kind == "i":
        image = ops.xp.maximum(image, -1 / unit)  # -128 counts as -127
    if image.dtype.kind == "f":
        lowest, highest = ops.extremes(image)
        require_finite("data", image, lowest, highest)
    sigma = ops.standard_deviation(image.reshape(len(image), -1, image.shape[-1])) * unit
    if not (isfinite(beta) and beta >= 0):
        raise InvalidInput(f"beta={beta} is not valid; pass a number of at least 0.")
    channels = image.shape[-1] if multichannel else 1
    scale = 0.0 if sigma == 0 else beta / (10 * sigma * sqrt(channels)) * unit**2
    return tuple(scale / step**2 for step in steps), image


def _of_seeds(walk: Walk) -> NDArray[np.float64]:
    """Return probabilities (K, ...): 1 where a pixel has the label, else 0."""
    xp, flat = walk.ops.xp, walk.seeds.reshape(-1)
    found: NDArray[np.float64] = xp.zeros((walk.labels, *walk.seeds.shape))
    known = xp.flatnonzero((flat > 0) & (flat != wall_of(flat.dtype)))
    found.reshape(walk.labels, -1)[flat[known].astype(np.int64) - 1, known] = 1
    return found


def _unsolved(ops: Ops, marks: Any, place: Home, labels: Any, copy: bool, full: bool) -> Any:
    """Return the labels, or the masks of those above 0, along the last axis."""
    if not full:
        return given_back(ops, marks.copy(), place) if copy else labels
    shape = marks.shape if marks.ndim > _SPATIAL[0] else (*marks.shape, 1)
    values = ops.host(ops.xp.unique(marks))
    masks = [(marks == value).reshape(shape) for value in values[values > 0].tolist()]
    return given_back(ops, ops.xp.concatenate(masks, axis=-1), place)


def _of_mode(mode: str | None) -> tuple[str, ...]:
    """Return what scikit-image warns of in a mode, for lack of a library."""
    if mode == "cg_mg" and find_spec("pyamg") is None:
        return (
            '"cg_mg" not available, it requires pyamg to be installed. The "cg_j" mode will be '
            "used instead.",
        )
    if mode == "cg" and (find_spec("scikits") is None or find_spec("scikits.umfpack") is None):
        return (
            '"cg" mode may be slow because UMFPACK is not available. Consider building Scipy with '
            'UMFPACK or use a preconditioned version of CG ("cg_j" or "cg_mg" modes).',
        )
    return ()


def _warn(note: str) -> None:
    warnings.warn(note, UserWarning, stacklevel=3)
