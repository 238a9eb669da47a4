"""Options of the command line that are made from those of ``refine``."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from hdseg_gpu.core.calls import keywords
from hdseg_gpu.core.options import CallOptions, about, described


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command, for its ``**options``, an option for each of ``CallOptions`` with a help."""
    own = inspect.signature(command, eval_str=True)
    *kept, rest = own.parameters.values()
    assert rest.kind is inspect.Parameter.VAR_KEYWORD
    names = {each.name for each in kept}
    made = [
        each.replace(annotation=_annotated(each.name, each.annotation))
        for each in keywords(CallOptions)
        if each.name not in names and about(CallOptions)[each.name].help
    ]
    first = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in kept]
    needed = [each for each in first if each.default is inspect.Parameter.empty]
    others = [each for each in first if each.default is not inspect.Parameter.empty]
    signature = own.replace(parameters=[*needed, *made, *others])
    command.__signature__ = signature  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in signature.parameters.values()}
    return command


def annotated(name: str) -> Any:
    """Return the type and help of an option, for a command that declares it itself."""
    (found,) = (each for each in keywords(CallOptions) if each.name == name)
    return _annotated(name, found.annotation)


def _annotated(name: str, kind: Any) -> Any:
    said = about(CallOptions)[name]
    flag = name.replace("_", "-")
    switches = (f"--{flag}/--no-{flag}",) if bool in (kind, *getattr(kind, "__args__", ())) else ()
    sentence = described(name, said, said.help, quote="")
    return Annotated[said.cli or kind, typer.Option(*switches, help=sentence)]
