"""Checks of plain values: each returns the value if it can be used, and names it if it cannot."""

import os
from collections.abc import Callable, Sequence
from math import inf, isfinite, nan
from numbers import Integral, Real
from pathlib import Path

import numpy as np

from hdseg_gpu.core.errors import InvalidInput, shown

MAX_INTEGER = int(np.iinfo(np.int64).max)


def choice(name: str, value: str, valid: Sequence[str]) -> str:
    """Return the value if it is one of the valid names."""
    if not isinstance(value, str) or value not in valid:
        raise InvalidInput(f"{name}={shown(value)} is unknown; choose one of {tuple(valid)}.")
    return str(value)  # without what NumPy's may add


def switch(name: str, value: bool) -> bool:
    """Return whether something is on."""
    if not isinstance(value, bool | np.bool_):
        raise InvalidInput(f"{name}={shown(value)} is not possible; pass True or False.")
    return bool(value)


def integer(name: str, value: int, minimum: int | None = None) -> int:
    """Return an integer that is no bool; with a minimum, also one that has 64 bits."""
    limits = "" if minimum is None else f" from {minimum} to {MAX_INTEGER}"
    if (
        isinstance(value, bool | np.bool_)
        or not isinstance(value, Integral)
        or (minimum is not None and not minimum <= int(value) <= MAX_INTEGER)
    ):
        raise InvalidInput(f"{name}={shown(value)} is not possible; pass an integer{limits}.")
    return int(value)


def count(name: str, value: int | None) -> int | None:
    """Return a number of things that there may be, at least one; None is for somebody else."""
    return None if value is None else integer(name, value, 1)


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


def zero_or_at_least(name: str, value: float, minimum: float, maximum: float = inf) -> float:
    """Return 0, or a finite number from `minimum` to `maximum`."""
    number = at_least(name, value, 0.0, maximum)
    if 0.0 < number < minimum:
        raise InvalidInput(
            f"{name}={shown(value)} is too small to be computed with; pass 0 or a number of at "
            f"least {minimum:g}."
        )
    return number


def memory(name: str, value: float | None) -> int | None:
    """Return a number of bytes, if there is one."""
    return None if value is None else int(at_least(name, value, 1.0))


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


def callback(name: str, value: Callable[..., None] | None) -> Callable[..., None] | None:
    """Return what can be called; None is for nobody."""
    if value is not None and not callable(value):
        raise InvalidInput(f"{name}={shown(value)} cannot be called; pass a function, or None.")
    return value
