"""Command-line options generated from the arguments of a public function."""

import inspect
import re
from collections.abc import Callable
from typing import Annotated, Any

import typer

from hdseg_gpu.core.calls import keywords
from hdseg_gpu.core.options import CallOptions, about, described
from hdseg_gpu.engine.arguments import FileCall

Command = Callable[..., None]
_SWITCH = re.compile(
    rf"\b({'|'.join(each.name for each in keywords(FileCall) if each.annotation is bool)})=True\b"
)


def with_options(kind: type[Any]) -> Callable[[Command], Command]:
    """Return a decorator that replaces a command's ``**options`` by the keywords of `kind`.

    Keywords without a help text, and those the command declares itself, are left out.
    """

    def decorate(command: Command) -> Command:
        own = inspect.signature(command)
        *kept, rest = own.parameters.values()
        assert rest.kind is inspect.Parameter.VAR_KEYWORD
        made = [
            each.replace(annotation=annotated(each.name, kind))
            for each in keywords(kind)
            if each.name not in own.parameters and about(kind)[each.name].help
        ]
        first = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in kept]
        needed = [each for each in first if each.default is inspect.Parameter.empty]
        others = [each for each in first if each.default is not inspect.Parameter.empty]
        signature = own.replace(parameters=[*needed, *made, *others])
        command.__signature__ = signature  # type: ignore[attr-defined]
        command.__annotations__ = {
            each.name: each.annotation for each in signature.parameters.values()
        }
        return command

    return decorate


def with_flags(message: str) -> str:
    """Return a message in which switches are written as flags: --resume, not resume=True."""
    return _SWITCH.sub(lambda found: flag_of(found[1]), message)


def flag_of(name: str) -> str:
    """Return the flag of an option."""
    return "--" + name.replace("_", "-")


def annotated(name: str, kind: type[Any] = CallOptions) -> Any:
    """Return the type of an option on the command line, with its help."""
    (found,) = (each for each in keywords(kind) if each.name == name)
    said, flag = about(kind)[name], flag_of(name)
    names: tuple[str, ...] = ()
    if found.annotation is bool:
        names = (flag,)
    elif found.annotation == bool | None:
        names = (f"{flag}/--no-{flag[2:]}",)
    sentence = described(name, said, said.help, quote="")
    return Annotated[said.cli or found.annotation, typer.Option(*names, help=sentence)]
