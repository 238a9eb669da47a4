"""IoU and boundary accuracy of a method on an item, before and after, and its seconds.

A record is a dict that is written to the JSON unchanged. Values are in [0, 1]; those of an item are
means over its evaluated classes.
"""

import warnings
from collections.abc import Iterable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy_items import TASKS, Item, judged
from benchmarks.accuracy_methods import METHODS
from benchmarks.accuracy_pieces import Skipped, nearest
from hdseg_gpu import RefinementWarning, metrics

Record = dict[str, Any]
Key = tuple[str, str, str]
NAMES = ("iou", "mba")


def key_of(record: Record) -> Key:
    """Return the key of a record: task, item, method."""
    return record["task"], record["item"], record["method"]


def measure(task: str, folder: Path, methods: Iterable[str]) -> list[Record]:
    """Return a record for each method; no records if the folder has no item of this task."""
    warnings.simplefilter("ignore", RefinementWarning)
    item = TASKS[task](folder)
    if item is None:
        return []
    before = quality(nearest(item), item)
    return [_run(item, method, before) for method in methods]


def quality(labels: NDArray[Any], item: Item) -> dict[str, Any]:
    """Return the mean metrics, and those of each evaluated class."""
    classes = {
        str(k): {
            "iou": metrics.iou(labels, item.truth, label=k, ignore=item.ignore),
            "mba": metrics.mean_boundary_accuracy(labels, item.truth, label=k, ignore=item.ignore),
        }
        for k in judged(item.truth, item.ignore)
    }
    means = {name: float(np.mean([c[name] for c in classes.values()])) for name in NAMES}
    return {**means, "classes": classes}


def _run(item: Item, method: str, before: dict[str, Any]) -> Record:
    record: Record = {
        "task": item.task,
        "item": item.name,
        "method": method,
        "exact": item.exact,
        "mpx": item.truth.size / 1e6,
        "scale": item.scale,
        "before": before,
    }
    start = perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            labels = METHODS[method](item)
    except Skipped as reason:
        return record | {"status": f"skipped: {reason}"}
    except Exception as problem:  # a baseline that fails is a result
        return record | {"status": f"failed: {type(problem).__name__}: {problem}"}
    seconds = perf_counter() - start
    return record | {"status": "ok", "seconds": seconds, "after": quality(labels, item)}
