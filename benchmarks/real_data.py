"""The command line on every real image: seconds, unknown pixels, IoU and mBA before and after.

Metrics are means over the classes of each truth, as printed by ``hdseg evaluate``.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.machine import data_folder, describe


def hdseg(*arguments: str) -> dict[str, Any]:
    """Run one command in its own process, and return its JSON."""
    command = [str(Path(sys.executable).with_name("hdseg")), *arguments, "--json", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def row(image: Path, coarse: Path, truth: Path | None, out: Path) -> str:
    """Return one line of the table."""
    start = perf_counter()
    report = hdseg("refine", str(image), str(coarse), "-o", str(out), "--overwrite")
    seconds = perf_counter() - start
    height, width = report["shape"]
    share = 100 * report["unknown_pixels"] / (height * width)
    cells = [
        f"{image.parent.name}/{coarse.name}",
        f"{width}x{height}",
        f"{len(report['labels'])}",
        f"{report['scale']:.1f}",
        f"{share:.1f}",
        report["solver"],
        f"{report['seconds']['total']:.2f} / {seconds:.2f}",
    ]
    if truth is not None:
        for mask in (coarse, out):
            ignored = ("--ignore", "255") if "vistas" in str(truth) else ()
            mean = hdseg("evaluate", str(mask), str(truth), *ignored)["mean"]
            cells.append(" / ".join("-" if v is None else f"{100 * v:.2f}" for v in mean.values()))
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Print the table."""
    data = data_folder()
    print(describe())
    print("| item | size | classes | scale | unknown % | solver | seconds: stages / process "
          "| before IoU / mBA | after |\n|" + "---|" * 9)  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "mask.png"
        for item in sorted(p.parent for s in ("dev", "silver_dev", "net_only")
                           for p in (data / s).glob("*/image.*")):  # fmt: skip
            image = next(item.glob("image.*"))
            truth: Path | None = item / "mask.png"
            if (item / "mask_pascal_subset.png").exists():
                truth = item / "mask_pascal_subset.png"
            elif not (item / "mask.png").exists():
                truth = None
            # Without a network's output the truth itself is the coarse map: it must not change.
            coarse = item / "coarse.png" if (item / "coarse.png").exists() else item / "mask.png"
            print(row(image, coarse, truth, out), flush=True)


if __name__ == "__main__":
    main()
