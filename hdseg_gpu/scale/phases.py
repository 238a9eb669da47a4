"""The phases of a run, one after the other; the tiles of a phase in any order, by anyone."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.plain import restored
from hdseg_gpu.core.report import Stages, Tally
from hdseg_gpu.core.windows import Window
from hdseg_gpu.pipeline.doubt import (
    MOST_DETAIL,
    contradiction_of,
    detail_of,
    doubt_of,
    in_squares,
    labels_of,
    patches_of,
    sample,
    scattered,
)
from hdseg_gpu.pipeline.rounds import WIDE, last_passes, wide_passes
from hdseg_gpu.pipeline.seeds import check_seeds
from hdseg_gpu.pipeline.survey import Spread, added, surveyed
from hdseg_gpu.scale import solving, tasks
from hdseg_gpu.scale.job import Job
from hdseg_gpu.scale.local import Local
from hdseg_gpu.scale.progress import Meter
from hdseg_gpu.scale.records import is_possible
from hdseg_gpu.scale.scene import drawn_by_network
from hdseg_gpu.scale.schedule import Result, Scheduler, Task
from hdseg_gpu.scale.sources import source_of
from hdseg_gpu.scale.tasks import Step

_GLANCE = 64  # patches


@dataclass
class Findings:
    """What a run found, beside the labels on the disk."""

    step: Step  # where the labels of undecided tiles come from
    decided: tuple[int, ...] = ()  # tiles with labels of their own
    tally: Tally = field(default_factory=Tally)
    doubt: float | None = None
    sigma: float = 0.0
    skipped: dict[str, str] = field(default_factory=dict)  # tile -> why
    seconds: dict[str, float] = field(default_factory=dict)  # of the last phase, of all workers


def run_phases(
    job: Job,
    scheduler: Scheduler,
    stages: Stages,
    meter: Meter,
) -> tuple[Job, Findings]:
    """Decide all tiles; the labels are in the plane ``labels`` of the workspace."""
    runner = _Runner(job, scheduler, stages, meter)
    runner.survey()
    redrawn = 0
    if job.params.gamma > 0:
        redrawn = runner.rounds()
    passes = last_passes(runner.job.doubt, job.params, job.lengths)
    if job.params.gamma == 0:
        passes = job.params.passes
    step = Step(len(WIDE), redrawn, passes)
    unknown = runner.seeds(step)
    check_seeds(runner.before, runner.after, job.coarse, passes, stages, job.params.gamma)
    if job.room is not None and unknown.any():
        room = job.room.with_unknown(unknown)
        runner.scheduler, runner.job = Local(room.workers), replace(runner.job, room=room)
    runner.solve(step, unknown)
    return runner.job, runner.found


class _Runner:
    def __init__(self, job: Job, scheduler: Scheduler, stages: Stages, meter: Meter) -> None:
        self.job, self.scheduler, self.stages, self.meter = job, scheduler, stages, meter
        self.found = Findings(Step(0, 0, 0))
        self.lost: set[int] = set()  # tiles that cannot be read, and are left as they are
        self.before = self.after = np.zeros(job.coarse.count, np.bool_)

    def survey(self) -> None:
        """Find sigma, and what colours are seen as."""
        job = self.job
        image = self._survey("survey", boundary=False)
        features, dtype = image, source_of(job.image).dtype
        if job.boundary is not None:
            features, dtype = self._survey("edges", boundary=True), source_of(job.boundary).dtype
        frozen = surveyed(image, features, dtype, job.params, job.sigma)
        self.job = replace(job, frozen=frozen)
        self.found.sigma = frozen.sigma

    def _survey(self, phase: str, *, boundary: bool) -> Spread:
        job = self.job
        if job.sigma is None:
            every: Sequence[int] = range(len(job.tiles))
            return self._spread(self.phase(phase, tasks.survey, every, boundary))
        # Sigma is known: some patches tell well enough what is bright, and what is not.
        some = np.flatnonzero(scattered(patches_of(job.shape), _GLANCE)).tolist()
        return self._spread(self.phase(phase, tasks.glance, some, boundary))

    def _spread(self, results: dict[int, Result]) -> Spread:
        blocks = sorted(block for result in results.values() for block in result["blocks"])
        if not blocks:
            raise InvalidInput("image: no part of it can be read; on_error='skip' leaves nothing.")
        return added(
            Spread(pixels, np.array(means), squares) for _, _, pixels, means, squares in blocks
        )

    def seeds(self, step: Step) -> NDArray[np.int64]:
        """Find the seeds of all tiles; return how many pixels of each patch are unknown."""
        job = self.job
        results = self.phase(f"seeds{step.known}", tasks.seeds, range(len(job.seed_tiles)), step)
        patches = patches_of(job.shape)
        unknown = np.zeros(patches[0] * patches[1], np.int64)
        before, after = (np.zeros(job.coarse.count, np.bool_) for _ in range(2))
        for result in results.values():
            unknown[_integers(result["patches"])] += _integers(result["unknown"])
            before[_integers(result["before"])] = True
            after[_integers(result["after"])] = True
        # Before it are the classes of the coarse map, after it the seeds of the walker.
        self.before, self.after = self.before if self.before.any() else before, after
        return unknown.reshape(patches)

    def rounds(self) -> int:
        """Redraw the classes where the coarse map deserves doubt; return how often."""
        job = self.job
        self.found.doubt = 0.0
        with job.ops.here(job.device_memory):
            drawn = labels_of(job.ops, drawn_by_network(job), job.shape, job.params.scale)
            detail = detail_of(job.ops, drawn)
        for i in range(len(WIDE) if detail < MOST_DETAIL else 0):
            unknown = self.seeds(Step(i, i, wide_passes(i, job.params, job.lengths)))
            if not unknown.any():
                return i
            if i == 0:
                doubt = doubt_of(detail, self.contradiction(unknown))
                if doubt == 0:
                    return 0
                self.job, self.found.doubt = replace(self.job, doubt=doubt), doubt
            tiles = [index for index in self._tiles(unknown) if index not in self.lost]
            self.job.plane(f"classes{i + 1}").forget_all_but(tiles)
            self._skips(self.phase(f"redraw{i}", tasks.redraw, tiles, i))
        return len(WIDE) if detail < MOST_DETAIL else 0

    def contradiction(self, unknown: NDArray[np.int64]) -> float:
        """Return how far the colours alone contradict the coarse map."""
        chosen = np.flatnonzero(sample(unknown)).tolist()
        results = self.phase("measure", tasks.measure, chosen)
        counts = [np.array(result["counts"], np.int64) for result in results.values()]
        return contradiction_of(np.sum(counts, axis=0))

    def solve(self, step: Step, unknown: NDArray[np.int64]) -> None:
        """Decide the tiles that have unknown pixels."""
        tiles = self._tiles(unknown)
        results = self.phase("tiles", solving.solve, tiles, step, sorted(self.lost))
        self._skips(results)
        for _, result in sorted(results.items()):
            self.found.tally += restored(Tally, result["tally"])
            for name, seconds in result["seconds"].items():
                self.found.seconds[name] = self.found.seconds.get(name, 0.0) + seconds
        self.found.step, self.found.decided = step, tuple(tiles)

    def _tiles(self, unknown: NDArray[np.int64]) -> list[int]:
        """Return the tiles with unknown pixels; tiles begin where patches do."""
        return np.flatnonzero(in_squares(unknown, self.job.tile)).tolist()

    def _skips(self, results: dict[int, Result]) -> None:
        for index, result in sorted(results.items()):
            if "skipped" in result:
                self.lost.add(index)
                self.found.skipped[_place(self.job.tiles.core(index))] = result["skipped"]

    def phase(self, name: str, task: Task, indices: Sequence[int], *rest: Any) -> dict[int, Result]:
        """Do what is not yet done of a phase, and return the records of all of it."""
        workspace = self.job.workspace
        workspace.begin(name)
        found = {i: r for i in indices if (r := self._recorded(name, i)) is not None}
        missing = [i for i in indices if i not in found]
        with self.stages.timed(name):
            self.meter.begin(name, len(indices), len(found))
            run = self.scheduler.run(task, self.job, name, missing, *rest)
            with closing(run) as results:  # at once, whatever stops us: nobody works in vain
                for index, result in results:
                    found[index] = result
                    self.meter.done(result["pixels"])
        self.job.check_inputs()
        return found

    def _recorded(self, name: str, index: int) -> Result | None:
        """Return the record of a task that is done, if what it wrote is still whole."""
        result = self.job.workspace.recorded(name, index)
        if result is None or not is_possible(self.job, name, index, result):
            return None
        written = (self.job.plane(plane) for plane in result.get("planes", ()))
        return result if all(plane.is_whole(index) for plane in written) else None


def _integers(values: list[int]) -> NDArray[np.int64]:
    return np.array(values, np.int64)  # also of none


def _place(window: Window) -> str:
    return f"rows {window.top} to {window.bottom - 1}, columns {window.left} to {window.right - 1}"
