"""``python -m benchmarks.gpu_summary FOLDER``: a one-page summary of benchmarks/gpu_proof.sh.

Made from the logs and JSON files of the steps that ran; missing steps are listed.
"""

import argparse
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import gpu_counts, gpu_outcomes, gpu_processes
from benchmarks.gpu_card import sentence
from benchmarks.gpu_kernels import NOTES, markdown
from benchmarks.gpu_table import Row, number
from benchmarks.report import table

_MOST_REASONS = 12
_LEAST_SHARE = 0.01  # of the kernels' total time, for a line of its own in the table
_TIMEOUTS = {124: "ran out of time", 137: "ran out of time, and was killed"}


class Step(NamedTuple):
    """A step of the plan, and its outcome."""

    call: str
    name: str
    status: int | None = None
    seconds: int = 0
    source: str = ""

    @property
    def outcome(self) -> str:
        """Return the outcome in words."""
        if self.status is None:
            return "not run"
        if self.status == 0:
            return "done"
        return _TIMEOUTS.get(self.status, f"ended with {self.status}")


def main() -> None:
    """Write summary.md into the folder."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_summary", description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    (folder / "summary.md").write_text(summary(folder))
    print(f"{folder / 'summary.md'}")


def summary(folder: Path) -> str:
    """Return the page."""
    steps = steps_of(folder)
    measured = _json(folder / "gpu.json")
    rows = [Row(**row) for row in measured.get("rows", [])]
    parts = ["# The backend cuda on a card", *_card(measured), "## Steps", _steps(folder, steps)]
    sources = sorted({step.source for step in steps if step.source})
    if len(sources) > 1:
        parts.append(f"**Steps are of different sources: {', '.join(sources)}.**")
    parts += ["## Agreement with the CPU", *_tests(folder, steps), *_labels(rows)]
    parts += ["## Targets", measured.get("reached") or "Nothing was measured."]
    beside = gpu_processes.markdown(folder / "processes.json")
    parts += ["## Several processes on one card", beside or "Not measured."]
    if rows:
        parts += ["## refine()", _refined(rows), "## The first call", _starts(rows)]
        counted = gpu_counts.markdown(rows)
        parts += ["## Counts of small calls", counted or "Not measured."]
        parts += [gpu_counts.NOTES if counted else ""]
        copy = next((row.rate for row in rows if row.section == "copy"), None)
        kernels = markdown(rows, copy, _LEAST_SHARE)
        parts += ["## Kernels", kernels or "Not measured.", NOTES if kernels else "", _copies(rows)]
        parts += _without_figures(rows)
    return "\n\n".join(part for part in parts if part) + "\n"


def steps_of(folder: Path) -> list[Step]:
    """Return all steps of the plan with their last outcome."""
    ended = {}
    for name, status, seconds, source in _lines(folder / "steps.tsv", 4):
        ended[name] = int(status), int(seconds), source
    return [Step(call, name, *ended.get(name, ())) for call, name in _lines(folder / "plan.tsv", 2)]


def _card(measured: dict[str, Any]) -> list[str]:
    if not measured:
        return ["No card is described: there is no gpu.json."]
    described = measured["described"]
    said = [sentence(described).replace("|", "/")]
    if described.get("card", {}).get("name") == "executor":
        said.insert(0, "**A dry run on the tests' executor: no time here is a card's.**")
    return said


def _steps(folder: Path, steps: list[Step]) -> str:
    cells = [
        [s.call, s.name, s.outcome, "-" if s.status is None else str(s.seconds), _last(folder, s)]
        for s in steps
    ]
    return table(["call", "step", "", "seconds", "last log line"], cells)


def _last(folder: Path, step: Step) -> str:
    log = folder / f"{step.name}.log"
    if step.status is None or not log.exists():
        return "-"
    text = log.read_text(errors="replace")
    summaries = re.findall(
        r"^=+ (?:ERROR|RACECHECK) SUMMARY: .*$", text, re.M
    )  # compute-sanitizer's
    lines = summaries or [line for line in text.splitlines() if line.strip()] or ["-"]
    return lines[-1].strip(" =").replace("|", "/")[:100]


def _tests(folder: Path, steps: list[Step]) -> list[str]:
    cells, reasons, failed = [], Counter[str](), []
    for step in steps:
        file = folder / f"{step.name}.jsonl"
        if not file.exists():
            continue
        found = gpu_outcomes.read(file)
        count = Counter(test["outcome"] for test in found)
        cells.append([
            step.name,
            *(str(count[k]) for k in ("passed", "failed", "skipped")),
            str(count[gpu_outcomes.BEGUN] + count[gpu_outcomes.LOST]),
        ])  # fmt: skip
        failed += [
            f"* {test['outcome']}: `{test['test']}`: {test['reason']}"
            for test in found
            if test["outcome"] in ("failed", gpu_outcomes.BEGUN, gpu_outcomes.LOST)
        ]
        reasons.update(test["reason"] for test in found if test["outcome"] == "skipped")
    if not cells:
        return ["No tests have run."]
    skipped = [f"{count} x {reason}" for reason, count in reasons.most_common(_MOST_REASONS)]
    return [
        table(["tests", "passed", "failed", "skipped", "unfinished"], cells),
        "\n".join(failed[:_MOST_REASONS]),
        f"and {len(failed) - _MOST_REASONS} more" if len(failed) > _MOST_REASONS else "",
        f"Skipped: {'; '.join(skipped)}." if skipped else "",
    ]


_DIFFERENCES = ("labels that differ", "pixels that differ after one pass")


def _labels(rows: list[Row]) -> list[str]:
    cells = [
        [row.name, _mpx(row), key, str(row.remarks[key]),
         str(row.remarks.get("uncertified", "-"))]
        for row in rows
        for key in _DIFFERENCES
        if key in row.remarks
    ]  # fmt: skip
    if not cells:
        return ["No labels were compared by the benchmark."]
    return [table(["compared with", "Mpx", "", "number", "uncertified pixels"], cells)]


def _refined(rows: list[Row]) -> str:
    cells = [
        [row.name, _mpx(row), number(row.seconds), f"{number(row.rate or 0)} {row.unit}",
         "-" if row.memory is None else f"{row.memory / 2**20:.0f}"]
        for row in rows
        if row.section == "refine" and row.seconds is not None
    ]  # fmt: skip
    return table(["from", "Mpx", "seconds", "rate", "memory [MiB]"], cells)


def _starts(rows: list[Row]) -> str:
    names = ("import CuPy", "context", "import hdseg_gpu", "first refine", "second refine")
    cells = [
        [row.name, *(number(row.remarks[n]) if n in row.remarks else "-" for n in names)]
        for row in rows
        if row.section == "start" and row.measured
    ]
    return table(["seconds", *names], cells)


def _copies(rows: list[Row]) -> str:
    said = [
        f"{row.name} {number(row.rate or 0)} {row.unit}"
        for row in rows
        if row.section == "copy" and row.measured
    ]
    return f"Copies: {'; '.join(said)}." if said else ""


def _without_figures(rows: list[Row]) -> list[str]:
    said = [
        f"* {row.section}, {row.name}, {_mpx(row)} Mpx: {' '.join((row.skipped or '').split())}"
        for row in rows
        if not row.measured
    ]
    return ["## Not measured", "\n".join(said)] if said else []


def _mpx(row: Row) -> str:
    return "-" if row.mpx is None else f"{row.mpx:g}"


def _json(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return found


def _lines(file: Path, fields: int) -> list[list[str]]:
    """Return the fields of a file's lines; incomplete lines are ignored."""
    text = file.read_text() if file.exists() else ""
    found = [line.split("\t") for line in text.splitlines()]
    return [line for line in found if len(line) == fields]


if __name__ == "__main__":
    main()
