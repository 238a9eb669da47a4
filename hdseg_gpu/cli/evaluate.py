"""``hdseg evaluate``."""

from itertools import islice
from math import isnan, nan
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.table import Table

from hdseg_gpu import backends, metrics
from hdseg_gpu.cli.console import Json, Quiet, note, notes_shown, percent, say, say_json
from hdseg_gpu.core import validate
from hdseg_gpu.core.errors import InvalidInput, listed
from hdseg_gpu.core.label_map import label_classes
from hdseg_gpu.core.windows import all_of
from hdseg_gpu.io import read_labels

_MOST_ROWS = 256  # of the table: thousands are unreadable, and take seconds to lay out


def evaluate(
    prediction: Annotated[Path, typer.Argument(metavar="PRED", help="Label map.")],
    truth: Annotated[Path, typer.Argument(metavar="TRUTH", help="Label map, full size.")],
    ignore: Annotated[
        int | None, typer.Option(help="Label in TRUTH whose pixels do not count, often 255.")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Print IoU and mean boundary accuracy (mBA) of PRED for each class of TRUTH.

    A smaller PRED is enlarged by nearest neighbour first. The table shows up to 256 classes, --json
    all of them.
    """
    with notes_shown(quiet):
        pred = validate.labels("PRED", read_labels(prediction))
        true = validate.labels("TRUTH", read_labels(truth))
    if pred.shape != true.shape:
        small, pred = pred.shape, _enlarged(pred, true.shape)
        if not quiet:
            note(f"{prediction} {small} is enlarged to {true.shape} by nearest neighbour.")
    scores = metrics.per_class(pred, true, ignore=ignore)
    rows = {
        int(label): {"iou": float(iou), "mba": float(mba), "in_truth": bool(in_truth)}
        for label, iou, mba, in_truth in zip(*scores, strict=True)
    }
    in_pred = metrics.labels_of(pred)
    in_truth = [label for label, row in rows.items() if row["in_truth"]]
    if not quiet and len(in_pred) == len(in_truth) and in_pred != in_truth:
        note(
            f"PRED has labels {listed(in_pred)}, TRUTH has {listed(in_truth)}: only equal labels "
            "are the same class."
        )
    means = {k: _mean([rows[label][k] for label in in_truth]) for k in ("iou", "mba")}
    if as_json:
        say_json({"classes": rows, "mean": means})
        return
    if quiet:
        return
    table = Table("class", "IoU [%]", "mBA [%]")
    for label, row in islice(rows.items(), _MOST_ROWS):
        name = str(label) if row["in_truth"] else f"{label} (not in TRUTH)"
        table.add_row(name, percent(row["iou"]), percent(row["mba"]))
    if len(rows) > _MOST_ROWS:
        table.add_row(f"... {len(rows) - _MOST_ROWS} more: --json has all", "", "")
    table.add_row("mean over TRUTH", percent(means["iou"]), percent(means["mba"]))
    say(table)


def _enlarged(labels: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    larger = labels.shape[0] > shape[0] or labels.shape[1] > shape[1]
    if larger or not validate.same_aspect(labels.shape, shape):
        raise InvalidInput(
            f"PRED has shape {labels.shape}, TRUTH has {shape}; PRED must have the same shape, or "
            "be smaller with the same aspect ratio."
        )
    coarse = label_classes("PRED", labels)
    assert coarse.classes is not None
    enlarged: NDArray[Any] = coarse.values[
        backends.select("auto").upsample_labels(coarse.classes, all_of(shape, coarse.shape))
    ]
    return enlarged


def _mean(values: list[Any]) -> float:
    known = [v for v in values if not isnan(v)]
    return float(np.mean(known)) if known else nan
