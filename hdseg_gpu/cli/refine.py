"""``hdseg refine``."""

import re
import warnings
from pathlib import Path
from typing import Annotated

import typer

from hdseg_gpu import api
from hdseg_gpu.cli.console import (
    Backend,
    Json,
    Output,
    Overwrite,
    Quiet,
    Scale,
    notes_shown,
    progress_bar,
    report_table,
    say,
    say_json,
)
from hdseg_gpu.core.errors import InvalidInput, RefinementWarning
from hdseg_gpu.core.params import METHODS, TOLERANCE
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
    method: Annotated[
        str, typer.Option(help=f"{' or '.join(METHODS)}: the defaults of the options below.")
    ] = "evidence",
    scale: Scale = None,
    passes: Annotated[
        int | None,
        typer.Option(help="Passes of thinning (default: 2 x scale), or 8 x if published."),
    ] = None,
    elements: Annotated[str | None, typer.Option(help="Structuring elements: 9x9 or 3x3.")] = None,
    unsure: Annotated[
        float | None, typer.Option(help="Unknown, too: largest probabilities this close.")
    ] = None,
    prune: Annotated[
        bool | None, typer.Option("--prune/--no-prune", help="Whether spurs of seeds are removed.")
    ] = None,
    edges: Annotated[
        str | None, typer.Option(help="intensity, or boundary (needs --boundary).")
    ] = None,
    boundary: Annotated[Path | None, typer.Option(help="Map of edge strengths.")] = None,
    beta: Annotated[
        float | None, typer.Option(help="How strongly an edge stops the walker.")
    ] = None,
    gamma: Annotated[float | None, typer.Option(help="Weight of the class evidence.")] = None,
    interpolation: Annotated[
        str | None,
        typer.Option(help="nearest (default for labels), linear (for probabilities) or cubic."),
    ] = None,
    median: Annotated[
        int | None, typer.Option(help="Side of the final majority filter; 1 is off.")
    ] = None,
    ignore_index: Annotated[
        int | None,
        typer.Option(help="Label of COARSE that passes through (default: 255); -1 for none."),
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
    max_device_memory: Annotated[
        str | None,
        typer.Option(
            help="Memory of a CUDA device to take: bytes, or such as 800M or 4G (2^30). "
            "Default: 90 % of what is free."
        ),
    ] = None,
    solver: Annotated[str | None, typer.Option(help="auto, multigrid, cg, amg or direct.")] = None,
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
            method=method,
            scale=scale,
            passes=passes,
            elements=elements,
            unsure=unsure,
            prune=prune,
            edges=edges,
            boundary=None if boundary is None else read_image(boundary).pixels,
            beta=beta,
            gamma=gamma,
            interpolation=interpolation,
            median=median,
            ignore_index=ignore_index,
            alpha=alpha,
            class_axis=class_axis,
            channel_axis=channel_axis,
            backend=backend,
            max_device_memory=byte_count(max_device_memory),
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


def byte_count(text: str | None) -> float | None:
    """Return a number of bytes, given as such or with a binary unit: K, M, G, T, KiB, ..."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+\.?\d*|\.\d+) *([KMGT]?)(i?B)?", text.strip(), re.IGNORECASE)
    if found is None:
        raise InvalidInput(
            f"--max-device-memory={text} is not a number of bytes; write such as 800M or 4G."
        )
    return float(found[1]) * 2.0 ** (10 * " KMGT".index(found[2].upper() or " "))
