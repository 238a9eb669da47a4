"""Random arguments for calls: arrays and options, most of them valid."""

import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np

_NASTY: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 3, 255, 256, 65535, 1 << 31, 1 << 63, 1 << 70, -(1 << 63),
    10**400, 0.0, -0.0, 0.5, 1e-320, 5e-324, 1e-12, 1e12, 1e308, math.nan, math.inf, -math.inf, "",
    "x", "9x9", "auto", "nearest", "\n", "é\ud800", b"", b"x", (), [], {}, [[1, 2], [3]], [0],
    [None], 1j, Decimal("1.5"), Decimal("NaN"), Fraction(1, 3), slice(None), Ellipsis, object, int,
    len,
    np.int8(-1), np.int64(3), np.uint64(1 << 63), np.float16(2), np.float32("nan"), np.bool_(True),
    np.str_("cpu"), np.datetime64("2020-01-01"), np.array(3), np.array([]), np.array([1, 2]),
    np.zeros((0, 3)), np.array("x"), np.array([None, 1], object), np.ma.masked, np.nan, np.newaxis,
)  # fmt: skip
OPTIONS: dict[str, tuple[Any, ...]] = {
    "method": ("evidence", "published"),
    "scale": (1, 1.0, 1.5, 2, 4, 8.0, 64, np.float32(3), np.int64(4)),
    "passes": (0, 1, 2, 5, 16, np.int64(3), np.uint8(4)),
    "elements": ("9x9", "3x3"),
    "unsure": (0, 0.0, 0.03, 0.5, 0.99),
    "prune": (True, False),
    "beta": (0, 0.0, 1e-9, 1.0, 130, 1000.0, 1e12),
    "gamma": (0, 0.0, 1e-30, 1e-6, 0.1, 1, 1e12),
    "interpolation": ("nearest", "linear", "cubic"),
    "majority": (1, 3, 7, 15),
    "ignore_index": (False, -1, 0, 1, 255, np.int64(1)),
    "alpha": (True, False),
    "backend": ("cpu", "cpu", "auto", "reference"),
    "solver": ("auto", "multigrid", "cg", "amg", "direct"),
    "tol": (1e-6, 1e-4, 0.1, 0.5),
    "class_axis": (0, 0, -3, 2, -1),
    "channel_axis": (-1, -1, 2, 0),
    "max_device_memory": (1 << 20, 1e9),
    "return_probabilities": (True, False),
    "return_report": (True, False),
    "max_memory": (1 << 30, 2e9),
    "workers": (1, 2, np.int64(1)),
    "tile": (2048, 4096, np.int64(2048)),
    "sigma": (0, 0.0, 1e-320, 1e-3, 0.2, 1),
    "on_error": ("fail", "skip"),
    "level": (0, np.int64(0)),
    "label": (0, 1, 7, -1, np.int64(1), np.uint8(1)),
    "ignore": (0, 1, 255, np.int64(1)),
    "packed_width": (1, 7, 8, 40),
}


def nasty(rng: Random) -> Any:
    """Return a value that hardly any argument accepts."""
    return rng.choice(_NASTY)


def options(rng: Random, names: tuple[str, ...], most: int = 4) -> dict[str, Any]:
    """Return up to `most` options, one in eight with an invalid value."""
    chosen = rng.sample(names, min(len(names), rng.randint(0, most)))
    return {
        name: nasty(rng) if rng.random() < 0.125 else rng.choice(OPTIONS[name]) for name in chosen
    }


def shape(rng: Random) -> tuple[int, int]:
    """Return the shape of an image, small, with mostly odd sides."""
    sides = (1, 2, 3, 5, 8, 13, 17, 24, 31, 40, 64)
    return rng.choice(sides), rng.choice(sides)


def image(rng: Random, size: tuple[int, int]) -> Any:
    """Return an image (H, W) or (H, W, C)."""
    random = _random(rng)
    channels = rng.choice(((), (), (1,), (2,), (3,), (3,), (4,), (5,), (16,)))
    if rng.random() < 0.03:
        channels = rng.choice(((17,), (0,), (3, 1)))
    full = (*size, *channels)
    dtype = rng.choice(("u1", "u1", "u1", "u2", ">u2", "f4", "f8", ">f4"))
    if rng.random() < 0.04:
        dtype = rng.choice(("f2", "i4", "?", "c8", "U3", "M8[s]", "O", "i1", "u8", "f16"))
    kind = rng.randrange(6)
    if kind == 0:
        values = np.full(full, rng.choice((0, 1, 200)), float)
    elif kind <= 2:
        y, x = np.mgrid[: size[0], : size[1]]
        flat = ((y + x) // max(1, sum(size) // 6) * 60 % 256).astype(float)
        values = np.broadcast_to(flat[(...,) + (None,) * len(channels)], full)
    else:
        values = random.integers(0, 256, full).astype(float)
    if np.dtype(dtype).kind == "f":
        values = values / 255
        if rng.random() < 0.1 and values.size:
            values = values.copy()
            values.flat[rng.randrange(values.size)] = rng.choice((math.nan, math.inf, 1e139, 1e300))
        if rng.random() < 0.05:
            values = values * rng.choice((1e-30, 1e-160, 1e100, -1.0))
    with np.errstate(all="ignore"):
        return laid_out(rng, values.astype(dtype))


def coarse(rng: Random, size: tuple[int, int]) -> Any:
    """Return labels (h, w) or probabilities (K, h, w) for an image of a size."""
    random = _random(rng)
    factor = rng.choice((1, 1, 2, 3, 4, 8))
    grid = tuple(max(1, -(-side // factor)) for side in size)
    if rng.random() < 0.05:
        grid = rng.choice(((0, 3), (3, 0), (size[0] + 1, size[1]), (7, 1), (1, 9)))
    if rng.random() < 0.6:
        return labels(rng, grid)
    count = rng.choice((1, 2, 2, 3, 5, 21))
    planes = random.random((count, *grid))
    kind = rng.randrange(5)
    if kind <= 1:
        planes = planes / planes.sum(axis=0) if planes.size else planes
    elif kind == 2:
        planes = planes * 20 - 10
    elif kind == 3:
        planes = np.round(planes * 255)
    else:
        planes = np.round(planes)
    if rng.random() < 0.05 and planes.size:
        planes.flat[rng.randrange(planes.size)] = rng.choice((math.nan, math.inf, 1e39, 1e300))
    dtype = rng.choice(("f4", "f4", "f8", "f2", ">f4")) if kind != 3 else rng.choice(("u1", "i8"))
    with np.errstate(all="ignore"):
        return laid_out(rng, planes.astype(dtype))


def labels(rng: Random, size: tuple[int, ...]) -> Any:
    """Return a label map, in patches or per pixel."""
    random = _random(rng)
    count = rng.choice((1, 2, 2, 3, 6, 40))
    values = random.choice(np.array([0, 1, 2, 3, 5, 7, 200, 254, 255]), count)
    if rng.random() < 0.5:
        rows, columns = (max(1, side // rng.choice((2, 3, 5))) for side in size)
        patches = random.integers(0, count, (rows + 5, columns + 5))
        found = patches.repeat(5, axis=0).repeat(5, axis=1)[: size[0], : size[1]]
        found = np.resize(found, size)
    else:
        found = random.integers(0, count, size)
    dtype = rng.choice(("u1", "u1", "u1", "?", "i4", "i8", "u2", ">i4", "i1"))
    if rng.random() < 0.06:
        dtype = rng.choice(("u8", "f4", "O", "U2", "c8", "m8"))
    with np.errstate(all="ignore"):
        named = values[found] if found.size else found
        if np.dtype(dtype).kind == "i" and rng.random() < 0.3:
            named = named.astype("i8") - rng.choice((1, 100, 1 << 31, 1 << 62))
        return laid_out(rng, named.astype(dtype))


def mask(rng: Random, size: tuple[int, int]) -> Any:
    """Return a mask of bools or uint8."""
    random = _random(rng)
    values = random.random(size) < rng.choice((0, 0.1, 0.5, 0.9, 1))
    if rng.random() < 0.5:
        values = values.repeat(3, axis=0).repeat(3, axis=1)[: size[0], : size[1]]
    if rng.random() < 0.05:
        return laid_out(rng, values.astype(rng.choice(("i4", "f4", "O"))))
    return laid_out(rng, values.astype(rng.choice(("?", "u1"))) * np.uint8(1))


def laid_out(rng: Random, array: Any) -> Any:
    """Return equal values, sometimes in another layout: strides, alignment, wrappers."""
    if rng.random() < 0.7:
        return array
    return rng.choice(_LAYOUTS)(rng, array)


def _misaligned(rng: Random, array: Any) -> Any:
    if array.dtype.kind == "O" or not array.nbytes:
        return array
    found = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    found[...] = array
    return found


def _read_only(rng: Random, array: Any) -> Any:
    found = array.copy()
    found.flags.writeable = False
    return found


_LAYOUTS: tuple[Callable[[Random, Any], Any], ...] = (
    _misaligned,
    _read_only,
    lambda rng, array: np.asfortranarray(array),
    lambda rng, array: array[::-1].copy()[::-1],
    lambda rng, array: np.repeat(array, 2, axis=0)[::2],
    lambda rng, array: array.tolist() if array.size < 500 else array,
    lambda rng, array: np.ma.masked_array(array, mask=rng.random() < 0.3),
    lambda rng, array: np.broadcast_to(array[:1], array.shape) if array.size else array,
)


def _random(rng: Random) -> np.random.Generator:
    return np.random.default_rng(rng.getrandbits(64))
