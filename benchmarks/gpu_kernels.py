"""Time of each kernel in one call of refine(), and its bandwidth relative to a copy.

Events around each launch measure its time; its bytes are those of its array arguments, each read or
written once. The benchmark hooks into launches; the package has no code for it.
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
Time of each kernel in one call, by events around its launches; for kernels of less than about 10
microseconds it includes gaps between launches. Bytes are those of its array arguments, each counted
once: the bandwidth shown is too high for a kernel that reads a part of an array, and too low for
one that reads an array several times."""


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
    """Yield a list to which each launch is added until the end of the body."""
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
    """Return calls, seconds and bytes of each kernel, slowest first."""
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
    """Return the table for the largest image with measured kernels; empty if there is none.

    copy: copy bandwidth in GB/s, read plus written bytes. Kernels that take less than the fraction
    `least` of the total are combined in one line.
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
