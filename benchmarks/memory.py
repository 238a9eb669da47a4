"""Peak memory compared with max_memory, for all formats, kinds of maps and budgets.

``python -m benchmarks.memory [--formats tif,png] [--kinds ideal] [--repeat 2]`` prints a table in
Markdown. Images have (repeat * 2296) x (repeat * 2600) pixels.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.machine import describe

sys.path.append(str(Path(__file__).parents[1] / "tests"))
import memory_cases  # the same cases as in the tests

MIB = 1 << 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 1 if any run took more than its budget."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--formats", default=",".join(memory_cases.FORMATS))
    parser.add_argument("--kinds", default=",".join(memory_cases.KINDS))
    parser.add_argument("--repeat", type=int, default=2)
    chosen = parser.parse_args(arguments)
    print(describe(), end="\n\n")
    print("| format | map | max_memory MiB | peak MiB | s | outcome |")
    print("|---|---|---:|---:|---:|---|")
    over = 0
    for form in chosen.formats.split(","):
        for kind in chosen.kinds.split(","):
            if memory_cases.applies(form, kind):
                over += _measured(form, kind, chosen.repeat)
    print(f"\n{over} runs over their budget")
    return int(over > 0)


def _measured(form: str, kind: str, repeat: int) -> int:
    """Print the rows of a format and kind; return the number of runs over their budget."""
    over = 0
    with TemporaryDirectory() as name:
        folder = Path(name)
        image, coarse = memory_cases.build(folder, form, kind, repeat)
        for mib in memory_cases.BUDGETS:
            found = memory_cases.run(image, coarse, folder / f"out{mib}.npy", mib * MIB)
            outcome = "refused" if found.refused else f"done, doubt {found.doubt:.1f}"
            if found.peak > mib * MIB:
                outcome, over = f"OVER ({outcome})", over + 1
            print(
                f"| {form} | {kind} | {mib} | {found.peak / MIB:.0f} | {found.seconds:.2f} "
                f"| {outcome} |",
                flush=True,
            )
    return over


if __name__ == "__main__":
    raise SystemExit(main())
