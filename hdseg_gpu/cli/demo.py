"""``hdseg demo``: the main job on a bundled photograph."""

from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.table import Table

from hdseg_gpu import api, metrics, pictures
from hdseg_gpu.cli.console import (
    Backend,
    Json,
    Quiet,
    notes_shown,
    percent,
    progress_bar,
    report_rows,
    say,
    say_json,
)
from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.io import read_image, read_labels, write_picture


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the PNGs; created if needed.")
    ] = Path("hdseg_demo"),
    backend: Backend = "auto",
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Refine the DeepLabV3 mask of a bundled photo; print the gain and write PNGs."""
    with as_file(files("hdseg_gpu") / "data" / "demo") as folder:
        image = read_image(folder / "image.jpg").pixels
        coarse = read_labels(folder / "coarse.png")
        truth = read_labels(folder / "truth.png") > 0
    if output.exists() and not output.is_dir():
        raise InvalidInput(f"output {output} is a file; name a folder.")
    with notes_shown(quiet), progress_bar(quiet or as_json) as progress:
        after, probabilities, report = api.refine(
            image, coarse, backend=backend, progress=progress,
            return_probabilities=True, return_report=True,
        )  # fmt: skip
        before = api.refine(image, coarse, passes=0, interpolation="nearest", backend=backend)
    scores = {
        name: {
            "iou": metrics.iou(labels > 0, truth),
            "mba": metrics.mean_boundary_accuracy(labels > 0, truth),
        }
        for name, labels in (("before", before), ("after", after))
    }
    written = {
        "mask": np.where(after > 0, 255, 0).astype(np.uint8),
        # Seeds have probability 1.
        "seeds": pictures.seeds_figure(
            np.where(probabilities.max(axis=0) == 1, probabilities.argmax(axis=0) + 1, 0)
        ),
        "overlay": pictures.side_by_side(
            [
                (f"{name}: IoU {percent(s['iou'])} %", pictures.overlay(image, labels, truth))
                for (name, s), labels in zip(scores.items(), (before, after), strict=True)
            ]
        ),
    }
    paths = {name: output.resolve() / f"demo_{name}.png" for name in written}
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(
            f"output {output}: the folder cannot be created: {error.strerror}."
        ) from error
    for name, pixels in written.items():
        write_picture(paths[name], pixels)
    if as_json:
        files_written = {name: str(path) for name, path in paths.items()}
        say_json({"scores": scores, "report": report.to_dict(), "files": files_written})
        return
    if quiet:
        return
    table = Table("", "before", "after")
    for metric, title in (("iou", "IoU [%]"), ("mba", "mBA [%]")):
        table.add_row(title, *(percent(s[metric]) for s in scores.values()))
    for name, value in report_rows(report):
        table.add_row(name, "", value)
    say(table, "", *(f"{name:8} {path}" for name, path in paths.items()))
    say("overlay: red is the mask's boundary, green the true one (drawn by hand), yellow both.")
