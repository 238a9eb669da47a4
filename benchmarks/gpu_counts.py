"""Counts of launches, allocations and waits in small calls, beside the tests' budgets.

The tests limit these counts on the executor. On a card CuPy itself counts the allocations, and the
two must agree.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any
from unittest.mock import patch

from benchmarks.gpu_runner import Runner
from benchmarks.gpu_table import Row, Rows, Skip, Timing, number
from benchmarks.report import table
from hdseg_gpu import refine
from hdseg_gpu.backends.cuda import transfer

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from budgets import BUDGETS, scene

CALLS: dict[str, tuple[tuple[int, int], dict[str, float]]] = {
    "default": ((512, 512), {}),
    "gamma 0": ((160, 192), {"gamma": 0.0}),
    "gamma 0, 512": ((512, 512), {"gamma": 0.0}),
}
COUNTED = {"launch": "launches", "allocation": "allocations", "wait": "waits"}
NOTES = """\
Each count is followed by the limit in the tests. Waits are those for values that are fetched;
CuPy's own, such as in `flatnonzero`, are not counted here, so there are fewer than in the tests."""


def counts(run: Runner, rows: Rows) -> None:
    """Add a row for each call."""
    for name, (shape, _) in CALLS.items():
        rows.measure("counts", name, shape[0] * shape[1] / 2**20, partial(_counted, run, name))


def _counted(run: Runner, name: str) -> tuple[Timing, dict[str, Any]]:
    if not run.on_device:
        raise Skip("needs a CUDA device")
    shape, options = CALLS[name]
    call = partial(refine, *scene(shape), backend=run.backend, **options)  # type: ignore[arg-type]
    if not run.once:
        call()  # the first call compiles and fills caches
    start = perf_counter()
    with listening(run) as found:
        call()
    seconds = perf_counter() - start
    timing = Timing(seconds, seconds, seconds, 1) if run.once else run.timed(call)
    return timing, {COUNTED[kind]: found[kind] for kind in COUNTED}


@contextmanager
def listening(run: Runner) -> Iterator[Counter[str]]:
    """Yield counts, by kind, of the operations on the device until the end of the body."""
    from cupy.cuda import memory_hook

    found: Counter[str] = Counter()
    device = type(run.ops.device)
    launch, host, fetched = device.launch, device.host, device.fetched

    class Allocations(memory_hook.MemoryHook):  # type: ignore[misc]
        name = "hdseg allocations"

        def malloc_preprocess(self, **_: Any) -> None:
            found["allocation"] += 1

    def launched(*given: Any, **named: Any) -> None:
        found["launch"] += 1
        launch(*given, **named)

    def hosted(self: Any, array: Any) -> Any:
        found["wait"] += transfer.pieces_of(array)
        return host(self, array)

    def all_fetched(self: Any, arrays: Any) -> Any:
        before = found["wait"]
        result = fetched(self, arrays)
        found["wait"] += before == found["wait"]  # one for all, unless each went by `host`
        return result

    with ExitStack() as stack:
        for name, heard in (("launch", launched), ("host", hosted), ("fetched", all_fetched)):
            stack.enter_context(patch.object(device, name, heard))
        stack.enter_context(Allocations())
        yield found


def markdown(rows: Iterable[Row]) -> str:
    """Return the table; empty if nothing was counted."""
    cells = [
        [
            f"{row.name}, {'x'.join(map(str, CALLS[row.name][0]))}",
            *(
                _beside(row.remarks[said], BUDGETS[row.name][kind])
                for kind, said in COUNTED.items()
            ),
            number(1e3 * (row.seconds or 0)),
        ]
        for row in rows
        if row.section == "counts" and row.measured
    ]
    return table(["call", *COUNTED.values(), "ms"], cells) if cells else ""


def _beside(found: int, most: int) -> str:
    return f"{found} / {most}{' **over**' * (found > most)}"
