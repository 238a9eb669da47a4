"""What each kernel takes in one call of refine(), and how near it is to a copy of the card's.

Two events around each launch tell its time; the arrays among its arguments tell the bytes that it
has to move if it reads or writes each of them once. It is the benchmark that listens: the package
itself is unaware of it.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from time import perf_counter
from typing import Any
from unittest.mock import patch

from benchmarks.gpu_inputs import coarse_of, image_of, side_of
from benchmarks.gpu_runner import Runner
from benchmarks.gpu_table import Row, Rows, Skip, Timing, number
from benchmarks.report import table
from hdseg_gpu import refine
from hdseg_gpu.backends import load

NOTES = """\
Time of each kernel in one call, by events around its launches: what takes less than about 10
microseconds is counted with the gaps between launches. Bytes are those of its arguments, each array
once; a kernel that looks at a part of an array shows too large a share, one that reads an array
several times too small a one."""


def kernels(run: Runner, rows: Rows, mpx: float) -> None:
    """Add a row with all kernels of refine() without options, from device memory."""
    rows.measure("kernels", "refine() with events around each launch", mpx,
                 partial(_listened, run, mpx))  # fmt: skip


def _listened(run: Runner, mpx: float) -> tuple[Timing, dict[str, Any]]:
    if not run.on_device:
        raise Skip("needs a CUDA device")
    side = side_of(mpx)
    call = partial(refine, image_of(run.xp, side), coarse_of(side), backend=run.backend)
    call()
    run.wait()
    with launches(run) as heard:
        start = perf_counter()
        call()
        run.wait()
        seconds = perf_counter() - start
    found = summed(heard)
    return Timing(seconds, seconds, seconds, 1), {
        "kernels": found,
        "launches": sum(kernel["calls"] for kernel in found),
        "seconds in kernels": sum(kernel["seconds"] for kernel in found),
    }


Heard = tuple[str, int, Any, Any]  # kernel, bytes, event before, event after


@contextmanager
def launches(run: Runner) -> Iterator[list[Heard]]:
    """Yield a list that gets each launch while the context lasts."""
    from cupy import cuda

    device = type(load(run.backend).device)
    launch, heard = device.launch, []

    def listening(self: Any, file: str, kernel: str, grid: Any, block: Any, args: Any,
                  *rest: Any, **options: Any) -> None:  # fmt: skip
        before, after = cuda.Event(), cuda.Event()
        before.record()
        launch(self, file, kernel, grid, block, args, *rest, **options)
        after.record()
        arrays = {id(a): a.nbytes for a in args if isinstance(a, run.xp.ndarray)}
        heard.append((kernel, sum(arrays.values()), before, after))

    with patch.object(device, "launch", listening):
        yield heard


def summed(heard: Iterable[Heard]) -> list[dict[str, Any]]:
    """Return calls, seconds and bytes of each kernel, those that take longest first."""
    from cupy import cuda

    found: dict[str, dict[str, Any]] = {}
    for kernel, size, before, after in heard:
        after.synchronize()
        of = found.setdefault(kernel, {"kernel": kernel, "calls": 0, "seconds": 0.0, "bytes": 0})
        of["calls"] += 1
        of["seconds"] += cuda.get_elapsed_time(before, after) / 1000
        of["bytes"] += size
    return sorted(found.values(), key=lambda of: -of["seconds"])


def markdown(rows: Iterable[Row], copy: float | None, least: float = 0.0) -> str:
    """Return the table of the largest picture whose kernels are known; empty if none is.

    copy: GB/s that the card copies, read and written bytes counted. Kernels that take less than the
    share `least` of all are one line.
    """
    known = [row for row in rows if row.kernels]
    if not known:
        return ""
    row = max(known, key=lambda row: row.mpx or 0)
    total = sum(of["seconds"] for of in row.kernels) or 1.0
    shown = [of for of in row.kernels if of["seconds"] >= least * total]
    rest = [of for of in row.kernels if of["seconds"] < least * total]
    if rest:
        sums = {key: sum(of[key] for of in rest) for key in ("calls", "seconds", "bytes")}
        shown.append({"kernel": f"{len(rest)} others", **sums})
    lines = []
    for of in shown:
        rate = of["bytes"] / of["seconds"] / 1e9 if of["seconds"] else 0.0
        lines.append([
            of["kernel"],
            str(of["calls"]),
            number(1e3 * of["seconds"]),
            f"{100 * of['seconds'] / total:.1f} %",
            number(of["bytes"] / 1e6),
            number(rate),
            "-" if not copy else f"{100 * rate / copy:.1f} %",
        ])  # fmt: skip
    head = [f"kernel, {number(row.mpx or 0)} Mpx", "launches", "ms", "of all kernels", "MB",
            "GB/s", "of copy bandwidth"]  # fmt: skip
    return table(head, lines)
