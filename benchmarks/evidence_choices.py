"""The alternatives to the class evidence's defaults, one change at a time, with cross-validation.

Each row changes one option of ``refine``, or one constant of ``hdseg_gpu.pipeline``. Gains are over
nearest upsampling, in points of IoU / mBA, with the worst change of IoU in brackets. Finally each
image is left out in turn, and the row that the others would choose is evaluated on it.
"""

import argparse
import json
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from benchmarks import accuracy_items as tasks
from benchmarks.accuracy_measure import quality
from benchmarks.accuracy_pieces import labels_of, nearest
from benchmarks.machine import data_folder, describe
from benchmarks.report import table
from hdseg_gpu import RefinementWarning, refine
from hdseg_gpu.engine import steps
from hdseg_gpu.pipeline import colours, doubt, evidence
from hdseg_gpu.pipeline import rounds as looks_of
from hdseg_gpu.pipeline.rounds import LAST, TRUSTED, WIDE

HARM = -0.3  # points of IoU: no image may lose more
TASKS = {
    "net labels": tasks.net_labels,
    "net probabilities": tasks.net_probabilities,
    **{f"down{s} labels": partial(tasks.down, scale=s, fractions=False) for s in (4, 8, 16)},
}
Gains = dict[tuple[str, str], tuple[float, float]]  # (task, image) -> IoU, mBA


def rounds(**changes: Any) -> dict[str, Any]:
    """Return the wide rounds and the last one with a field changed: one value, or one per round."""
    looks = (*WIDE, LAST)
    for name, value in changes.items():
        values = value if isinstance(value, tuple) else (value,) * len(looks)
        looks = tuple(r._replace(**{name: v}) for r, v in zip(looks, values, strict=True))
    return {"WIDE": looks[:-1], "LAST": looks[-1]}


def settings() -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Return the settings: name -> (constants, options)."""
    constants = {
        **{f"weight of colours {w}": rounds(weight=(w, w, w, 1.5)) for w in (0.7, 0.9, 1.0, 1.3)},
        "windows 2/3": rounds(spread=tuple(r.spread * 2 / 3 for r in (*WIDE, LAST))),
        "windows 3/2": rounds(spread=tuple(r.spread * 3 / 2 for r in (*WIDE, LAST))),
        "one wide window in all rounds": rounds(spread=14.0),
        "one round and the last": {"WIDE": WIDE[:1]},
        "two rounds and the last": {"WIDE": WIDE[:2]},
        "five rounds and the last": {"WIDE": (*WIDE, *WIDE[-2:])},
        "without doubt: 4 wide": {"TRUSTED": TRUSTED._replace(passes=4.0)},
        "without doubt: windows of 2": {"TRUSTED": TRUSTED._replace(spread=2.0)},
        "without doubt: windows of 6": {"TRUSTED": TRUSTED._replace(spread=6.0)},
        "without doubt: distance counts 5": {"_TRUST_DISTANCE": 5.0},
        "without doubt: distance counts 20": {"_TRUST_DISTANCE": 20.0},
        "always doubted": {"_CONTRADICTION": (-9.0, -8.0), "MOST_DETAIL": 9.0},
        "never doubted": {"_CONTRADICTION": (8.0, 9.0)},
        "doubt by detail alone": {"_PER_DETAIL": 1e6, "_CONTRADICTION": (0.0, 1.0)},
        "doubt by contradiction alone": {"_PER_DETAIL": 0.0, "MOST_DETAIL": 9.0},
        "no wider windows": {"_LEVELS": 1},
        "ridge / 4": {"_RIDGE": 0.002},
        "ridge x 4": {"_RIDGE": 0.032},
        "prior of wider windows x 10": {"_PRIOR": 0.05},
        "majority of 5 x 5 between rounds": {"SMOOTHING": 5},
    }
    options = {
        "9x9": {"elements": "9x9"},
        "nearest": {"interpolation": "nearest"},
        "linear": {"interpolation": "linear"},
        "spurs kept": {"prune": False},
        **{f"median {m}": {"majority": m} for m in (1, 5, 7)},
        **{f"gamma {g:g}": {"gamma": g} for g in (0.01, 0.1, 10.0)},
        **{f"beta {b:g}": {"beta": b} for b in (130.0, 5000.0)},
        **{f"unsure {u:g}": {"unsure": u} for u in (0.03, 0.1)},
    }
    return {
        "default": ({}, {}),
        **{name: (changed, {}) for name, changed in constants.items()},
        **{name: ({}, changed) for name, changed in options.items()},
    }


@contextmanager
def changed(constants: dict[str, Any]) -> Iterator[None]:
    """Set constants of the pipeline temporarily, in all modules that have them."""
    with ExitStack() as stack:
        for name, value in constants.items():
            owners = [m for m in (looks_of, steps, evidence, colours, doubt) if hasattr(m, name)]
            assert owners, name
            for module in owners:
                stack.enter_context(mock.patch.object(module, name, value))
        yield


def load(data: Path) -> list[tuple[tasks.Item, dict[str, Any]]]:
    """Return the items with exact truths, with the metrics of nearest upsampling."""
    found = (make(folder) for make in TASKS.values() for folder in tasks.folders(data))
    return [(item, quality(nearest(item), item)) for item in found if item and item.exact]


def gains(items: Sequence[tuple[tasks.Item, dict[str, Any]]], options: dict[str, Any]) -> Gains:
    """Return the gains of one setting, in points."""
    rows = {}
    for item, before in items:
        given = dict(options)
        if item.coarse.ndim == 3 and given.get("interpolation") == "nearest":
            given.pop("interpolation")
        after = quality(labels_of(item, refine(item.image, item.coarse, **given)), item)
        rows[item.task, item.name] = tuple(100 * (after[k] - before[k]) for k in ("iou", "mba"))
    return rows


def cell(rows: Gains, task: str) -> str:
    """Return "IoU / mBA (worst IoU)"."""
    values = np.array([g for (of, _), g in rows.items() if of == task])
    mean = np.nanmean(values, axis=0)
    return f"{mean[0]:+.2f} / {mean[1]:+.2f} ({np.nanmin(values[:, 0]):+.2f})"


def worth(rows: Gains, without: str) -> float:
    """Return the mean gain of IoU over the tasks, less all losses of images beyond HARM."""
    kept = {key: g[0] for key, g in rows.items() if key[1] != without}
    means = [np.mean([v for (of, _), v in kept.items() if of == task]) for task in TASKS]
    harm = sum(min(0.0, v - HARM) for v in kept.values())
    return float(np.mean(means) + 10 * harm)


def left_out(found: dict[str, Gains]) -> tuple[dict[str, int], Gains]:
    """Return how often each row is chosen with one image left out, and the gains on that image."""
    pictures = sorted({name for _, name in found["default"]})
    chosen: dict[str, int] = {}
    held_out: Gains = {}
    for picture in pictures:
        best = max(found, key=lambda row: worth(found[row], picture))
        chosen[best] = chosen.get(best, 0) + 1
        held_out |= {key: g for key, g in found[best].items() if key[1] == picture}
    return chosen, held_out


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, and the rows chosen with each image left out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", nargs="+", default=[], help="parts of names")
    parser.add_argument("-o", "--output", type=Path, help="JSON, read first if it is there")
    given = parser.parse_args(arguments)
    warnings.simplefilter("ignore", RefinementWarning)
    found: dict[str, Gains] = {}
    if given.output and given.output.exists():
        stored = json.loads(given.output.read_text())
        found = {row: {(t, n): (a, b) for t, n, a, b in g} for row, g in stored.items()}
    items = load(data_folder())
    for row, (constants, options) in settings().items():
        if row in found or (given.rows and not any(part in row for part in given.rows)):
            continue
        with changed(constants):
            found[row] = gains(items, options)
        print(row, *(cell(found[row], task) for task in TASKS), sep=" | ", flush=True)
        if given.output:
            plain = {r: [[*key, *g] for key, g in rows.items()] for r, rows in found.items()}
            given.output.write_text(json.dumps(plain))
    rows: list[list[Any]] = [[row, *(cell(g, task) for task in TASKS)] for row, g in found.items()]
    print(describe(), "\n")
    print(table(["changed", *TASKS], rows))
    chosen, held_out = left_out(found)
    print("\nLeft out in turn, the others choose", chosen)
    print(table(["on the picture left out", *TASKS],
                [["gain", *(cell(held_out, task) for task in TASKS)]]))  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
