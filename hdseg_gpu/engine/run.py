"""Does the steps on a store: each is a phase of tasks, whose results are put together here."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.params import ImageStatistics
from hdseg_gpu.core.plain import restored
from hdseg_gpu.core.report import Stages, Tally
from hdseg_gpu.core.windows import Window
from hdseg_gpu.engine import tasks
from hdseg_gpu.engine.memory_store import MemoryStore
from hdseg_gpu.engine.solve_tile import solve
from hdseg_gpu.engine.steps import (
    Contradiction,
    Decided,
    Detail,
    Redraw,
    Seeds,
    Solve,
    Statistics,
    Step,
    steps,
)
from hdseg_gpu.engine.store import Result, Store, Task
from hdseg_gpu.pipeline.doubt import detail_of, patches_of, scattered
from hdseg_gpu.pipeline.rounds import WIDE
from hdseg_gpu.pipeline.seeds import check_seeds
from hdseg_gpu.pipeline.statistics import Spread, added, statistics_of

_GLANCE = 64  # patches


class Phases(Protocol):
    """Who runs the tasks of a phase."""

    @property
    def store(self) -> Store:
        """Return what the tasks work on."""

    def keep_statistics(self, found: ImageStatistics) -> None:
        """Tell all later tasks what the picture's statistics are."""

    def run(self, name: str, task: Task, indices: Sequence[int], *rest: Any) -> dict[int, Result]:
        """Return the results of a task for all indices."""

    def before_solving(self, unknown: NDArray[np.int64]) -> None:
        """Prepare for the last phase; unknown: pixels in each patch."""

    def before_redrawing(self, redrawn: int, tiles: Sequence[int]) -> None:
        """Prepare for tiles that are redrawn."""


class InMemory:
    """Runs tasks on a picture in memory, one after the other."""

    def __init__(self, store: MemoryStore, stages: Stages) -> None:
        self.store, self._stages = store, stages

    def keep_statistics(self, found: ImageStatistics) -> None:
        """Tell all later tasks what the picture's statistics are."""
        self.store.statistics = found

    def run(self, name: str, task: Task, indices: Sequence[int], *rest: Any) -> dict[int, Result]:
        """Return the results of a task for all indices."""
        return {i: task(self.store, self._stages, i, *rest) for i in indices}

    def before_solving(self, unknown: NDArray[np.int64]) -> None:
        """Do nothing."""

    def before_redrawing(self, redrawn: int, tiles: Sequence[int]) -> None:
        """Do nothing."""


@dataclass
class Findings:
    """What a run found, beside what is in the store."""

    seeds: Seeds  # the walker's: undecided tiles have their labels from these
    doubt: float | None
    decided: tuple[int, ...] = ()  # tiles with labels of their own
    tally: Tally = field(default_factory=Tally)
    skipped: dict[str, str] = field(default_factory=dict)  # tile -> why
    seconds: dict[str, float] = field(default_factory=dict)  # of the last phase, of all workers


def run(phases: Phases, stages: Stages) -> Findings:
    """Refine the picture of a store; the labels are there."""
    runner = _Runner(phases, stages)
    order = steps(phases.store.params, phases.store.lengths)
    answer: Any = None
    while True:
        try:
            step = order.send(answer)
        except StopIteration as end:
            return runner.found(end.value)
        answer = runner.do(step)


class _Runner:
    def __init__(self, phases: Phases, stages: Stages) -> None:
        self.phases, self.stages = phases, stages
        self.unknown = np.zeros(0, np.int64)  # pixels in each patch, or of the only tile
        self.before = np.zeros(0, np.bool_)  # which classes the coarse map has
        self.lost: set[int] = set()  # tiles that cannot be read, and are left as they are
        self.skipped: dict[str, str] = {}
        self.decided: tuple[int, ...] = ()
        self.tally = Tally()
        self.seconds: dict[str, float] = {}

    @property
    def store(self) -> Store:
        return self.phases.store

    def do(self, step: Step) -> Any:
        """Do a step, and return what is sent back."""
        match step:
            case Statistics():
                return self._statistics()
            case Detail():
                return self._detail()
            case Seeds():
                return self._seeds(step)
            case Contradiction():
                return self._contradiction(step)
            case Redraw():
                return self._redraw(step)
            case Solve():
                return self._solve(step)

    def found(self, decided: Decided) -> Findings:
        """Return what all steps came to."""
        return Findings(
            decided.seeds, decided.doubt, self.decided, self.tally, self.skipped, self.seconds
        )

    def _statistics(self) -> None:
        store = self.store
        self.stages.advance("statistics", 0.0)
        image = self._spread("statistics", boundary=False)
        edges = image if store.edges_of_image else self._spread("edges", boundary=True)
        found = statistics_of(image, edges, store.edge_dtype, store.params, store.sigma)
        self.phases.keep_statistics(found)
        self.stages.advance("statistics", 1.0)

    def _spread(self, phase: str, *, boundary: bool) -> Spread:
        store = self.store
        if store.sigma is None:
            every = range(len(store.tiles))
            results = self.phases.run(phase, tasks.statistics, every, boundary)
        else:  # some patches tell well enough what is bright, and what is not
            some = np.flatnonzero(scattered(patches_of(store.shape), _GLANCE)).tolist()
            results = self.phases.run(phase, tasks.glance, some, boundary)
        blocks = sorted(block for result in results.values() for block in result["blocks"])
        if not blocks:
            raise InvalidInput("image: no part of it can be read; on_error='skip' leaves nothing.")
        return added(
            Spread(pixels, np.array(means), squares) for _, _, pixels, means, squares in blocks
        )

    def _detail(self) -> float:
        store = self.store
        with store.here():
            return detail_of(store.ops, store.drawn())

    def _seeds(self, step: Seeds) -> int:
        store = self.store
        every = range(len(store.seed_tiles))
        results = self.phases.run(f"seeds{step.number}", tasks.seeds, every, step)
        self.unknown = store.unknown_of(results)
        if step.first:
            self.before = _occurring(results, "before", store)
        stage = "evidence" if step.look else "seeds"
        self.stages.advance(stage, 1.0 if step.last else step.number / (len(WIDE) + 1))
        if step.last:
            after = _occurring(results, "after", store)
            check_seeds(
                self.before, after, store.coarse.values, step.passes, self.stages,
                store.params.gamma,
            )  # fmt: skip
        return int(self.unknown.sum())

    def _contradiction(self, step: Contradiction) -> NDArray[np.int64]:
        """Return how often the colours alone contradict the coarse map."""
        samples = self.store.chosen_samples(step.seeds, self.unknown)
        every = range(len(samples))
        results = self.phases.run("measure", tasks.contradiction, every, step, samples)
        counts = [np.array(result["counts"], np.int64) for result in results.values()]
        total: NDArray[np.int64] = np.sum(counts, axis=0)
        return total

    def _redraw(self, step: Redraw) -> None:
        tiles = [i for i in self.store.chosen_tiles(self.unknown) if i not in self.lost]
        self.phases.before_redrawing(step.seeds.redrawn + 1, tiles)
        name = f"redraw{step.seeds.number}"
        self._skips(self.phases.run(name, tasks.redraw, tiles, step))

    def _solve(self, step: Solve) -> None:
        """Decide the tiles that have unknown pixels."""
        self.phases.before_solving(self.unknown)
        tiles = self.store.chosen_tiles(self.unknown)
        results = self.phases.run("tiles", solve, tiles, step, sorted(self.lost))
        self._skips(results)
        for _, result in sorted(results.items()):
            self.tally += restored(Tally, result["tally"])
            for name, seconds in result["seconds"].items():
                self.seconds[name] = self.seconds.get(name, 0.0) + seconds
        self.decided = tuple(tiles)
        self.stages.advance("solve", 1.0)

    def _skips(self, results: dict[int, Result]) -> None:
        for index, result in sorted(results.items()):
            if "skipped" in result:
                self.lost.add(index)
                self.skipped[_place(self.store.tiles.core(index))] = result["skipped"]


def _occurring(results: dict[int, Result], name: str, store: Store) -> NDArray[np.bool_]:
    """Return which classes some results name."""
    found = np.zeros(store.coarse.count, np.bool_)
    for result in results.values():
        found[np.array(result[name], np.int64)] = True  # also of none
    return found


def _place(window: Window) -> str:
    return f"rows {window.top} to {window.bottom - 1}, columns {window.left} to {window.right - 1}"
