"""``hdseg seeds``."""

import warnings
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from hdseg_gpu import api
from hdseg_gpu.cli.console import (
    Backend,
    Elements,
    Json,
    Output,
    Overwrite,
    Passes,
    Quiet,
    Scale,
    notes_shown,
    say,
    say_json,
)
from hdseg_gpu.core.errors import InvalidInput, RefinementWarning
from hdseg_gpu.core.report import Stages
from hdseg_gpu.io import (
    check_output,
    note_lost_place,
    open_coarse,
    read_labels,
    write_labels,
    write_picture,
)
from hdseg_gpu.io.formats import keyed, names
from hdseg_gpu.pictures import seeds_figure


def seeds(
    mask: Annotated[Path, typer.Argument(metavar="MASK", help="Label map: image or 2-D array.")],
    output: Output,
    key: Annotated[
        str | None, typer.Option(help=f"Name of the array in MASK ({names(keyed())}).")
    ] = None,
    scale: Scale = None,
    passes: Passes = None,
    elements: Elements = "9x9",
    figure: Annotated[
        bool,
        typer.Option(
            help="Write a figure (PNG): white foreground, grey background, black unknown."
        ),
    ] = False,
    backend: Backend = "auto",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write the seeds of MASK: 0 where unknown, label + 1 elsewhere."""
    check_output(output, overwrite=overwrite, inputs=(mask,))
    if figure and output.suffix.lower() != ".png":
        raise InvalidInput(f"output {output}: --figure writes a PNG; name a .png file.")
    with notes_shown(quiet) as notes:
        labels, stages = read_labels(mask, key), Stages()
        with open_coarse(mask, key) as source:
            where = source.georeference
            note_lost_place(output, source, stages)
        for note in stages.notes:
            warnings.warn(note, RefinementWarning, stacklevel=1)
        found = api.seeds(labels, elements=elements, passes=passes, scale=scale, backend=backend)
        if figure:
            write_picture(output, seeds_figure(found), overwrite)
        else:
            write_labels(output, found, where, overwrite=overwrite)
    unknown = int(np.count_nonzero(found == 0))
    if as_json:
        say_json(
            {"shape": found.shape, "unknown_pixels": unknown, "notes": notes, "output": str(output)}
        )
    elif not quiet:
        say(f"{unknown} unknown pixels ({100 * unknown / found.size:.2f} %), written {output}")
