"""Executes the steps on a store: each step is a phase of tasks, whose results are combined here."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.params import ImageStatistics
from hdseg_gpu.core.plain import restored
from hdseg_gpu.core.report import Stages, Tally
from hdseg_gpu.core.windows import Window
from hdseg_gpu.engine import tasks
from hdseg_gpu.engine.findings import Findings
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

_SAMPLE_PATCHES = 64  # whose statistics do where sigma was passed


class Phases(Protocol):
    """Runs the tasks of a phase: at once in memory, or tile by tile."""

    @property
    def store(self) -> Store:
        """Return the store that the tasks read and write."""

    @property
    def seconds(self) -> Mapping[str, float]:
        """Return the times within the latest phase, if they are not in ``Stages`` already."""

    def keep_statistics(self, found: ImageStatistics) -> None:
        """Pass the image's statistics to all later tasks."""

    def run(self, name: str, task: Task, indices: Sequence[int], *rest: Any) -> dict[int, Result]:
        """Return the results of a task for all indices."""

    def before_solving(self, unknown: NDArray[np.int64]) -> None:
        """Prepare for the last phase; unknown: pixels in each patch."""

    def before_redrawing(self, redrawn: int, tiles: Sequence[int]) -> None:
        """Prepare for redrawing some tiles."""


class InMemory:
    """Runs tasks on an image in memory, one after the other."""

    seconds: Mapping[str, float] = MappingProxyType({})  # tasks add theirs to the stages

    def __init__(self, store: MemoryStore, stages: Stages) -> None:
        self.store, self._stages = store, stages

    def keep_statistics(self, found: ImageStatistics) -> None:
        """Pass the image's statistics to all later tasks."""
        self.store.statistics = found

    def run(self, name: str, task: Task, indices: Sequence[int], *rest: Any) -> dict[int, Result]:
        """Return the results of a task for all indices."""
        return {i: task(self.store, self._stages, i, *rest) for i in indices}

    def before_solving(self, unknown: NDArray[np.int64]) -> None:
        """Do nothing: memory is not planned."""

    def before_redrawing(self, redrawn: int, tiles: Sequence[int]) -> None:
        """Do nothing: there is no earlier run to continue."""


def run(phases: Phases, stages: Stages) -> Findings:
    """Refine the image of a store; the labels are in the store."""
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
        self.unknown = np.zeros(0, np.int64)  # pixels in each patch, or in the only tile
        self.before = np.zeros(0, np.bool_)  # the classes that the coarse map has
        self.lost: set[int] = set()  # tiles that cannot be read, and keep the coarse map's labels
        self.skipped: dict[str, str] = {}
        self.decided: tuple[int, ...] = ()
        self.tally = Tally()

    @property
    def store(self) -> Store:
        return self.phases.store

    def do(self, step: Step) -> Any:
        """Execute a step; return its result, which is sent back to ``steps``."""
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
        """Return the outcome of all steps; note what the caller should know of it."""
        store = self.store
        found = Findings(
            backend=store.ops.name, shape=store.shape, coarse=store.coarse.summary,
            params=store.params, sigma=store.statistics.sigma, seeds=decided.seeds,
            doubt=decided.doubt, decided=self.decided, tally=self.tally, skipped=self.skipped,
            seconds=dict(self.phases.seconds) if self.decided else {},
        )  # fmt: skip
        self.stages.notes.extend(_notes(found))
        return found

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
        else:  # only the mean and scale of the colours are needed, for which a sample will do
            where = scattered(patches_of(store.shape), _SAMPLE_PATCHES)
            some = np.flatnonzero(where).tolist()
            results = self.phases.run(phase, tasks.sample_statistics, some, boundary)
        blocks = sorted(block for result in results.values() for block in result["blocks"])
        if not blocks:
            raise InvalidInput("image: no part of it can be read; on_error='skip' leaves nothing.")
        return added(
            Spread(pixels, np.array(means), squares) for _, _, pixels, means, squares in blocks
        )

    def _detail(self) -> float:
        return self.store.within(lambda store: detail_of(store.ops, store.drawn()), self.stages)

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
        self.decided = tuple(tiles)
        self.stages.advance("solve", 1.0)

    def _skips(self, results: dict[int, Result]) -> None:
        for index, result in sorted(results.items()):
            if "skipped" in result:
                self.lost.add(index)
                self.skipped[_place(self.store.tiles.core(index))] = result["skipped"]


def _occurring(results: dict[int, Result], name: str, store: Store) -> NDArray[np.bool_]:
    """Return which classes are listed under a name in any result."""
    found = np.zeros(store.coarse.count, np.bool_)
    for result in results.values():
        found[np.array(result[name], np.int64)] = True  # as int64 even if the list is empty
    return found


def _notes(found: Findings) -> Iterator[str]:
    tolerance, error = found.params.tolerance, found.tally.error
    if error > tolerance * (1 + 1e-9):
        yield (
            f"tol={tolerance:g} is below the precision of float32 where this many classes meet: "
            f"the proven bound is {error:.1e}."
        )
    if found.skipped:
        where, why = next(iter(found.skipped.items()))
        yield (
            f"{len(found.skipped)} tile(s) keep the labels of the coarse map because the image "
            f"cannot be read there; the first: {where}: {why}"
        )


def _place(window: Window) -> str:
    return f"rows {window.top} to {window.bottom - 1}, columns {window.left} to {window.right - 1}"
