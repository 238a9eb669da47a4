"""The backend to measure: its arrays, its clock, and its memory."""

import gc
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any
from unittest.mock import patch

from benchmarks import stand_in
from benchmarks.gpu_table import Timing
from hdseg_gpu import backends

PATIENCE = 10.0  # after a warm-up longer than this, in seconds, one timed round is enough
ROUNDS = 5
_ON_EXECUTOR = Path(__file__).parent / "on_executor.py"


class Runner:
    """The backend "cuda" on the first device, or "cpu" to test the benchmark itself.

    On the executor (on_executor.py) "cuda" runs the same steps as on a card, once.
    """

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self.ops = backends.load(backend)
        self.xp = self.ops.xp
        self.on_device = backend == "cuda"
        self.once = stand_in.installed
        # -P: import the installed package, not the source folder beside the script.
        self.python = [sys.executable, "-P", *([str(_ON_EXECUTOR)] * stand_in.installed)]

    def wait(self) -> None:
        """Synchronise with the device."""
        if self.on_device:
            import cupy

            cupy.cuda.Device(0).synchronize()

    def timed(
        self,
        function: Callable[..., Any],
        prepare: Callable[[], tuple[Any, ...]] = tuple,
        rounds: int = ROUNDS,
    ) -> Timing:
        """Time `function` from an idle device to an idle device.

        The first call is a warm-up and not counted. `prepare` returns the arguments and is not
        timed.
        """
        found: list[float] = []
        for i in range(rounds + 1):
            arguments = prepare()
            self.wait()
            start = perf_counter()
            result = function(*arguments)
            self.wait()
            seconds = perf_counter() - start
            del result, arguments
            if i > 0 or self.once:
                found.append(seconds)
                if self.once or found[0] > PATIENCE:
                    break
            elif seconds > 4 * PATIENCE:
                rounds = 1
            if i >= rounds:
                break
        return Timing(median(found), min(found), max(found), len(found))

    def by_events(self, function: Callable[[], Any], rounds: int = 20) -> Timing:
        """Time the work that `function` starts on the device, by CUDA events."""
        from cupy import cuda

        function()
        found = []
        for _ in range(1 if self.once else rounds):
            start, end = cuda.Event(), cuda.Event()
            self.wait()
            start.record()
            function()
            end.record()
            end.synchronize()
            found.append(cuda.get_elapsed_time(start, end) / 1000)
        return Timing(median(found), min(found), max(found), len(found))

    def pool(self) -> Any:
        """Return the package's memory pool on the device, or None."""
        if not self.on_device:
            return None
        from hdseg_gpu.backends.cuda import cupy_device

        return cupy_device._pool(0)

    def let_go(self) -> None:
        """Free all device memory that no array uses."""
        gc.collect()
        if self.on_device:
            import cupy

            self.wait()
            self.pool().free_all_blocks()
            cupy.get_default_memory_pool().free_all_blocks()

    def held(self, function: Callable[[], Any]) -> tuple[Any, int | None]:
        """Return a result, and the peak size in bytes of the package's pool meanwhile.

        The size is read at each launch, as the pool may free memory when the call ends.
        """
        if not self.on_device:
            return function(), None
        self.let_go()
        pool, kind = self.pool(), type(self.ops.device)
        before, most, launch = pool.total_bytes(), 0, kind.launch

        def looked(*given: Any, **named: Any) -> None:
            nonlocal most
            launch(*given, **named)
            most = max(most, pool.total_bytes())

        with patch.object(kind, "launch", looked):
            result = function()
        self.wait()
        return result, int(max(most, pool.total_bytes()) - before)
