"""``python -m benchmarks.report a.json [b.json ...] [-o FILE]``: the suites' JSON as one table.

Three tables: all contestants, with the ratio of their times to hdseg_gpu's on all cores; the stages
of refine() by size; the targets, and whether the worst group meets them.
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.names import OURS
from benchmarks.targets import Group, Record, Verdict, groups_of, verdicts

_DASH = "-"


def read(contents: Iterable[dict[str, Any]]) -> list[Record]:
    """Return the records of pytest-benchmark's JSON."""
    return [
        Record(
            group=found["group"],
            contestant=found["extra_info"]["contestant"],
            seconds=found["stats"]["median"],
            shortest=found["stats"]["min"],
            longest=found["stats"]["max"],
            rounds=found["stats"]["rounds"],
            facts=found["extra_info"],
        )
        for content in contents
        for found in content["benchmarks"]
    ]


def report(contents: Sequence[dict[str, Any]]) -> str:
    """Return the whole report in Markdown."""
    records = read(contents)
    groups = groups_of(records)
    machines = dict.fromkeys(content["machine_info"]["described"] for content in contents)
    parts = [
        "# pytest benchmarks",
        *machines,
        contestants(groups),
        "## refine(), microseconds for each unknown pixel",
        growth(groups),
        "## Targets",
        "A target is met if the worst group meets it.",
        targets(verdicts(records)),
    ]
    return "\n\n".join(parts) + "\n"


def contestants(groups: dict[str, Group]) -> str:
    """Return the table of all contestants."""
    rows = []
    for name, group in groups.items():
        for record in group.values():
            facts = record.facts
            error, different = facts.get("error"), facts.get("different")
            ratio = record.seconds / group[OURS].seconds if OURS in group else None
            rows.append([
                name,
                record.contestant,
                f"{record.seconds:.3g}",
                f"{record.shortest:.3g} - {record.longest:.3g}" if record.rounds > 1 else _DASH,
                f"{record.rate:.3g} {facts['unit']}/s",
                _DASH if error is None else f"{error:.1e}",
                _DASH if different is None else str(different),
                f"{facts['peak_mib']:.0f}",
                _DASH if ratio is None else f"{ratio:.3g}",
                _remarks(facts),
            ])  # fmt: skip
    return table(
        ["group", "contestant", "median [s]", "min - max", "rate", "true error",
         "pixels that differ from ours", "peak [MiB]", "time / ours", "remarks"], rows,
    )  # fmt: skip


def growth(groups: dict[str, Group]) -> str:
    """Return the table of refine()'s stages."""
    found = [g[OURS] for g in groups.values() if OURS in g and g[OURS].facts["kind"] == "refine"]
    found.sort(key=lambda r: (r.facts["gamma"], r.facts["series"] != "blobs", r.facts["mpx"]))
    names = list(dict.fromkeys(n for r in found for n in r.facts["stages"] if n != "total"))
    rows = []
    for record in found:
        facts, unknowns = record.facts, record.facts["unknowns"]
        stages = [f"{1e6 * facts['stages'].get(name, 0.0) / unknowns:.3f}" for name in names]
        rows.append([
            facts["case"], f"{facts['gamma']:g}", f"{facts['mpx']:.1f}", f"{unknowns / 1e6:.2f}",
            f"{record.seconds:.3g}", f"{1e6 * record.seconds / unknowns:.3f}", *stages,
        ])  # fmt: skip
    return table(["case", "gamma", "Mpx", "M unknowns", "seconds", "all", *names], rows)


def targets(found: list[Verdict]) -> str:
    """Return the table of targets."""
    rows = [
        [
            verdict.target,
            _DASH if verdict.worst is None else f"{verdict.worst:.3g}",
            _DASH if verdict.best is None else f"{verdict.best:.3g}",
            str(verdict.groups),
            {True: "yes", False: "no", None: "not measured"}[verdict.met],
        ]
        for verdict in found
    ]
    return table(["target", "worst", "best", "groups", "reached"], rows)


def _remarks(facts: dict[str, Any]) -> str:
    said = []
    if "scaled" in facts:
        said.append(f"measured {facts['scaled']}")
    if "solver" in facts:
        said.append(facts["solver"])
    if "iterations" in facts:
        said.append(f"{facts['iterations']} iterations")
    return "; ".join([*said, *facts.get("warnings", [])])


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    """Print the report, or write it to a file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument("json", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    text = report([json.loads(path.read_text()) for path in given.json])
    if given.output is None:
        print(text, end="")
    else:
        given.output.write_text(text)


if __name__ == "__main__":
    main()
