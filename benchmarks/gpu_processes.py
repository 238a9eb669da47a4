"""``python -m benchmarks.gpu_processes -o FILE``: several processes of refine() on one card.

One process alone, then 2 and 4 at the same time, without and with max_device_memory. The file has
their seconds, fallbacks and memory, and the number of labels that differ from the single process's.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.gpu_inputs import coarse_of, image_of
from benchmarks.gpu_runner import Runner
from benchmarks.report import table

CALLS = 3  # per process
SECONDS = 60  # timeout of a process


@dataclass
class Group:
    """The results of processes that ran at the same time."""

    processes: int
    limit: int | None  # max_device_memory, bytes
    seconds: list[list[float]] = field(default_factory=list)  # by process, by call
    fallbacks: list[str] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)  # bytes of each process's pool after its calls
    different: int = 0  # labels that differ, over all processes
    failed: str = ""


def main() -> None:
    """Run and save all groups, print the table; fail if labels differ or a process failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_processes", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--side", type=int, default=4096)
    given = parser.parse_args()
    run = Runner("cuda")
    import cupy

    total = cupy.cuda.runtime.memGetInfo()[1]
    groups: list[Group] = []
    with tempfile.TemporaryDirectory() as name:
        for count, limited in ((1, False), (2, False), (4, False), (2, True), (4, True)):
            limit = total // (count + 1) if limited else None
            groups.append(together(run.python, Path(name), given.side, count, limit))
            given.output.write_text(json.dumps([asdict(group) for group in groups], indent=1))
    print(markdown(given.output))
    if any(group.failed or group.different for group in groups):
        sys.exit("concurrent processes failed, or their labels differ")


def together(python: list[str], folder: Path, side: int, count: int, limit: int | None) -> Group:
    """Run several processes at the same time, and compare their labels with the first group's."""
    group = Group(count, limit)
    code = "import sys; from benchmarks.gpu_processes import child; child(*sys.argv[1:])"
    children = [
        subprocess.Popen(
            [*python, "-c", f"import sys; sys.path.append({str(Path.cwd())!r}); {code}",
             str(folder / f"{i}.npy"), str(side), str(limit or "")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for i in range(count)
    ]  # fmt: skip
    try:
        for process in children:
            assert process.stdout is not None
            process.stdout.readline()  # it is ready
        for process in children:
            assert process.stdin is not None
            if process.poll() is None:
                process.stdin.write("go\n")
                process.stdin.flush()
        for i, process in enumerate(children):
            said, _ = process.communicate(timeout=SECONDS)
            if process.returncode:
                group.failed = f"process {i} ended with {process.returncode}"
                continue
            found = json.loads(said.splitlines()[-1])
            group.seconds.append(found["seconds"])
            group.fallbacks += found["fallbacks"]
            group.memory.append(found["memory"])
            labels, alone = np.load(folder / f"{i}.npy"), folder / "alone.npy"
            if not alone.exists():
                np.save(alone, labels)
            group.different += int(np.count_nonzero(labels != np.load(alone)))
    except (OSError, subprocess.TimeoutExpired) as error:
        group.failed = f"{type(error).__name__}: {error}"[:200]
    finally:
        for process in children:
            process.kill()
            process.wait()
    return group


def child(file: str, side: str, limit: str) -> None:
    """Run as one of the processes: prepare, wait for a line of input, refine, save the labels."""
    from hdseg_gpu import refine

    run = Runner("cuda")
    image, coarse = image_of(np, int(side)), coarse_of(int(side))
    options: dict[str, Any] = {"max_device_memory": int(limit)} if limit else {}
    print("ready", flush=True)
    sys.stdin.readline()
    seconds, fallbacks = [], []
    for _ in range(1 if run.once else CALLS):
        start = perf_counter()
        labels, report = refine(image, coarse, backend="cuda", return_report=True, **options)
        seconds.append(perf_counter() - start)
        fallbacks += report.fallbacks
    np.save(file, labels)
    memory = int(run.pool().total_bytes())
    print(json.dumps({"seconds": seconds, "fallbacks": fallbacks, "memory": memory}))


def markdown(file: Path) -> str:
    """Return the table of a file; empty if there is no file."""
    if not file.exists():
        return ""
    head = ["processes", "max_device_memory [MiB]", "first call [s]", "last call [s]",
            "memory each [MiB]", "labels that differ", "fallbacks", ""]  # fmt: skip
    return table(head, [_cells(Group(**group)) for group in json.loads(file.read_text())])


def _cells(group: Group) -> list[str]:
    first, last = (max((s[i] for s in group.seconds), default=None) for i in (0, -1))
    return [
        str(group.processes),
        "-" if group.limit is None else f"{group.limit / 2**20:.0f}",
        "-" if first is None else f"{first:.3g}",
        "-" if last is None else f"{last:.3g}",
        f"{max(group.memory, default=0) / 2**20:.0f}",
        str(group.different),
        " / ".join(sorted(set(group.fallbacks))).replace("|", "/") or "none",
        group.failed,
    ]


if __name__ == "__main__":
    main()
