"""``thin`` of scikit-image and ``binary_hit_or_miss`` of SciPy, on planes of bits."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from operator import index
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu import backends
from hdseg_gpu.backends.interop import Home, given_back, home_of, is_tensor, on_host, taken_in
from hdseg_gpu.compat.arrays import UnsafeForOriginal, require_array
from hdseg_gpu.compat.bitplanes import WORD, Plane, framed, shifted
from hdseg_gpu.ops import Ops

_PLANE = 2  # dimensions
_CROSS = [[0, 1, 0], [1, 1, 1], [0, 1, 0]]
_CHUNK = 1 << 15  # words computed together, so that they stay in the cache


def thin(image: Any, max_num_iter: int | None = None) -> Any:
    """Thin a mask to lines of one pixel, as ``skimage.morphology.thin`` does.

    Parameters
    ----------
    image : array, shape (M, N)
        The set: where it is not 0.
    max_num_iter : int, optional
        Iterations at most. Default, or 0: until nothing changes.

    Returns
    -------
    array of bool, shape (M, N)
        Of the array type of `image`, on its device.

    Raises
    ------
    ValueError
        `image` is empty, or does not have two dimensions.
    TypeError
        `image` is no array of NumPy, CuPy or torch, or is a masked array.

    Notes
    -----
    Pixels outside the image are 0. Source: Guo & Hall, Parallel thinning with two-subiteration
    algorithms, Comm. ACM 1989.

    Examples
    --------
    >>> import numpy as np
    >>> import hdseg_gpu
    >>> square = np.zeros((5, 7), bool)
    >>> square[1:4, 1:6] = True
    >>> hdseg_gpu.thin(square).astype(int)
    array([[0, 0, 0, 0, 0, 0, 0],
           [0, 0, 0, 0, 0, 0, 0],
           [0, 0, 1, 1, 1, 0, 0],
           [0, 0, 0, 0, 0, 0, 0],
           [0, 0, 0, 0, 0, 0, 0]])
    """
    image = require_array("image", image)
    if isinstance(image, np.ma.MaskedArray):
        raise TypeError("image is a masked array; pass image.filled(0), or image.data.")
    if 0 in image.shape:
        raise ValueError("The parameter `image` cannot be an empty array")
    if image.ndim != _PLANE:
        raise ValueError("The parameter `image` must be a 2-dimensional array")
    home = home_of(image)
    ops = backends.select("auto" if home.on_device else "cpu", home)
    with ops.here():
        mask = _mask(ops, "image", image)
        plane = ops.pack(mask)
        rounds = 0
        while not max_num_iter or rounds < max_num_iter:
            before = plane
            for opposite in (False, True):
                plane = _without_borders(ops.xp, plane, opposite)
            if not bool((plane != before).any()):
                break
            rounds += 1
        return given_back(ops, ops.unpack(plane, mask.shape[1]), home)


def hit_or_miss(
    input: Any,
    structure1: Any = None,
    structure2: Any = None,
    output: Any = None,
    origin1: int | Sequence[int] = 0,
    origin2: int | Sequence[int] | None = None,
    *,
    axes: int | Sequence[int] | None = None,
) -> Any:
    """Find a pattern in a mask, as ``scipy.ndimage.binary_hit_or_miss`` does.

    Parameters
    ----------
    input : array, shape (M, N)
        The set: where it is not 0. Arrays of other dimensions are passed on to SciPy, or to
        cupyx.scipy if they are CuPy's.
    structure1 : array, optional
        Pixels that have to be in the set. Default: a cross of 3 x 3.
    structure2 : array, optional
        Pixels that have to be outside of it. Default: those not in `structure1`.
    output : array, optional
        Array for the result, of the shape of `input`, of NumPy, CuPy or torch.
    origin1, origin2 : int or two ints
        Offsets of the centres of the structures; `origin2` is `origin1` by default.
    axes : int or ints, optional
        Axes of the structures. Default: all. Others than all are passed on.

    Returns
    -------
    array of bool, shape (M, N), or None
        Of the array type of `input`, on its device; None if there is an output array.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As by SciPy; ValueError also if an origin is outside of its structure.

    Notes
    -----
    (X eroded by B1) and (complement of X eroded by B2). Pixels outside the image are not in the
    set. Source: Gonzalez & Woods, Digital Image Processing.

    Examples
    --------
    >>> import numpy as np
    >>> import hdseg_gpu
    >>> mask = np.zeros((3, 6), int)
    >>> mask[:, 2] = 1
    >>> hdseg_gpu.hit_or_miss(mask, [[0, 1, 0]], [[1, 0, 1]]).astype(int)
    array([[0, 0, 1, 0, 0, 0],
           [0, 0, 1, 0, 0, 0],
           [0, 0, 1, 0, 0, 0]])
    """
    array = require_array("input", input, also=(list, tuple))
    hit, miss = _structures(array, structure1, structure2, axes)
    origin1 = _listed(origin1)
    origin2 = origin1 if origin2 is None else _listed(origin2)
    _require_inside("origin1", origin1, hit)
    _require_inside("origin2", origin2, miss)
    home, place = home_of(array), _place(output)
    options = {} if axes is None else {"axes": axes}
    pattern = _pattern(array, hit, miss, origin1, origin2, axes)
    if home.kind == "host" and (place is None or place.kind == "host"):
        if pattern is None or not _is_taken(array) or not _fits(output, array):
            return passed_on(on_device=False)(array, hit, miss, output, origin1, origin2, **options)
    elif "complex" in str(array.dtype):
        raise TypeError("Complex type not supported")
    elif place is not None and tuple(output.shape) != tuple(array.shape):
        raise RuntimeError("output shape not correct")
    ops = backends.select("auto" if home.on_device else "cpu", home)
    with ops.here():
        mask = _mask(ops, "input", array)
        if pattern is None:
            original = passed_on(on_device=home.on_device)
            structures = (ops.xp.asarray(structure) for structure in (hit, miss))
            found = original(mask, *structures, None, origin1, origin2, **options)
            found = ops.xp.asarray(found)
        else:
            plane = _matched(ops.xp, ops.pack(mask), pattern)
            found = ops.unpack(plane, mask.shape[1])
        result: Any = given_back(ops, found, place or home)
    if place is None:
        return result
    output[...] = result
    return None


class _Pattern(NamedTuple):
    """Offsets, rows and columns, of the pixels that are in the set, and outside of it."""

    inside: list[tuple[int, int]]
    outside: list[tuple[int, int]]


def _mask(ops: Ops, name: str, array: Any) -> Any:
    """Return where an array is not 0, contiguous on the backend."""
    found = ops.xp.asarray(taken_in(ops, name, array))
    if found.dtype.kind in "iufc":
        found = found != 0
    elif found.dtype != np.bool_:  # dates and texts do not compare with 0
        found = found.astype(np.bool_)
    return ops.xp.ascontiguousarray(found)


def _without_borders(xp: Any, plane: Plane, opposite: bool) -> Plane:
    """Return the set after one sub-iteration: of the south-east borders, or of the opposite."""
    height, words = plane.shape
    frame = framed(xp, plane, 1, 1, 1, 1)
    found: Plane = xp.empty_like(plane)
    rows = max(1, _CHUNK // words)
    for top in range(0, height, rows):
        part = frame[top : min(top + rows, height) + 2]
        found[top : top + rows] = part[1:-1, 1:-1] & ~_removed(part, words, opposite)
    return found


def _removed(frame: Plane, words: int, opposite: bool) -> Plane:
    """Return which pixels the conditions G1 to G3 of Guo and Hall remove."""
    west, middle, east = (shifted(frame, 1, words, columns) for columns in (-1, 0, 1))
    x = [
        east[1:-1], east[:-2], middle[:-2], west[:-2], west[1:-1], west[2:], middle[2:], east[2:],
    ]  # fmt: skip
    if opposite:
        x = x[4:] + x[:4]
    # G1: one connected piece of the set around the pixel.
    b = [~x[i] & (x[i + 1] | x[(i + 2) % 8]) for i in range(0, 8, 2)]
    one = ((b[0] ^ b[1]) & ~(b[2] | b[3])) | ((b[2] ^ b[3]) & ~(b[0] | b[1]))
    # G2: two or three pairs of neighbours have a member, by the pairing with fewer of them.
    first = [x[i] | x[i + 1] for i in range(0, 8, 2)]
    second = [x[i + 1] | x[(i + 2) % 8] for i in range(0, 8, 2)]
    some = _two(first) & _two(second) & ~(_all(first) & _all(second))
    # G3: on the border of this sub-iteration.
    removed: Plane = one & some & ~((x[1] | x[2] | ~x[7]) & x[0])
    return removed


def _two(a: Sequence[Any]) -> Plane:
    """Return where at least two of four are set."""
    found: Plane = (a[0] & a[1]) | (a[2] & a[3]) | ((a[0] | a[1]) & (a[2] | a[3]))
    return found


def _all(a: Sequence[Any]) -> Plane:
    found: Plane = a[0] & a[1] & a[2] & a[3]
    return found


def _structures(
    array: Any, structure1: Any, structure2: Any, axes: Any
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return both structures in host memory, those that are not given as by SciPy."""
    if structure1 is None:
        sides = (3,) * (array.ndim if axes is None else np.size(axes))
        hit = np.abs(np.indices(sides) - 1).sum(axis=0) <= 1
    else:
        hit = np.asarray(on_host("structure1", structure1))
    if structure2 is None:
        return hit, np.logical_not(hit)
    return hit, np.asarray(on_host("structure2", structure2))


def _listed(origin: Any) -> Any:
    return list(origin) if np.iterable(origin) and not isinstance(origin, str) else origin


def _require_inside(name: str, origin: Any, structure: NDArray[Any]) -> None:
    """Refuse an origin outside of its structure: SciPy would read other memory, and crash."""
    values = _integers(origin, structure.ndim)
    if values is None or structure.size == 0:
        return  # SciPy raises the error
    sizes = structure.shape
    if not all(0 <= n // 2 + v < n for n, v in zip(sizes, values, strict=True)):
        raise UnsafeForOriginal(
            f"{name} {origin} is outside of a structure of shape {sizes}; for a side of n pixels, "
            "pass one from -(n // 2) to (n - 1) // 2."
        )


def _integers(origin: Any, count: int) -> list[int] | None:
    """Return the origin along each axis, None if it is not made of as many integers."""
    values = origin if isinstance(origin, list) else [origin] * count
    if len(values) != count or any(isinstance(v, bool) for v in values):
        return None
    try:
        return [index(v) for v in values]
    except TypeError:
        return None


def _pattern(
    array: Any, hit: NDArray[Any], miss: NDArray[Any], origin1: Any, origin2: Any, axes: Any
) -> _Pattern | None:
    """Return the pattern, None if the call is for SciPy: other dimensions, or an error."""
    if array.ndim != _PLANE or 0 in array.shape or not _is_both(axes):
        return None
    if any(s.ndim != _PLANE or s.size == 0 or s.dtype.kind not in "biuf" for s in (hit, miss)):
        return None
    first, second = _integers(origin1, _PLANE), _integers(origin2, _PLANE)
    if first is None or second is None:
        return None
    return _Pattern(_offsets(hit, first), _offsets(miss, second))


def _is_both(axes: Any) -> bool:
    if axes is None:
        return True
    plain = isinstance(axes, tuple | list) and all(isinstance(axis, int) for axis in axes)
    return plain and list(axes) == [0, 1]


def _offsets(structure: NDArray[Any], origin: Sequence[int]) -> list[tuple[int, int]]:
    """Return the pixels of a structure, relative to the one that is put on each pixel."""
    centre = [size // 2 + value for size, value in zip(structure.shape, origin, strict=True)]
    found = np.argwhere(structure.astype(np.bool_)) - centre
    return [(int(y), int(x)) for y, x in found]


def _matched(xp: Any, plane: Plane, pattern: _Pattern) -> Plane:
    """Return where the pattern is found."""
    height, words = plane.shape
    every = [*pattern.inside, *pattern.outside]
    above, below = (max([0, *(sign * y for y, _ in every)]) for sign in (-1, 1))
    reach = max([0, *(abs(x) for _, x in every)])
    side = -(-reach // WORD) + 1
    frame = framed(xp, plane, above, below, side, side)
    found: Plane = xp.empty_like(plane)
    rows = max(1, _CHUNK // words)
    for top in range(0, height, rows):
        count = min(rows, height - top)
        part = frame[top : top + above + count + below]
        found[top : top + count] = _in_rows(xp, part, words, side, above, count, pattern)
    return found


def _in_rows(
    xp: Any, part: Plane, words: int, side: int, above: int, count: int, pattern: _Pattern
) -> Plane:
    found: Plane = xp.full((count, words), ~np.uint64(0), np.uint64)
    for column in sorted({x for _, x in (*pattern.inside, *pattern.outside)}):
        moved = shifted(part, side, words, column)
        for y in _rows_of(pattern.inside, column):
            found &= moved[above + y : above + y + count]
        for y in _rows_of(pattern.outside, column):
            found &= ~moved[above + y : above + y + count]
    return found


def _rows_of(offsets: list[tuple[int, int]], column: int) -> Iterator[int]:
    return (y for y, x in offsets if x == column)


def _place(output: Any) -> Home | None:
    """Return where an output array lives; None if it is no array: SciPy ignores it."""
    on_device = hasattr(output, "__cuda_array_interface__")
    is_array = isinstance(output, np.ndarray) or is_tensor(output) or on_device
    return home_of(output) if is_array else None


def _is_taken(array: Any) -> bool:
    """Return whether SciPy takes the dtype of an array of NumPy."""
    return array.dtype.kind in "biu" or array.dtype.char in "fd"


def _fits(output: Any, array: Any) -> bool:
    """Return whether SciPy takes an output: any that it ignores, or an array of NumPy."""
    if not isinstance(output, np.ndarray):
        return True
    return output.shape == array.shape and _is_taken(output) and bool(output.flags.writeable)


@cache
def passed_on(*, on_device: bool) -> Callable[..., Any]:
    """Return the function of CuPy or SciPy: the one that was there when it was first asked for.

    It may be replaced by ``hit_or_miss`` later.
    """
    if on_device:
        from cupyx.scipy.ndimage import binary_hit_or_miss
    else:
        from scipy.ndimage import binary_hit_or_miss
    found: Callable[..., Any] = binary_hit_or_miss
    return found


passed_on(on_device=False)
