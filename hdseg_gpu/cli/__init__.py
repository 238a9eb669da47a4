"""The command ``hdseg``. Exit codes: 0 success, 2 invalid input, 1 any other error."""

import io
import logging
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from hdseg_gpu.cli import demo, evaluate, info, refine, seeds
from hdseg_gpu.cli.info import print_version
from hdseg_gpu.cli.options import with_flags
from hdseg_gpu.core.errors import HdsegError, InvalidInput

app = typer.Typer(
    name="hdseg",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("refine")(refine.refine)
app.command("seeds")(seeds.seeds)
app.command("evaluate")(evaluate.evaluate)
app.command("info")(info.info)
app.command("demo")(demo.demo)


_INTERRUPTED = 130  # typer's exit code for Ctrl-C


@app.callback()
def hdseg(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="And exit.")
    ] = False,
) -> None:
    """Sharp segmentation masks for very large images."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code. HDSEG_DEBUG=1 shows tracebacks."""
    _mend_streams()
    # tifffile also logs what it raises; one line is enough.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    try:
        app(args=arguments, prog_name="hdseg")
    except SystemExit as done:  # raised by typer on success and on usage errors (2)
        if done.code == _INTERRUPTED:
            print("error: interrupted; nothing was written", file=sys.stderr)
            return 1
        return done.code if isinstance(done.code, int) else 1
    except Exception as error:
        if os.environ.get("HDSEG_DEBUG"):
            raise
        said = str(error) if isinstance(error, HdsegError) else f"{type(error).__name__}: {error}"
        print("error:", with_flags(" ".join(said.split())), file=sys.stderr)
        return 2 if isinstance(error, InvalidInput) else 1
    return 0


def _mend_streams() -> None:
    """Make printing safe if a stream is closed or cannot encode every character of a path."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - for the process's life
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def entry_point() -> None:
    """Exit with the code of ``main``."""
    sys.exit(main())
