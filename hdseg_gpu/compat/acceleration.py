"""Replacing functions of scikit-image, SciPy, cuCIM and CuPy by ours, and restoring them."""

import inspect
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from importlib import import_module
from importlib.util import find_spec
from threading import RLock
from time import perf_counter
from typing import Any, Self

import numpy as np

from hdseg_gpu.core.errors import HdsegError

_LOCK = RLock()
_ACTIVE: list["Acceleration"] = []
_CLASS = 4  # sizes are compared once for each power of this


@dataclass(frozen=True)
class Target:
    """A function that is replaced."""

    home: str  # the module that users import it from
    name: str
    ours: str  # its name in hdseg_gpu
    first: str  # the parameter whose size decides
    least: int  # elements from which ours is faster (docs/decisions/0015-drop-in.md)
    dims: tuple[int, ...]

    @property
    def label(self) -> str:
        """Return its full name."""
        return f"{self.home}.{self.name}"


def _targets(*homes: str, name: str, **more: Any) -> tuple[Target, ...]:
    return tuple(Target(home, name, **more) for home in homes)


TARGETS = (
    *_targets(
        "skimage.segmentation", "cucim.skimage.segmentation",
        name="random_walker", ours="random_walker", first="labels", least=1 << 10, dims=(2, 3),
    ),
    *_targets(
        "skimage.morphology", "cucim.skimage.morphology",
        name="thin", ours="thin", first="image", least=1 << 12, dims=(2,),
    ),
    *_targets(
        "scipy.ndimage", "cupyx.scipy.ndimage",
        name="binary_hit_or_miss", ours="hit_or_miss", first="input", least=1 << 14, dims=(2,),
    ),
)  # fmt: skip


@dataclass
class Calls:
    """What became of the calls of one function."""

    taken: int = 0
    seconds: float = 0.0  # that ours took
    passed_on: Counter[str] = field(default_factory=Counter)  # by reason
    ratios: dict[int, float] = field(default_factory=dict)  # by class of size, where compared
    saved: float = 0.0  # seconds, of calls whose class was compared


class Acceleration:
    """Ours instead of theirs, from now until ``restore``; the object is also the report.

    Use it in a ``with`` block, as a decorator (then only while the function runs), or call
    ``restore``. It may be nested and used by several threads, which all get our functions.
    """

    def __init__(self, *, compare: bool = False) -> None:
        self.compare = compare
        self.calls: dict[str, Calls] = {}
        self._begin()

    def restore(self) -> None:
        """Put the original functions back, unless another acceleration is active; idempotent."""
        with _LOCK:
            if self in _ACTIVE:
                _ACTIVE.remove(self)
                if not _ACTIVE:
                    _exchange({id(w): w.__wrapped__ for w in _WRAPPERS.values()})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.restore()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with ours in use while it runs."""
        self.restore()
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"{function.__qualname__} is a generator, which runs after it is called; use "
                "accelerate() in a with block inside of it."
            )
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def awaiting(*args: Any, **options: Any) -> Any:
                with self._again():
                    return await function(*args, **options)

            return awaiting

        @wraps(function)
        def calling(*args: Any, **options: Any) -> Any:
            with self._again():
                return function(*args, **options)

        return calling

    def __str__(self) -> str:
        lines = []
        for name, calls in sorted(self.calls.items()):
            line = f"{name}: {calls.taken} taken, {calls.seconds:.3g} s"
            if calls.ratios:
                line += f", {calls.saved:.3g} s saved"
            if calls.passed_on:
                reasons = ", ".join(f"{n} x {why}" for why, n in sorted(calls.passed_on.items()))
                line += f"; passed on: {reasons}"
            lines.append(line)
        return "\n".join(lines) or "no call of a function that is accelerated"

    def _again(self) -> "_Use":
        return _Use(self)

    def _begin(self) -> None:
        with _LOCK:
            _ACTIVE.append(self)
            _exchange({id(w.__wrapped__): w for w in _wrappers()})


class _Use:
    """One call of a decorated function; several may run at once."""

    def __init__(self, acceleration: Acceleration) -> None:
        self._acceleration = acceleration

    def __enter__(self) -> None:
        self._acceleration._begin()

    def __exit__(self, *_: object) -> None:
        self._acceleration.restore()


_WRAPPERS: dict[Target, Any] = {}


def _wrappers() -> list[Any]:
    """Return the replacements of all functions that are installed here."""
    for target in TARGETS:
        if target not in _WRAPPERS and _is_installed(target.home):
            original = getattr(import_module(target.home), target.name)
            _WRAPPERS[target] = _replacement(target, original)
    return list(_WRAPPERS.values())


def _is_installed(home: str) -> bool:
    """Return whether a module can be imported; those for devices only where CuPy is in use."""
    root = home.partition(".")[0]
    if root in ("cucim", "cupyx") and "cupy" not in sys.modules:
        return False
    return root in sys.modules or find_spec(root) is not None


def _exchange(replaced: dict[int, Any]) -> None:
    """Replace functions, by identity, in all modules that hold them."""
    for module in list(sys.modules.values()):
        names = getattr(module, "__dict__", None)
        if not isinstance(names, dict) or (getattr(module, "__name__", "") or "").startswith(
            "hdseg_gpu"
        ):
            continue
        for name, value in list(names.items()):
            if callable(value) and id(value) in replaced:
                names[name] = replaced[id(value)]


def _replacement(target: Target, original: Callable[..., Any]) -> Callable[..., Any]:
    ours = getattr(import_module("hdseg_gpu"), target.ours)
    signature = inspect.signature(original)

    @wraps(original)
    def replacement(*args: Any, **options: Any) -> Any:
        active = list(_ACTIVE)
        if not active:
            return original(*args, **options)
        reason, size = _reason_against(target, signature, args, options)
        if reason is None:
            start = perf_counter()
            try:
                result = ours(*args, **options)
            except HdsegError as error:
                reason = f"{type(error).__name__}"
            else:
                seconds = perf_counter() - start
                _count(active, target, size, seconds, lambda: original(*args, **options))
                return result
        for each in active:
            with _LOCK:
                each.calls.setdefault(target.label, Calls()).passed_on[reason] += 1
        return original(*args, **options)

    return replacement


def _reason_against(
    target: Target, signature: inspect.Signature, args: tuple[Any, ...], options: dict[str, Any]
) -> tuple[str | None, int]:
    """Return why a call is for the original, or None, and how many elements it has."""
    try:
        given = signature.bind(*args, **options).arguments
    except TypeError:
        return "arguments that it does not have", 0
    arrays = [given[name] for name in ("data", "labels", "image", "input") if name in given]
    on_device = target.home.partition(".")[0] in ("cucim", "cupyx")
    for array in arrays:
        plain = type(array) is np.ndarray
        if not (hasattr(array, "__cuda_array_interface__") if on_device else plain):
            return f"{type(array).__name__} instead of an array", 0
    first = given.get(target.first)
    if first is None or first.ndim not in target.dims:
        return "dimensions", 0
    if first.size < target.least:
        return "small", first.size
    return None, first.size


def _count(
    active: list[Acceleration], target: Target, size: int, seconds: float, theirs: Any
) -> None:
    """Count a call that was taken; compare it with the original, if that is asked for."""
    kind = int(np.log(size) / np.log(_CLASS))
    known = [each.calls.setdefault(target.label, Calls()) for each in active]
    ratio = None
    wanting = any(
        each.compare and kind not in calls.ratios for each, calls in zip(active, known, strict=True)
    )
    if wanting:
        start = perf_counter()
        theirs()
        ratio = (perf_counter() - start) / seconds
    with _LOCK:
        for each, calls in zip(active, known, strict=True):
            calls.taken += 1
            calls.seconds += seconds
            if each.compare and ratio is not None:
                calls.ratios.setdefault(kind, ratio)
            if kind in calls.ratios:
                calls.saved += seconds * (calls.ratios[kind] - 1)
