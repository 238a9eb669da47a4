"""``hdseg refine``."""

import re
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from hdseg_gpu import api
from hdseg_gpu.cli.console import (
    Json,
    Output,
    Quiet,
    notes_shown,
    progress_bar,
    report_table,
    say,
    say_json,
    tile_progress,
)
from hdseg_gpu.cli.options import with_options
from hdseg_gpu.core.errors import InvalidInput, RefinementWarning, Unfinished
from hdseg_gpu.core.report import Report
from hdseg_gpu.engine.arguments import FileCall
from hdseg_gpu.files import refine_file
from hdseg_gpu.io import (
    check_labels,
    check_output,
    is_large_format,
    read_coarse,
    read_image,
    size_of,
    write_labels,
)
from hdseg_gpu.io.paths import READABLE

LARGE = 32 << 20  # pixels; what has more is refined tile by tile


@with_options(FileCall)
def refine(
    image: Annotated[
        Path, typer.Argument(metavar="IMAGE", help="PNG, JPEG, TIFF, slide, Zarr, .npy, .npz.")
    ],
    coarse: Annotated[
        Path,
        typer.Argument(
            metavar="COARSE",
            help="Labels (picture or 2-D array) or class probabilities (3-D array).",
        ),
    ],
    output: Output,
    channel_axis: Annotated[int, typer.Option(help="Axis of the channels in IMAGE.")] = -1,
    quiet: Quiet = False,
    as_json: Json = False,
    **options: Any,
) -> None:
    """Refine COARSE at the full resolution of IMAGE, into OUT.

    Large images are refined tile by tile, in bounded memory.
    """
    for name in ("max_device_memory", "max_memory"):
        options[name] = byte_count(options[name], f"--{name.replace('_', '-')}")
    boundary, key, image_key = (options.pop(name) for name in ("boundary", "key", "image_key"))
    overwrite, worker_timeout = options.pop("overwrite"), options.pop("worker_timeout")
    tiled = {
        name: options.pop(name)
        for name in (
            *("max_memory", "workers", "tile", "sigma", "level", "on_error", "resume"),
            *("scheduler", "address", "trust_vrt"),
        )
    }
    with notes_shown(quiet) as notes:
        if _in_tiles(image, coarse, output, tiled):
            tiled["worker_timeout"] = worker_timeout
            if channel_axis not in (-1, 2):
                raise InvalidInput(
                    f"--channel-axis={channel_axis} is for small images; files of large ones say "
                    "where their channels are."
                )
            with tile_progress(quiet or as_json) as told:
                report = _refine_file(
                    image, coarse, output, boundary=boundary, key=key, image_key=image_key,
                    overwrite=overwrite, progress=told, **options, **tiled,
                )  # fmt: skip
        else:
            with progress_bar(quiet or as_json) as progress:
                report = _refine_whole(
                    image, coarse, output, boundary, key, image_key, overwrite,
                    channel_axis=channel_axis, progress=progress, **options,
                )  # fmt: skip
    if as_json:
        say_json({**report.to_dict(), "notes": notes, "output": str(output)})
    elif not quiet:
        say(report_table(report), f" written         {output}")


def _in_tiles(image: Path, coarse: Path, output: Path, tiled: dict[str, Any]) -> bool:
    """Return whether an image is refined tile by tile: a large one, or if anything asks for it."""
    if any(value not in (None, 0, False, "fail") for value in tiled.values()):
        return True
    if any(is_large_format(path) for path in (image, coarse, output)):
        return True
    if output.suffix.lower() == ".npz" or not image.is_file():
        return False
    if image.suffix.lower() not in READABLE:
        return False
    size = size_of(image)
    return size is not None and size[0] * size[1] > LARGE


def _refine_file(image: Path, coarse: Path, output: Path, **options: Any) -> Report:
    try:
        return refine_file(image, coarse, output, **options)
    except KeyboardInterrupt as error:
        raise Unfinished(
            f"interrupted; {output} is not written, what is done so far is kept: continue with "
            "--resume."
        ) from error


def _refine_whole(
    image: Path,
    coarse: Path,
    output: Path,
    boundary: Path | None,
    key: str | None,
    image_key: str | None,
    overwrite: bool,
    **options: Any,
) -> Report:
    sources = (image, coarse) if boundary is None else (image, coarse, boundary)
    check_output(output, overwrite=overwrite, inputs=sources)
    picture = read_image(image, image_key)
    network = read_coarse(coarse, key)
    if network.size and network.ndim == 2 and network.dtype.kind in "biu":
        check_labels(output, network.dtype, int(network.min()), int(network.max()))
    if options["alpha"] is None:
        options["alpha"] = picture.alpha
        if picture.alpha:
            sentence = f"{image} has an alpha channel, which is ignored (--no-alpha uses it)."
            warnings.warn(sentence, RefinementWarning, stacklevel=1)
    edge_map = None if boundary is None else read_image(boundary).pixels
    labels, report = api.refine(
        picture.pixels, network, boundary=edge_map, return_report=True, **options
    )
    write_labels(output, labels, overwrite)
    found: Report = report
    return found


def byte_count(text: str | None, option: str) -> float | None:
    """Return a number of bytes, given as such or with a binary unit: K, M, G, T, KiB, ..."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+\.?\d*|\.\d+) *([KMGT]?)(i?B)?", text.strip(), re.IGNORECASE)
    if found is None:
        raise InvalidInput(f"{option}={text} is not a number of bytes; write such as 800M or 4G.")
    return float(found[1]) * 2.0 ** (10 * " KMGT".index(found[2].upper() or " "))
