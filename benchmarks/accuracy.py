"""Accuracy of hdseg_gpu and of other training-free methods that sharpen masks.

Tasks: outputs of real networks for images with ground truth, and the ground truth itself, reduced,
which shows what a method destroys. The JSON is written after every item. --reuse skips what an
earlier JSON contains; --merge only combines files, of which later ones take precedence.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2

from benchmarks.accuracy_items import TASKS, folders
from benchmarks.accuracy_measure import Key, Record, key_of, measure
from benchmarks.accuracy_methods import METHODS, warm_up
from benchmarks.accuracy_report import report, summaries
from benchmarks.machine import data_folder, describe

Job = tuple[str, Path, list[str]]
# One thread per process, however it is started: else the libraries' times are not comparable.
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)


def merged(contents: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Merge contents; of records with the same task, item and method the last one is kept."""
    records: dict[Key, Record] = {}
    machines: dict[str, None] = {}
    for content in contents:
        machines |= dict.fromkeys(content["machines"])
        records |= {key_of(record): record for record in content["records"]}
    return {"machines": list(machines), "records": list(records.values())}


def jobs_for(
    tasks: Sequence[str], items: Sequence[Path], methods: Sequence[str], done: set[Key]
) -> list[Job]:
    """Return the remaining jobs: for each task and item the methods without a record."""
    return [
        (task, folder, left)
        for task in tasks
        for folder in items
        if (left := [m for m in methods if (task, folder.name, m) not in done])
    ]


def run(jobs: Sequence[Job], processes: int) -> Iterator[list[Record]]:
    """Yield the records of each job as it finishes."""
    os.environ.update(ONE_THREAD)
    spawn = get_context("spawn")  # a fresh process reads the environment before it loads anything
    with ProcessPoolExecutor(processes, mp_context=spawn, initializer=_start_worker) as pool:
        waiting: dict[Future[list[Record]], Job] = {pool.submit(measure, *job): job for job in jobs}
        for number, future in enumerate(as_completed(waiting), 1):
            task, folder, _ = waiting[future]
            records = future.result()
            taken = sum(r.get("seconds", 0.0) for r in records)
            print(f"{number} of {len(jobs)}: {task}, {folder.name}: {len(records)} records, "
                  f"{taken:.1f} s", file=sys.stderr, flush=True)  # fmt: skip
            yield records


def write(path: Path, content: dict[str, Any]) -> None:
    """Write the content with its summaries, atomically."""
    text = json.dumps({**content, "summaries": summaries(content["records"])}, indent=1)
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text(text + "\n")
    unfinished.replace(path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the requested jobs, write their records, and print the tables."""
    given = _parser().parse_args(arguments)
    content = merged(json.loads(path.read_text()) for path in given.merge or given.reuse)
    if not given.merge:
        content = _measured(given, content)
    if given.output:
        write(given.output, content)
    text = report(content, given.per_item)
    if given.markdown:
        given.markdown.write_text(text)
    print(text, end="")


def _measured(given: argparse.Namespace, old: dict[str, Any]) -> dict[str, Any]:
    items = [f for f in folders(data_folder()) if _chosen(f.name, given.items)]
    done = {key_of(r) for r in old["records"] if r["status"] == "ok"}
    jobs = jobs_for(given.tasks, items, given.methods, done)
    content = merged([old, {"machines": [f"{describe()}; 1 thread a process, {given.jobs} at once"],
                            "records": []}])  # fmt: skip
    for records in run(jobs, given.jobs):
        content = merged([content, {"machines": [], "records": records}])
        if given.output and records:
            write(given.output, content)
    return content


def _chosen(name: str, parts: Sequence[str]) -> bool:
    return not parts or any(part in name for part in parts)


def _start_worker() -> None:
    cv2.setNumThreads(1)
    warm_up()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS), metavar="TASK",
                        help=", ".join(TASKS))  # fmt: skip
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS),
                        metavar="METHOD", help=", ".join(METHODS))  # fmt: skip
    parser.add_argument("--items", nargs="+", default=[], metavar="PART", help="parts of names")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--per-item", default="default", choices=METHODS, metavar="METHOD",
                        help="whose gains are listed item by item")  # fmt: skip
    parser.add_argument("--reuse", nargs="+", type=Path, default=[], metavar="JSON")
    parser.add_argument("--merge", nargs="+", type=Path, metavar="JSON")
    parser.add_argument("-o", "--output", type=Path, metavar="JSON")
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    return parser


if __name__ == "__main__":
    main()
