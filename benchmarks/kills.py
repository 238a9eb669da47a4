"""Kill runs with SIGKILL in all of their phases, resume them, and compare their outputs.

``python -m benchmarks.kills --rounds 100 --seed 7`` refines an image with a coarse map that is
doubted, kills the command in one phase after the other, resumes it each time, and compares the
output with that of an undisturbed run. It fails if any byte differs, a run cannot be resumed, or
anything is left beside the output.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

START = "import sys; from hdseg_gpu.cli import main; sys.exit(main())"
PHASES = (
    "start", "statistics", "seeds0", "measure", "redraw0", "seeds1", "redraw1", "seeds2", "redraw2",
    "seeds3", "tiles", "writing", "naming", "tidying",
)  # fmt: skip
LONGEST = 0.03  # the longest delay in seconds between reaching a phase and the kill


def scene(folder: Path, side: int) -> list[str]:
    """Write an image and a coarse map shifted by two pixels; return the command's arguments."""
    rng = np.random.default_rng(1701)
    y, x = np.mgrid[:side, :side] % 512
    truth = (y - 230) ** 2 + (x - 280) ** 2 < 150**2
    image = np.where(truth, 150, 90) + rng.normal(0, 9, truth.shape)
    coarse = truth.reshape(side // 8, 8, side // 8, 8).mean(axis=(1, 3)) > 0.5
    np.save(folder / "image.npy", image.clip(0, 255).astype(np.uint8))
    np.save(folder / "coarse.npy", np.roll(coarse, (2, 2), (0, 1)).astype(np.uint8))
    return ["refine", str(folder / "image.npy"), str(folder / "coarse.npy"), "--tile", "2048",
            "--quiet"]  # fmt: skip


def started(line: list[str]) -> "subprocess.Popen[str]":
    """Start the command."""
    return subprocess.Popen(
        [sys.executable, "-c", START, *line], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
        text=True,
    )  # fmt: skip


def reached(output: Path) -> str:
    """Return the phase of a run, from its files on disk."""
    workspace = output.with_name(f".{output.name}.hdseg")
    try:
        names = {path.name for path in workspace.iterdir()}
    except FileNotFoundError:
        return "ended" if output.exists() else "start"
    if output.exists():
        return "tidying"
    if "named.json" in names:
        return "naming"
    if any(name.startswith(("output", ".hdseg-")) for name in names):
        return "writing"
    return next((phase for phase in reversed(PHASES) if phase in names), "start")


def killed(line: list[str], output: Path, phase: str, delay: float) -> str | None:
    """Kill the command when a phase is reached; return its phase, None if it finished before."""
    with started(line) as child:
        while child.poll() is None and PHASES.index(_before_end(output)) < PHASES.index(phase):
            time.sleep(0.0003)
        time.sleep(delay if phase != "start" else 10 * delay)
        child.kill()
        said = child.communicate()[1]
    if child.returncode == 0:
        return None
    if child.returncode != -9:
        raise SystemExit(f"a run failed by itself: {said}")
    return reached(output)


def _before_end(output: Path) -> str:
    phase = reached(output)
    return PHASES[-1] if phase == "ended" else phase


def main() -> None:
    """Count kills by phase, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="kills")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--side", type=int, default=2304, help="pixels, a multiple of 8")
    parser.add_argument("--output", default="mask.tif", help="a name, for its format")
    options = parser.parse_args()
    rng, kills, chains = random.Random(options.seed), Counter[str](), 0
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    try:
        line = scene(folder, options.side)
        expected = finished(line, folder / "expected" / options.output)
        while kills.total() < options.rounds:
            output = folder / str(chains) / options.output
            output.parent.mkdir()
            chain(line, output, options.rounds, rng, kills)
            if content(output) != expected or list(output.parent.iterdir()) != [output]:
                raise SystemExit(f"chain {chains} differs, or left something: {output.parent}")
            shutil.rmtree(output.parent)
            chains += 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    counts = ", ".join(f"{phase} {kills[phase]}" for phase in (*PHASES, "ended") if kills[phase])
    print(f"{kills.total()} kills in {chains} chains, all identical: {counts}")


def finished(line: list[str], output: Path) -> dict[str, bytes]:
    """Run the command without a kill; return its output."""
    output.parent.mkdir()
    full = [*line, "-o", str(output), "--json"]
    done = subprocess.run([sys.executable, "-c", START, *full], check=True, stdout=subprocess.PIPE)
    if not json.loads(done.stdout)["doubt"]:
        raise SystemExit("the coarse map is not doubted: there would be no rounds to kill")
    return content(output)


def content(output: Path) -> dict[str, bytes]:
    """Return the bytes of all files of an output."""
    files = [p for p in (output, *output.rglob("*")) if p.is_file()]
    return {str(p.relative_to(output.parent)): p.read_bytes() for p in files}


def chain(
    line: list[str], output: Path, rounds: int, rng: random.Random, kills: "Counter[str]"
) -> None:
    """Kill one run in each phase, and resume it until it is complete."""
    full = [*line, "-o", str(output)]
    for phase in PHASES:
        if kills.total() == rounds:
            break
        more = ["--resume"] if reached(output) != "start" else []
        where = killed([*full, *more], output, phase, LONGEST * rng.random() ** 2)
        if where is None:
            return
        kills[where] += 1
        if where == "ended":
            return  # its folder is gone: it is complete
    more = ["--resume"] if output.with_name(f".{output.name}.hdseg").exists() else []
    with started([*full, *more]) as child:
        said = child.communicate()[1]
    if child.returncode and "nothing is left to do" not in said:
        raise SystemExit(f"a run could not be resumed: {said}")


if __name__ == "__main__":
    main()
