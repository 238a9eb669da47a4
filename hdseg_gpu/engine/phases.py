"""The phases of a run over files: finished tasks are skipped, an executor runs the rest."""

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.params import ImageStatistics
from hdseg_gpu.core.report import Stages
from hdseg_gpu.engine.disk_store import DiskStore
from hdseg_gpu.engine.records import is_possible
from hdseg_gpu.engine.store import Result, Task
from hdseg_gpu.executors.base import Executor
from hdseg_gpu.executors.local import Local
from hdseg_gpu.executors.progress import Meter


class OnDisk:
    """Runs the tasks of a phase tile by tile, and records their results."""

    def __init__(self, store: DiskStore, executor: Executor, stages: Stages, meter: Meter) -> None:
        self.store, self.seconds = store, dict[str, float]()
        self._executor, self._stages, self._meter = executor, stages, meter

    def run(self, name: str, task: Task, indices: Sequence[int], *rest: Any) -> dict[int, Result]:
        """Run the unfinished tasks of a phase; return the results of all its tasks by index."""
        self.store.workspace.begin(name)
        found = {i: r for i in indices if (r := self._recorded(name, i)) is not None}
        missing = [i for i in indices if i not in found]
        with self._stages.timed(name):
            self._meter.begin(name, len(indices), len(found))
            tasks = self._executor.run(task, self.store, name, missing, *rest)
            with closing(tasks) as results:  # on any error, stop the workers immediately
                for index, result in results:
                    found[index] = result
                    self._meter.done(result["pixels"])
        self.store.check_inputs()
        self.seconds = _added(result["seconds"] for result in found.values())
        for result in found.values():
            if "fallback" in result:
                self._stages.fall_back(result["fallback"])
        return found

    def _recorded(self, name: str, index: int) -> Result | None:
        """Return the record of a finished task, if all the planes it lists are intact."""
        result = self.store.workspace.recorded(name, index)
        if result is None or not is_possible(self.store, name, index, result):
            return None
        written = (self.store.plane(plane) for plane in result.get("planes", ()))
        return result if all(plane.is_whole(index) for plane in written) else None

    def keep_statistics(self, found: ImageStatistics) -> None:
        """Pass the image's statistics to all later tasks."""
        self.store = replace(self.store, known_statistics=found)

    def before_redrawing(self, redrawn: int, tiles: Sequence[int]) -> None:
        """Discard tiles that an earlier attempt redrew and this one does not."""
        self.store.plane(f"classes{redrawn}").forget_all_but(tiles)

    def before_solving(self, unknown: NDArray[np.int64]) -> None:
        """Plan the memory of the last phase from the number of unknown pixels."""
        if self.store.plan is not None:
            plan = self.store.plan.with_unknown(unknown)
            self._executor, self.store = Local(plan.workers), replace(self.store, plan=plan)


def _added(seconds: Iterable[dict[str, float]]) -> dict[str, float]:
    total = dict[str, float]()
    for each in seconds:
        for name, spent in each.items():
            total[name] = total.get(name, 0.0) + spent
    return total
