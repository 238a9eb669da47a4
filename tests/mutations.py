"""Mutation testing: plants the faults of ``faults.py`` and counts those that tests notice.

``nox -s mutation``, or ``python -P tests/mutations.py [words of a fault ...]`` in an environment
with the tests' packages. Each fault is planted alone in a copy of the package, and its tests are
run there. Fails if the text of a fault is not found (stale), or if more than a tenth of the faults
survive. ``--sample N --seed S`` plants faults drawn at random (``sampled_faults.py``) instead; then
the share that is noticed comes with Wilson's interval for that of all such faults.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from math import sqrt
from pathlib import Path
from time import monotonic

TESTS = Path(__file__).resolve().parent
sys.path.insert(0, str(TESTS))

from faults import FAULTS, Fault  # noqa: E402
from sampled_faults import drawn  # noqa: E402

PACKAGE = TESTS.parent / "hdseg_gpu"
TIMEOUT, TIMED_OUT = 600, -1  # seconds, at least; a fault that makes a run hang is noticed
SHARE = 0.9  # of the faults that must be noticed


def main(arguments: list[str]) -> int:
    """Plant faults of the list, or drawn ones; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", help="all of which the name of a fault must have")
    parser.add_argument("--sample", type=int, metavar="N", help="plant N faults drawn at random")
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args(arguments)
    faults = FAULTS if given.sample is None else drawn(PACKAGE, given.sample, given.seed)
    chosen = [f for f in faults if all(word in f.name for word in given.words)]
    stale = [f for f in chosen if source(f).count(f.text) != 1]
    for each in stale:
        print(f"stale     {each.name}: {each.file} has {each.text!r} not exactly once")
    chosen = [f for f in chosen if f not in stale]
    with tempfile.TemporaryDirectory(prefix="hdseg-faults-") as folder:
        places = [Path(folder) / str(i) for i in range(max(1, (os.cpu_count() or 2) // 2))]
        for place in places:
            shutil.copytree(installed(), place / "hdseg_gpu")
        began = monotonic()
        every = tuple(dict.fromkeys(test for each in chosen for test in each.tests))
        if run(places[0], every, None):
            print("The tests fail without any fault.")
            return 2
        # On a busy machine all tests together may take long: they do not hang.
        limit = max(TIMEOUT, 3 * (monotonic() - began))
        free = list(places)

        def planted(each: Fault) -> int:
            place = free.pop()
            path, text = place / "hdseg_gpu" / each.file, source(each)
            path.write_text(text.replace(each.text, each.instead))
            try:
                return run(place, each.tests, limit)
            finally:
                path.write_text(text)
                free.append(place)

        verdicts = {0: "SURVIVED", 1: "noticed", TIMED_OUT: "noticed"}
        found = []
        with ThreadPoolExecutor(len(places)) as pool:
            for each, status in zip(chosen, pool.map(planted, chosen), strict=True):
                found.append(verdicts.get(status, "BROKEN"))
                print(f"{found[-1]:9} {each.name}", flush=True)
    noticed = found.count("noticed")
    low, high = wilson(noticed, len(found))
    of_all = "" if given.sample is None else f", 95 % interval {low:.0%} to {high:.0%}"
    print(f"{noticed} of {len(found)} faults are noticed "
          f"({noticed / max(len(found), 1):.0%}{of_all}); {len(stale)} are stale.")  # fmt: skip
    return int(bool(stale) or "BROKEN" in found or noticed < SHARE * len(found))


def wilson(noticed: int, count: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of a share, from a sample of it."""
    if not count:
        return 0.0, 1.0
    z, share = 1.96, noticed / count
    center = share + z**2 / (2 * count)
    half = z * sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    whole = 1 + z**2 / count
    return max(0.0, (center - half) / whole), min(1.0, (center + half) / whole)


def source(each: Fault) -> str:
    """Return the file of a fault as it is, empty if there is none any more."""
    path = PACKAGE / each.file
    return path.read_text() if path.exists() else ""


def installed() -> Path:
    """Return the package with its compiled modules, wherever Python finds it from here."""
    code = "import hdseg_gpu; print(hdseg_gpu.__path__[0])"
    return Path(subprocess.check_output([sys.executable, "-P", "-c", code], text=True).strip())


def run(place: Path, tests: tuple[str, ...], limit: float | None) -> int:
    """Run tests against the package in a folder until one fails; return pytest's exit status.

    limit: seconds after which it is TIMED_OUT, None for ever.
    """
    chosen = []
    for test in tests:
        suite, colons, name = test.partition("::")
        room, _, file = suite.rpartition("/")
        chosen.append(f"tests/{room}/test_{file}.py{colons}{name}")
    path = os.pathsep.join(filter(None, (str(place), os.environ.get("PYTHONPATH"))))
    try:
        return subprocess.run(
            [sys.executable, "-P", "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider",
             f"--basetemp={place}/tests", *chosen],
            env=os.environ | {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
            cwd=TESTS.parent, capture_output=True, check=False, timeout=limit,
        ).returncode  # fmt: skip
    except subprocess.TimeoutExpired:
        return TIMED_OUT


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
