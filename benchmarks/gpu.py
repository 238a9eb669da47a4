"""``python -m benchmarks.gpu [-o result.json]``: speed of the backend cuda, compared with others.

One table of thinning, solving, refine() end to end, its kernels, peers and the first call, and one
of the targets. A measurement that is impossible here becomes a row with the reason. Everything is
saved after each row; a run that finds its file continues with the rows without figures.
``--backend cpu`` tests the benchmark itself without a card.
"""

import argparse
import json
import os
import sys
import warnings
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks import gpu_counts, gpu_kernels, gpu_targets
from benchmarks.gpu_card import bandwidths, comparable, describe, sentence
from benchmarks.gpu_inputs import side_of
from benchmarks.gpu_peers import peers, starts
from benchmarks.gpu_rows import refining, solving, thinning
from benchmarks.gpu_runner import Runner
from benchmarks.gpu_table import Row, Rows
from hdseg_gpu import RefinementWarning, backends

SECTIONS = ("counts", "thinning", "solve", "refine", "kernels", "start", "peers")
NOTES = """\
Mpx are 2^20 pixels of a square RGB image of uint8; Gpx/s and Mpx/s count 10^9 and 10^6 pixels.
Seconds are the median, from an idle device to an idle device, after one warm-up call.
"of copy bandwidth": bandwidth relative to a copy, in read plus written bytes, if each pass read and
wrote both bit planes once. It may exceed 100 %: several passes work on one tile in shared memory,
and tiles that do not change are skipped. Memory is the call's peak on the device without its input.
Stages are measured in a separate call that synchronises with the device after each."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, save everything as JSON after each row, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--megapixels", nargs="+", type=float, default=[16, 64, 256, 1024])
    parser.add_argument("--backend", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--again", action="store_true", help="measure what has figures, too")
    parser.add_argument("-o", "--output", type=Path, metavar="result.json", help="default: by date")
    given = parser.parse_args(arguments)
    reason = backends.reason_against(given.backend)
    if reason is not None:
        sys.exit(reason)
    warnings.simplefilter("ignore", RefinementWarning)
    output = given.output or Path(__file__).parent / "results" / f"{date.today()}-gpu.json"
    run = Runner(given.backend)
    described = describe(run)
    rows = Rows(earlier(output, described), given.again)
    rows.changed = lambda: save(output, result(described, rows))
    rows.deferring = True  # rows that ended an earlier run come last
    measure(run, rows, given.megapixels, given.only)
    rows.deferring = False
    if rows.deferred:
        measure(run, rows, given.megapixels, given.only)
    rows.changed()
    print(text(result(described, rows)))
    failed = sum(row.failed for row in rows.rows)
    figures = sum(row.measured for row in rows.rows)
    print(f"\n{output}: {figures} of {len(rows.rows)} rows have figures, {failed} failed")
    if failed:
        sys.exit(1)


def earlier(file: Path, described: dict[str, Any]) -> list[Row]:
    """Return the rows of an earlier run on the same card with the same sources.

    A file of another card or version is renamed.
    """
    try:
        found = json.loads(file.read_text())
        rows = [Row(**row) for row in found["rows"]]
        theirs, ours = comparable(found["described"]), comparable(described)
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        sys.exit(f"{file} is not a result of this benchmark ({error!r}): move it elsewhere")
    if theirs == ours:
        kept = sum(row.measured for row in rows)
        print(f"{file} has {kept} rows with figures", file=sys.stderr)
        return rows
    differ = ", ".join(f"{k} {theirs[k]}, now {ours[k]}" for k in ours if theirs[k] != ours[k])
    old = file.with_suffix(f".{theirs['source']}.json")
    os.replace(file, old)
    print(f"starts over: {file} has figures of {differ}; renamed to {old}", file=sys.stderr)
    return []


def save(file: Path, found: dict[str, Any]) -> None:
    """Write the file atomically."""
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.write_text(json.dumps(found, indent=1) + "\n")
    os.replace(fresh, file)


def measure(
    run: Runner, rows: Rows, megapixels: Sequence[float], only: Sequence[str] = SECTIONS
) -> None:
    """Add the rows of all sections, or of some."""
    copy = bandwidths(run, rows).rate
    if "counts" in only:
        rows.guard("counts", 0.25, lambda: gpu_counts.counts(run, rows))
    for mpx in megapixels:
        size = side_of(mpx) ** 2 / 2**20
        for section, function in (
            ("thinning", lambda m: thinning(run, rows, m, copy)),
            ("solve", lambda m: solving(run, rows, m)),
            ("refine", lambda m: refining(run, rows, m)),
            ("kernels", lambda m: gpu_kernels.kernels(run, rows, m)),
        ):
            if section in only:
                rows.guard(section, size, lambda f=function, m=size: f(m))
                run.let_go()
    if "start" in only:
        starts(run, rows, min(1024, side_of(max(megapixels))))
    if "peers" in only:  # last: one of them may take as long as everything else
        largest = min(16.0, max(megapixels))
        rows.guard("peers", largest, lambda: peers(run, rows, largest))
        run.let_go()


def result(described: dict[str, Any], rows: Rows) -> dict[str, Any]:
    """Return description, rows, targets and tables as plain values."""
    verdicts = gpu_targets.verdicts(rows.rows, described["backend"] == "cuda")
    copy = [row.rate for row in rows.rows if row.section == "copy"]
    return {
        "described": described,
        "rows": rows.plain(),
        "targets": [verdict._asdict() for verdict in verdicts],
        "table": rows.markdown(),
        "kernels": gpu_kernels.markdown(rows.rows, copy[0] if copy else None),
        "reached": gpu_targets.markdown(verdicts),
    }


def text(found: dict[str, Any]) -> str:
    """Return the printed report."""
    kernels = (found["kernels"], gpu_kernels.NOTES) if found["kernels"] else ()
    parts = (sentence(found["described"]), found["table"], NOTES, *kernels, found["reached"])
    return "\n\n".join(parts)


if __name__ == "__main__":
    main()
