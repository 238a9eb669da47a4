"""Summaries and Markdown tables of the records of ``benchmarks.accuracy``."""

from collections.abc import Iterable, Sequence
from statistics import fmean, median
from typing import Any

from benchmarks.accuracy_items import TASKS
from benchmarks.accuracy_measure import NAMES, Record
from benchmarks.accuracy_methods import METHODS
from benchmarks.report import table

_DASH = "-"
_EXPLAINED = (
    "Gains over nearest upsampling in points of IoU / mBA, means over the items (of an item: over "
    "its classes); in brackets the worst change of IoU."
)


def gain(record: Record) -> tuple[float, float]:
    """Return a method's gain over nearest upsampling: IoU and mBA in points."""
    iou, mba = (100 * (record["after"][name] - record["before"][name]) for name in NAMES)
    return iou, mba


def summaries(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Return a summary for each task and method; loose truths are left out."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if record["exact"]:
            groups.setdefault((record["task"], record["method"]), []).append(record)
    return [_summary(task, method, group) for (task, method), group in groups.items()]


def report(content: dict[str, Any], per_item: str = "default") -> str:
    """Return the whole report in Markdown."""
    records = content["records"]
    parts = ["# Accuracy", *content["machines"], _EXPLAINED, summary_table(records)]
    loose = [r for r in records if not r["exact"]]
    if loose:
        parts += ["## Truth drawn loosely", "Not included in the means and worst cases above.",
                  items_table(loose, by="method")]  # fmt: skip
    chosen = [r for r in records if r["method"] == per_item]
    if chosen:
        parts += [f"## Items: {per_item}", items_table(chosen, by="item")]
    parts += ["## Items: nearest upsampling, IoU / mBA", items_table(_starts(records), by="item")]
    problems = _problems(records)
    if problems:
        parts += ["## Failed or skipped", "\n".join(problems)]
    return "\n\n".join(parts) + "\n"


def summary_table(records: Sequence[Record]) -> str:
    """Return a table of methods by tasks."""
    found = {(s["task"], s["method"]): s for s in summaries(records)}
    tasks, methods = _ordered(records)
    starts = {s["task"]: s for s in reversed(found.values())}
    rows = [["nearest, absolute", *(_start(starts.get(task)) for task in tasks), _DASH]]
    for method in methods:
        cells = [_cell(found.get((task, method))) for task in tasks]
        rates = [r["seconds"] / r["mpx"] for r in records
                 if r["method"] == method and r["status"] == "ok"]  # fmt: skip
        rows.append([method, *cells, f"{median(rates):.2g}" if rates else _DASH])
    counts = [f"{task} ({starts[task]['items']})" if task in starts else task for task in tasks]
    return table(["method (items)", *counts, "s / Mpx"], rows)


def items_table(records: Sequence[Record], by: str) -> str:
    """Return a table of gains with tasks as columns, and items or methods as rows."""
    tasks, _ = _ordered(records)
    cells = {(r[by], r["task"]): r for r in records}
    names = dict.fromkeys(r[by] for r in records)
    return table(
        [by, *tasks],
        [[name, *(_item_cell(cells.get((name, task))) for task in tasks)] for name in names],
    )


def _summary(task: str, method: str, group: list[Record]) -> dict[str, Any]:
    found = [r for r in group if r["status"] == "ok"]
    summary: dict[str, Any] = {
        "task": task,
        "method": method,
        "items": len(group),
        "done": len(found),
        "before": {name: fmean(r["before"][name] for r in group) for name in NAMES},
    }
    if not found:
        return summary
    gains = {r["item"]: gain(r) for r in found}
    worst = min(gains, key=lambda item: gains[item][0])
    return summary | {
        "after": {name: fmean(r["after"][name] for r in found) for name in NAMES},
        "gain": [fmean(g[i] for g in gains.values()) for i in (0, 1)],
        "worst": [gains[worst][0], worst],
        "seconds_per_mpx": median(r["seconds"] / r["mpx"] for r in found),
    }


def _ordered(records: Iterable[Record]) -> tuple[list[str], list[str]]:
    """Return the tasks and methods that occur, in the order in which they are registered."""
    tasks, methods = ({r[name] for r in records} for name in ("task", "method"))
    return [t for t in TASKS if t in tasks], [m for m in METHODS if m in methods]


def _starts(records: Iterable[Record]) -> list[Record]:
    """Return one record per item and task, for the metrics before refinement."""
    nothing = dict.fromkeys(NAMES, 0.0)
    return [{**r, "status": "start", "after": r["before"], "before": nothing} for r in records]


def _start(summary: dict[str, Any] | None) -> str:
    if summary is None:
        return _DASH
    return " / ".join(f"{100 * summary['before'][name]:.2f}" for name in NAMES)


def _cell(summary: dict[str, Any] | None) -> str:
    if summary is None or "gain" not in summary:
        return _DASH
    iou, mba = summary["gain"]
    worst, item = summary["worst"]
    missing = summary["items"] - summary["done"]
    return (
        f"{iou:+.2f} / {mba:+.2f} ({worst:+.2f} {item})"
        + (f", {missing} failed" if missing else "")
    )  # fmt: skip


def _item_cell(record: Record | None) -> str:
    if record is None or "after" not in record:
        return _DASH
    iou, mba = gain(record)
    return f"{iou:.2f} / {mba:.2f}" if record["status"] == "start" else f"{iou:+.2f} / {mba:+.2f}"


def _problems(records: Iterable[Record]) -> list[str]:
    """Return one line per method and reason."""
    found: dict[tuple[str, str], list[str]] = {}
    for r in records:
        if r["status"] != "ok":
            found.setdefault((r["method"], r["status"]), []).append(f"{r['task']} {r['item']}")
    return [
        f"* {method}: {status} ({where[0]}{f' and {len(where) - 1} more' if where[1:] else ''})"
        for (method, status), where in found.items()
    ]
