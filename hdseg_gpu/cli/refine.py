"""``hdseg refine``."""

import warnings
from pathlib import Path
from typing import Annotated

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
    progress_bar,
    report_table,
    say,
    say_json,
)
from hdseg_gpu.core.errors import RefinementWarning
from hdseg_gpu.core.params import DEFAULT_BETA, DEFAULT_GAMMA, TOLERANCE
from hdseg_gpu.io import (
    check_labels,
    check_output,
    read_coarse,
    read_image,
    write_labels,
)


def refine(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="PNG, JPEG, TIFF, .npy or .npz.")],
    coarse: Annotated[
        Path,
        typer.Argument(
            metavar="COARSE",
            help="Labels (picture or 2-D array) or class probabilities (3-D array).",
        ),
    ],
    output: Output,
    scale: Scale = None,
    passes: Passes = None,
    elements: Elements = "9x9",
    edges: Annotated[str, typer.Option(help="intensity, or boundary (needs --boundary).")] = (
        "intensity"
    ),
    boundary: Annotated[Path | None, typer.Option(help="Map of edge strengths.")] = None,
    beta: Annotated[float, typer.Option(help="How strongly an edge stops the walker.")] = (
        DEFAULT_BETA
    ),
    gamma: Annotated[float, typer.Option(help="Weight of the class evidence.")] = DEFAULT_GAMMA,
    interpolation: Annotated[
        str | None,
        typer.Option(help="nearest (default for labels), linear (for probabilities) or cubic."),
    ] = None,
    alpha: Annotated[
        bool | None,
        typer.Option("--alpha/--no-alpha", help="Whether the image's last channel is alpha."),
    ] = None,
    class_axis: Annotated[int, typer.Option(help="Axis of the classes in COARSE.")] = 0,
    channel_axis: Annotated[int, typer.Option(help="Axis of the channels in IMAGE.")] = -1,
    key: Annotated[str | None, typer.Option(help="Name of the array in COARSE (.npz).")] = None,
    image_key: Annotated[str | None, typer.Option(help="The same for IMAGE.")] = None,
    backend: Backend = "auto",
    solver: Annotated[str, typer.Option(help="auto, multigrid, amg or direct.")] = "auto",
    tol: Annotated[float, typer.Option(help="Largest error of a potential.")] = TOLERANCE,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Refine COARSE at the full resolution of IMAGE, into OUT."""
    sources = (image, coarse) if boundary is None else (image, coarse, boundary)
    check_output(output, overwrite=overwrite, inputs=sources)
    with notes_shown(quiet) as notes, progress_bar(quiet or as_json) as progress:
        picture = read_image(image, image_key)
        network = read_coarse(coarse, key)
        if network.size and network.ndim == 2 and network.dtype.kind in "biu":
            check_labels(output, network.dtype, int(network.min()), int(network.max()))
        if alpha is None and picture.alpha:
            sentence = f"{image} has an alpha channel, which is ignored (--no-alpha uses it)."
            warnings.warn(sentence, RefinementWarning, stacklevel=1)
        if alpha is None:
            alpha = picture.alpha
        labels, report = api.refine(
            picture.pixels,
            network,
            scale=scale,
            passes=passes,
            elements=elements,
            edges=edges,
            boundary=None if boundary is None else read_image(boundary).pixels,
            beta=beta,
            gamma=gamma,
            interpolation=interpolation,
            alpha=alpha,
            class_axis=class_axis,
            channel_axis=channel_axis,
            backend=backend,
            solver=solver,
            tol=tol,
            progress=progress,
            return_report=True,
        )
        write_labels(output, labels, overwrite)
    if as_json:
        say_json({**report.to_dict(), "notes": notes, "output": str(output)})
    elif not quiet:
        say(report_table(report), f" written         {output}")
