"""``hdseg refine``."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from hdseg_gpu import files
from hdseg_gpu.cli.console import (
    Json,
    Output,
    Quiet,
    notes_shown,
    report_table,
    say,
    say_json,
    tile_progress,
)
from hdseg_gpu.cli.options import flag_of, with_options
from hdseg_gpu.core.errors import InvalidInput, Unfinished
from hdseg_gpu.core.report import Report
from hdseg_gpu.engine.arguments import FileCall
from hdseg_gpu.engine.workspace import folder_for
from hdseg_gpu.io.formats import names, readable


@with_options(FileCall)
def refine(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help=f"{names(readable())}.")],
    coarse: Annotated[
        Path,
        typer.Argument(
            metavar="COARSE",
            help="Labels (image or 2-D array) or class probabilities (3-D array).",
        ),
    ],
    output: Output,
    quiet: Quiet = False,
    as_json: Json = False,
    **options: Any,
) -> None:
    """Refine COARSE at the full resolution of IMAGE, into OUT.

    Large images are refined tile by tile, in bounded memory.
    """
    for name in ("max_device_memory", "max_memory"):
        options[name] = byte_count(options[name], flag_of(name))
    with notes_shown(quiet) as notes, tile_progress(quiet or as_json) as progress:
        report = _refined(image, coarse, output, progress=progress, **options)
    if as_json:
        say_json({**report.to_dict(), "notes": notes, "output": str(output)})
    elif not quiet:
        say(report_table(report), f" written         {output}")


def _refined(image: Any, coarse: Path, output: Path, **options: Any) -> Report:
    try:
        return files.refine_file(image, coarse, output, **options)
    except KeyboardInterrupt as error:
        if not folder_for(output.resolve()).exists():
            raise
        raise Unfinished(
            f"interrupted; {output} is not written, but finished tiles are kept: continue with "
            "--resume."
        ) from error


def byte_count(text: str | None, option: str) -> float | None:
    """Return the bytes of a number with an optional binary unit: K, M, G, T, KiB, ..."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+\.?\d*|\.\d+) *([KMGT]?)(i?B)?", text.strip(), re.IGNORECASE)
    if found is None:
        raise InvalidInput(f"{option}={text} is not a number of bytes; pass e.g. 800M or 4G.")
    return float(found[1]) * 2.0 ** (10 * " KMGT".index(found[2].upper() or " "))
