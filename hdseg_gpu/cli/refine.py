"""``hdseg refine``."""

import re
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from hdseg_gpu.cli.console import (
    Backend,
    Json,
    Output,
    Overwrite,
    Quiet,
    Scale,
    notes_shown,
    report_table,
    say,
    say_json,
    tile_progress,
)
from hdseg_gpu.core import validate
from hdseg_gpu.core.errors import InvalidInput, Unfinished
from hdseg_gpu.core.memory import budget_of
from hdseg_gpu.core.params import METHODS, TOLERANCE
from hdseg_gpu.core.report import Report
from hdseg_gpu.io import check_output, read_coarse
from hdseg_gpu.io.formats import format_of, names, readable


def refine(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help=f"{names(readable())}.")],
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
    max_memory: Annotated[
        str | None,
        typer.Option(help="Memory to take, tile by tile, such as 2G. Default: half of the free."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Tiles at once (default: one a processor).")
    ] = None,
    tile: Annotated[
        int | None, typer.Option(help="Side of tiles, a multiple of 2048 (default: as it fits).")
    ] = None,
    sigma: Annotated[
        float | None,
        typer.Option(help="Standard deviation of the image in [0, 1]: saves reading all of it."),
    ] = None,
    level: Annotated[int, typer.Option(help="Resolution level of IMAGE, 0 the finest.")] = 0,
    on_error: Annotated[
        str,
        typer.Option(help="fail, or skip: leave as in COARSE where IMAGE cannot be decoded."),
    ] = "fail",
    trust_vrt: Annotated[
        bool, typer.Option("--trust-vrt", help="A .vrt may read any file and address it names.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was interrupted.")
    ] = False,
    scheduler: Annotated[
        str | None, typer.Option(help="dask: tiles on the workers of --address.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Dask's scheduler, such as tcp://10.0.0.1:8786.")
    ] = None,
    worker_timeout: Annotated[
        float, typer.Option(help="Seconds without any worker of Dask after which the run stops.")
    ] = 60.0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Refine COARSE at the full resolution of IMAGE, into OUT.

    Large images are refined tile by tile, in bounded memory.
    """
    options: dict[str, Any] = {
        "method": method, "scale": scale, "passes": passes, "elements": elements,
        "unsure": unsure, "prune": prune, "edges": edges, "boundary": boundary, "beta": beta,
        "gamma": gamma, "interpolation": interpolation, "median": median,
        "ignore_index": ignore_index, "alpha": alpha, "class_axis": class_axis, "key": key,
        "image_key": image_key, "level": level, "trust_vrt": trust_vrt, "sigma": sigma,
        "backend": backend, "solver": solver, "tol": tol,
        "max_memory": byte_count(max_memory, "--max-memory"),
        "max_device_memory": byte_count(max_device_memory, "--max-device-memory"),
        "workers": workers, "tile": tile, "scheduler": scheduler, "address": address,
        "worker_timeout": worker_timeout, "on_error": on_error, "resume": resume,
        "overwrite": overwrite,
    }  # fmt: skip
    with notes_shown(quiet) as notes, tile_progress(quiet or as_json) as told:
        if channel_axis in (-1, 2):
            report = _refined(image, coarse, output, progress=told, **options)
        else:
            check_output(output, overwrite=True, inputs=(image,))
            allowed = byte_count(max_memory, "--max-memory")
            pixels = _channels_last(image, image_key, channel_axis, allowed)
            options["image_key"] = None
            report = _refined(pixels, coarse, output, progress=told, **options)
    if as_json:
        say_json({**report.to_dict(), "notes": notes, "output": str(output)})
    elif not quiet:
        say(report_table(report), f" written         {output}")


def _refined(image: Any, coarse: Path, output: Path, **options: Any) -> Report:
    from hdseg_gpu.files import refine_file
    from hdseg_gpu.scale.workspace import folder_for

    try:
        return refine_file(image, coarse, output, **options)
    except KeyboardInterrupt as error:
        if not folder_for(output.resolve()).exists():
            raise
        raise Unfinished(
            f"interrupted; {output} is not written, what is done so far is kept: continue with "
            "--resume."
        ) from error


def _channels_last(image: Path, key: str | None, axis: int, allowed: float | None) -> NDArray[Any]:
    """Return the array of a file that may have its channels on any axis."""
    found = format_of(image)
    if found is None or found.read_array is None:
        arrays = names([each for each in readable() if each.read_array is not None])
        raise InvalidInput(
            f"--channel-axis={axis} is for arrays ({arrays}), and {image} says itself where its "
            "channels are; leave it out."
        )
    budget = budget_of(validate.memory("max_memory", allowed))
    pixels = read_coarse(image, key, budget)  # arrays of any shape
    axis = validate.axis_of("channel_axis", axis)
    return np.moveaxis(pixels, axis, -1) if pixels.ndim == 3 else pixels


def byte_count(text: str | None, option: str) -> float | None:
    """Return a number of bytes, given as such or with a binary unit: K, M, G, T, KiB, ..."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+\.?\d*|\.\d+) *([KMGT]?)(i?B)?", text.strip(), re.IGNORECASE)
    if found is None:
        raise InvalidInput(f"{option}={text} is not a number of bytes; write such as 800M or 4G.")
    return float(found[1]) * 2.0 ** (10 * " KMGT".index(found[2].upper() or " "))
