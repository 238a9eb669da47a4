"""Public functions whose keyword arguments are the fields of a dataclass.

The function itself receives one object. Its callers see a signature with every argument, at run
time (``help``, notebooks) and in type checkers and editors, which take it from the dataclass; the
Parameters of the docstring are generated from the fields (docs/decisions/0013-options.md).
"""

import inspect
import textwrap
from collections.abc import Callable
from dataclasses import fields
from difflib import get_close_matches
from functools import reduce, wraps
from operator import or_
from typing import Annotated, Any, ParamSpec, TypeVar, Union, get_args, get_origin

from hdseg_gpu.core.errors import InvalidInput, shown
from hdseg_gpu.core.options import CallOptions, about, checked, described

_P = ParamSpec("_P")
_Call = TypeVar("_Call", bound=CallOptions)
_Result = TypeVar("_Result")

_WIDTH = 96  # of the docstring's lines, without their indent


def taking(
    kind: Callable[_P, _Call],
) -> Callable[[Callable[[_Call], _Result]], Callable[_P, _Result]]:
    """Return a decorator: callers pass the fields of `kind`, the function receives the object.

    An unknown keyword raises ``InvalidInput`` with the valid ones.
    """
    assert isinstance(kind, type)
    signature = _signature(kind)

    def decorate(function: Callable[[_Call], _Result]) -> Callable[_P, _Result]:
        name = function.__name__

        @wraps(function)
        def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> _Result:
            for each in kwargs.keys() - signature.parameters.keys():
                raise unknown_option(name, each, list(signature.parameters))
            try:
                signature.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{name}() {error}") from None
            return function(checked(kind(*args, **kwargs)))

        returned = inspect.signature(function).return_annotation
        shown_as = signature.replace(return_annotation=returned)
        wrapper.__signature__ = shown_as  # type: ignore[attr-defined]
        wrapper.__annotations__ = {
            each.name: each.annotation for each in signature.parameters.values()
        } | {"return": returned}
        wrapper.__doc__ = _documented(function.__doc__, kind)
        return wrapper

    return decorate


def stating(**texts: str) -> Callable[[Callable[_P, _Result]], Callable[_P, _Result]]:
    """Return a decorator that puts texts into a docstring, in place of "{name}".

    The lines that have such places are wrapped again.
    """

    def decorate(function: Callable[_P, _Result]) -> Callable[_P, _Result]:
        if function.__doc__ is not None:  # python -OO
            lines = inspect.cleandoc(function.__doc__).splitlines()
            function.__doc__ = "\n".join(part for line in lines for part in _stated(line, texts))
        return function

    return decorate


def _stated(line: str, texts: dict[str, str]) -> list[str]:
    """Return the lines that a line of a docstring becomes."""
    said = line
    for name, text in texts.items():
        said = said.replace(f"{{{name}}}", text)
    return [line] if said == line else _wrapped(said.strip(), line[: -len(line.lstrip())])


def values_of(call: Any, kind: type[Any]) -> dict[str, Any]:
    """Return the arguments of a call that are fields of `kind`, by name."""
    return {each.name: getattr(call, each.name) for each in fields(kind)}


def keywords(kind: type[Any]) -> list[inspect.Parameter]:
    """Return the parameters of a call that are passed by name."""
    found = _signature(kind).parameters.values()
    return [each for each in found if each.kind is inspect.Parameter.KEYWORD_ONLY]


def _signature(kind: type[Any]) -> inspect.Signature:
    found = inspect.signature(kind)
    return found.replace(
        parameters=[
            each.replace(annotation=_complete(each.annotation))
            for each in found.parameters.values()
        ],
        return_annotation=inspect.Signature.empty,
    )


def _complete(annotation: Any) -> Any:
    """Return the bare type of an argument; the type variable of optional ones becomes None."""
    if getattr(annotation, "__parameters__", ()):
        annotation = annotation[None]
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    is_union = get_origin(annotation) is Union
    return reduce(or_, get_args(annotation)) if is_union else annotation


def _documented(text: str | None, kind: type[Any]) -> str | None:
    """Return a docstring with the Parameters section inserted before Returns."""
    if text is None:  # python -OO
        return None
    lines = ["Parameters", "----------"]
    for name, said in about(kind).items():
        sentence = described(name, said, said.text)
        lines.append(f"{name} : {said.kind}")
        lines += _wrapped(sentence, "    ")
    head, mark, rest = inspect.cleandoc(text).partition("Returns\n-------\n")
    assert mark, "the docstring says what is returned"
    return head + "\n".join(lines) + "\n\n" + mark + rest


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )


def unknown_option(function: str, name: str, known: list[str]) -> InvalidInput:
    """Return the error for an option that a function does not have; it names the nearest one."""
    near = get_close_matches(name, known, 1)
    guess = f"did you mean {near[0]}? " if near else ""
    return InvalidInput(
        f"{function}() has no option {shown(name)}; {guess}It takes {', '.join(known)}."
    )
