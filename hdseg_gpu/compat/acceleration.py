"""Replacing functions of scikit-image, SciPy, cuCIM and CuPy by ours, and restoring them."""

import inspect
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from time import perf_counter
from typing import Any, Self

from hdseg_gpu.compat.arrays import UnsafeForOriginal
from hdseg_gpu.compat.late_imports import Watch
from hdseg_gpu.compat.targets import TARGETS, Target, reason_against
from hdseg_gpu.core.errors import InvalidInput, shown
from hdseg_gpu.core.locks import RLock

_LOCK = RLock()  # nothing is imported under it: an import may wait for it
_ACTIVE: list["Acceleration"] = []  # as often as each is in use
_REPLACEMENTS: dict[Target, Any] = {}
_INSIDE = ContextVar("inside", default=False)  # of a call that was taken or passed on


@dataclass
class Calls:
    """What became of the calls of one function."""

    taken: int = 0
    seconds: float = 0.0  # that ours took
    passed_on: Counter[str] = field(default_factory=Counter)  # by reason
    # By class of size, where compared: their time over ours; None if theirs failed.
    ratios: dict[int, float | None] = field(default_factory=dict)
    saved: float = 0.0  # seconds, of calls whose class was compared


class Acceleration:
    """Ours instead of theirs, from now until ``restore``; the object is also the report.

    Use it in ``with`` blocks, as a decorator (then only while the function runs), or call
    ``restore``. It may be nested and used by several threads, which all get our functions.
    """

    def __init__(self, *, compare: bool = False) -> None:
        self.compare = compare
        self.calls: dict[str, Calls] = {}
        self._unclaimed = True  # in use since it was made, by no block as yet
        self._begin()

    def restore(self) -> None:
        """Put the original functions back, unless another acceleration is active; idempotent."""
        with _LOCK:
            self._unclaimed = False
            while self in _ACTIVE:
                _ACTIVE.remove(self)
            _restore_if_unused()

    def __enter__(self) -> Self:
        if not self._claim():
            self._begin()
        return self

    def __exit__(self, *_: object) -> None:
        with _LOCK:
            if self in _ACTIVE:
                _ACTIVE.remove(self)
            _restore_if_unused()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with ours in use while it runs."""
        if self._claim():
            self.__exit__()
        _require_function(function)
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def awaiting(*args: Any, **options: Any) -> Any:
                with self:
                    return await function(*args, **options)

            return awaiting

        @wraps(function)
        def calling(*args: Any, **options: Any) -> Any:
            with self:
                return function(*args, **options)

        return calling

    def __str__(self) -> str:
        lines = []
        for name, calls in sorted(self.calls.items()):
            line = f"{name}: {calls.taken} taken, {calls.seconds:.3g} s"
            if any(calls.ratios.values()):
                line += f", {calls.saved:.3g} s saved"
            if calls.passed_on:
                reasons = ", ".join(f"{n} x {why}" for why, n in sorted(calls.passed_on.items()))
                line += f"; passed on: {reasons}"
            lines.append(line)
        return "\n".join(lines) or "no call of a function that is accelerated"

    def _claim(self) -> bool:
        with _LOCK:
            unclaimed, self._unclaimed = self._unclaimed, False
        return unclaimed

    def _begin(self) -> None:
        found = _new_replacements()
        with _LOCK:
            _ACTIVE.append(self)
            _WATCH.start()
            _install(found, everywhere=len(_ACTIVE) == 1)


def active() -> list[Acceleration]:
    """Return the accelerations that are in use, each once."""
    return list(dict.fromkeys(_ACTIVE))


def is_inside() -> bool:
    """Return whether a call of these functions is part of another, and so for the original."""
    return _INSIDE.get()


def attempt(
    target: Target,
    signature: inspect.Signature,
    original: Callable[..., Any],
    args: Sequence[Any],
    options: dict[str, Any],
) -> Any:
    """Call ours, or the original if the call is not for ours, or ours fails."""
    reports = active()
    reason, size = reason_against(target, signature, args, options)
    token = _INSIDE.set(True)
    try:
        if reason is None:
            try:
                result, seconds = _timed(target, reports, target.function(), args, options)
            except (UnsafeForOriginal, UserWarning):  # warnings as errors: they are the original's
                raise
            except Exception as error:  # of ours, or the user's, which the original tells
                reason = type(error).__name__
            else:
                _count(target, reports, size, seconds, original, args, options)
                return result
        with _LOCK:
            for report in reports:
                report.calls.setdefault(target.label, Calls()).passed_on[reason] += 1
        return original(*args, **options)
    finally:
        _INSIDE.reset(token)


def _require_function(function: Any) -> None:
    if not callable(function) or isinstance(function, type):
        raise InvalidInput(f"accelerate decorates functions, not {shown(function)}; pass one.")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(
            f"{function.__qualname__} is a generator, which runs after it is called; use "
            "accelerate() in a with block inside of it."
        )


def _new_replacements() -> dict[Target, Any]:
    """Return replacements of functions whose modules are imported and that have none yet."""
    found = {}
    for target in TARGETS:
        if target not in _REPLACEMENTS and target.home in sys.modules:
            try:
                found[target] = _replacement(target, target.theirs())
            except (ImportError, AttributeError):  # broken, or of a version that lacks it
                continue
    return found


def _install(found: dict[Target, Any], *, everywhere: bool) -> None:
    """Replace functions; those known before only if `everywhere`."""
    new = {target: r for target, r in found.items() if target not in _REPLACEMENTS}
    _REPLACEMENTS.update(new)
    chosen = _REPLACEMENTS if everywhere else new
    if chosen:
        _exchange({id(r.__wrapped__): r for r in chosen.values()})


def _install_imported() -> None:
    found = _new_replacements()
    with _LOCK:
        if _ACTIVE:
            _install(found, everywhere=True)


_WATCH = Watch({target.home for target in TARGETS}, _install_imported)


def _restore_if_unused() -> None:
    if not _ACTIVE:
        _WATCH.stop()
        _exchange({id(r): r.__wrapped__ for r in _REPLACEMENTS.values()})


def _exchange(replaced: dict[int, Any]) -> None:
    """Replace functions, by identity, in all modules that hold them."""
    for module in list(sys.modules.values()):
        try:
            # Asked themselves, modules that are loaded on first use would be loaded.
            names = object.__getattribute__(module, "__dict__")
        except AttributeError:
            continue
        for name, value in list(names.items()):
            if id(value) in replaced:
                names[name] = replaced[id(value)]


def _replacement(target: Target, original: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(original)

    @wraps(original)
    def replacement(*args: Any, **options: Any) -> Any:
        if not _ACTIVE or is_inside():
            return original(*args, **options)
        return attempt(target, signature, original, args, options)

    return replacement


def _timed(
    target: Target,
    reports: list[Acceleration],
    function: Callable[..., Any],
    args: Sequence[Any],
    options: dict[str, Any],
) -> tuple[Any, float]:
    start = perf_counter()
    result = function(*args, **options)
    if target.on_device and any(report.compare for report in reports):
        sys.modules["cupy"].cuda.get_current_stream().synchronize()  # calls return before the end
    return result, perf_counter() - start


def _count(
    target: Target,
    reports: list[Acceleration],
    size: int,
    seconds: float,
    original: Callable[..., Any],
    args: Sequence[Any],
    options: dict[str, Any],
) -> None:
    """Count a call that was taken; compare it with the original, if that is asked for."""
    kind = size.bit_length() // 2  # sizes are compared once for each power of 4
    with _LOCK:
        known = [report.calls.setdefault(target.label, Calls()) for report in reports]
        pairs = list(zip(reports, known, strict=True))
        wanting = any(report.compare and kind not in calls.ratios for report, calls in pairs)
    ratio = None
    if wanting:
        try:
            ratio = _timed(target, reports, original, args, options)[1] / seconds
        except Exception:  # short of memory, or a warning that is an error: the call is answered
            ratio = None
    with _LOCK:
        for report, calls in pairs:
            calls.taken += 1
            calls.seconds += seconds
            if report.compare and wanting:
                calls.ratios.setdefault(kind, ratio)
            known_ratio = calls.ratios.get(kind)
            if known_ratio is not None:
                calls.saved += seconds * (known_ratio - 1)
