"""Restores dataclasses from untrusted JSON values."""

from dataclasses import fields
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

_T = TypeVar("_T")


def restored(kind: type[_T], values: object) -> _T:
    """Return the dataclass `kind` from values that ``dataclasses.asdict`` and JSON produced.

    Raises ValueError if names are missing or unknown, or a value has the wrong type.
    """
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    if not isinstance(values, dict) or values.keys() != set(names):
        raise ValueError(f"no {kind.__name__}")
    return kind(**{name: _typed(hints[name], values[name]) for name in names})


def _typed(hint: Any, value: Any) -> Any:
    """Return a JSON value converted to the type `hint`; raises ValueError if it is of another."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _any_of(parts, value)
    if hint is float and type(value) in (int, float):
        return float(value)
    if hint in (int, str, bool, NoneType) and type(value) is hint:
        return value
    if origin is tuple and isinstance(value, list | tuple):
        kinds = [parts[0]] * len(value) if parts[-1] is Ellipsis else parts
        if len(kinds) == len(value):
            return tuple(_typed(k, v) for k, v in zip(kinds, value, strict=True))
    if origin is dict and isinstance(value, dict):  # JSON keys are strings
        return {name: _typed(parts[1], v) for name, v in value.items()}
    raise ValueError(f"{value!r:.40} is no {hint}")


def _any_of(hints: tuple[Any, ...], value: Any) -> Any:
    for hint in hints:
        try:
            return _typed(hint, value)
        except ValueError:
            continue
    raise ValueError(f"{value!r:.40} is none of {hints}")
