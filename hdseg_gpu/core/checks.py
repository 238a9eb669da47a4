"""Checks of plain values: each returns the value if it is valid, or raises InvalidInput."""

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
    return str(value)  # a plain str, not NumPy's


def switch(name: str, value: bool) -> bool:
    """Return whether something is on."""
    if not isinstance(value, bool | np.bool_):
        raise InvalidInput(f"{name}={shown(value)} must be True or False.")
    return bool(value)


def integer(name: str, value: int, minimum: int | None = None) -> int:
    """Return an integer that is no bool; with a minimum, it must also fit into 64 bits."""
    limits = "" if minimum is None else f" from {minimum} to {MAX_INTEGER}"
    if (
        isinstance(value, bool | np.bool_)
        or not isinstance(value, Integral)
        or (minimum is not None and not minimum <= int(value) <= MAX_INTEGER)
    ):
        raise InvalidInput(f"{name}={shown(value)} must be an integer{limits}.")
    return int(value)


def count(name: str, value: int | None) -> int | None:
    """Return an integer of at least 1, or None."""
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
        raise InvalidInput(f"{name}={shown(value)} must be a finite number of {limit}.")
    return number


def zero_or_at_least(name: str, value: float, minimum: float, maximum: float = inf) -> float:
    """Return 0, or a finite number from `minimum` to `maximum`."""
    number = at_least(name, value, 0.0, maximum)
    if 0.0 < number < minimum:
        raise InvalidInput(
            f"{name}={shown(value)} is too small for the arithmetic; pass 0 or a number of at "
            f"least {minimum:g}."
        )
    return number


def memory(name: str, value: float | None) -> int | None:
    """Return a number of bytes, or None."""
    return None if value is None else int(at_least(name, value, 1.0))


def text(name: str, value: str | None) -> str | None:
    """Return a string, or None."""
    if value is not None and not isinstance(value, str):
        raise InvalidInput(f"{name}={shown(value)} must be a str or None.")
    return value


def path(name: str, value: str | os.PathLike[str]) -> Path:
    """Return the path of an existing or future file."""
    try:
        found = os.fspath(value)
        possible = isinstance(found, str) and found != "" and b"\0" not in os.fsencode(found)
    except Exception:  # no path, characters no name can have, or whatever a foreign class raises
        possible = False
    if not possible:
        raise InvalidInput(
            f"{name}={shown(value)} cannot be the path of a file; pass a str or a pathlib.Path."
        )
    return Path(found)


def callback(name: str, value: Callable[..., None] | None) -> Callable[..., None] | None:
    """Return a callable, or None."""
    if value is not None and not callable(value):
        raise InvalidInput(f"{name}={shown(value)} cannot be called; pass a function or None.")
    return value
