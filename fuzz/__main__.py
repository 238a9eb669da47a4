"""``python -m fuzz``: damaged files, calls, resumed runs; exit code 1 for serious findings."""

import argparse
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic

from fuzz.findings import Report
from fuzz.monitor import Monitor, Settings, Tally, numbered

# Shares of the time, if a time is given.
_SHARES = {"files": 0.6, "calls": 0.25, "resumes": 0.15}


def main(arguments: list[str] | None = None) -> int:
    """Run the campaigns of the command line."""
    given = _parsed(arguments)
    settings = Settings(given.seed, given.timeout, int(given.memory * 2**30), given.plant)
    report = Report(given.out, settings)
    some = any(getattr(given, campaign) is not None for campaign in _SHARES)
    start = monotonic()
    for campaign, share in _SHARES.items():
        count = getattr(given, campaign)
        until = None if given.seconds is None else monotonic() + share * given.seconds
        if given.case:
            names = [each for each in given.case if each.startswith(campaign)]
            shares = [iter(names)]
        elif not count and (until is None or some):
            continue
        else:
            shares = [
                _every(numbered(campaign, given.start, count), i, given.jobs)
                for i in range(given.jobs)
            ]
        with ThreadPoolExecutor(given.jobs) as pool:
            tasks = [pool.submit(_run, settings, report, each, until) for each in shares]
            for task in tasks:
                task.result()
    print(report.summary(monotonic() - start))
    return 1 if report.serious else 0


def _parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m fuzz", description=__doc__)
    add = parser.add_argument
    add("--files", type=int, help="damaged files to try")
    add("--calls", type=int, help="calls to try")
    add("--resumes", type=int, help="changed folders of unfinished runs to try")
    add("--seconds", type=float, help="instead of numbers, or as a limit to them")
    add("--seed", type=int, default=Settings.seed)
    add("--start", type=int, default=0, help="number of the first case")
    add("--case", action="append", help="one case alone, such as files:123; may be repeated")
    add("--jobs", type=int, default=1, help="workers side by side")
    add("--timeout", type=float, default=Settings.seconds, help="seconds for one case")
    add("--memory", type=float, default=Settings.memory / 2**30, help="GiB a worker may occupy")
    add("--out", type=Path, default=Path("fuzz-findings"), help="folder for what is found")
    add("--plant", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    counts = [getattr(given, campaign) for campaign in _SHARES]
    if counts == [None] * len(_SHARES) and given.seconds is None and not given.case:
        parser.error("pass --files, --calls, --resumes, --seconds or --case")
    return given


def _every(cases: Iterator[str], first: int, step: int) -> Iterator[str]:
    """Yield each `step`-th case."""
    for i, case in enumerate(cases):
        if i % step == first:
            yield case


def _run(settings: Settings, report: Report, cases: Iterator[str], until: float | None) -> None:
    """Try the cases of one worker."""
    monitor = Monitor(settings)
    try:
        for case in monitor.run(cases, until):
            report.take(case, monitor.tally)
            monitor.tally = Tally()
    finally:
        monitor.close()


if __name__ == "__main__":
    sys.exit(main())
