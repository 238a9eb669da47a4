"""``python -m benchmarks.gpu [-o result.json]``: the backend cuda on a card, beside others.

One table of thinning, solving, refine() end to end, peers and the first call, and what was reached
of the targets. What cannot be measured here is a row with the reason. ``--backend cpu`` tries the
benchmark itself where there is no card.
"""

import argparse
import json
import sys
import warnings
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks import gpu_targets
from benchmarks.gpu_card import bandwidths, describe, sentence
from benchmarks.gpu_inputs import side_of
from benchmarks.gpu_peers import peers, starts
from benchmarks.gpu_rows import refining, solving, thinning
from benchmarks.gpu_runner import Runner
from benchmarks.gpu_table import Rows
from hdseg_gpu import RefinementWarning, backends

SECTIONS = ("thinning", "solve", "refine", "peers", "start")
NOTES = """\
Mpx are 2^20 pixels of a square RGB picture of uint8; Gpx/s and Mpx/s count 10^9 and 10^6 pixels.
Seconds are the median, from an idle device to an idle device, after one call that is not counted.
"of copy bandwidth": the bytes of bit planes that the simple count moves (each of the passes reads
and writes both planes once) by the time and by the bandwidth of a copy, read and written bytes
counted. It may exceed 100 %: several passes work on one tile, and tiles that do not change are left
out. Memory is what the call held at most on the device, its input not counted. Stages are of a call
of its own that waits for the device at their ends."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table, and save everything as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--megapixels", nargs="+", type=float, default=[16, 64, 256, 1024])
    parser.add_argument("--backend", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("-o", "--output", type=Path, metavar="result.json", help="default: by date")
    given = parser.parse_args(arguments)
    reason = backends.reason_against(given.backend)
    if reason is not None:
        sys.exit(reason)
    warnings.simplefilter("ignore", RefinementWarning)
    result = measure(given.backend, given.megapixels, given.only)
    output = given.output or Path(__file__).parent / "results" / f"{date.today()}-gpu.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result, indent=1) + "\n")
    print(text(result))


def measure(
    backend: str, megapixels: Sequence[float], only: Sequence[str] = SECTIONS
) -> dict[str, Any]:
    """Return the description, the rows, the targets and the table, as plain values."""
    run, rows = Runner(backend), Rows()
    copy = bandwidths(run, rows).rate
    for mpx in megapixels:
        size = side_of(mpx) ** 2 / 2**20
        for section, function in (
            ("thinning", lambda m: thinning(run, rows, m, copy)),
            ("solve", lambda m: solving(run, rows, m)),
            ("refine", lambda m: refining(run, rows, m)),
        ):
            if section in only:
                rows.guard(section, size, lambda f=function, m=size: f(m))
                run.let_go()
    if "peers" in only:
        largest = min(16.0, max(megapixels))
        rows.guard("peers", largest, lambda: peers(run, rows, largest))
        run.let_go()
    if "start" in only:
        starts(run, rows, min(1024, side_of(max(megapixels))))
    verdicts = gpu_targets.verdicts(rows.rows, run.on_card)
    return {
        "described": describe(run),
        "rows": rows.plain(),
        "targets": [verdict._asdict() for verdict in verdicts],
        "table": rows.markdown(),
        "reached": gpu_targets.markdown(verdicts),
    }


def text(result: dict[str, Any]) -> str:
    """Return what is printed."""
    parts = (sentence(result["described"]), result["table"], NOTES, result["reached"])
    return "\n\n".join(parts)


if __name__ == "__main__":
    main()
