"""The rounds of a whole picture that is in memory.

The coarse map says which colours belong to which class nearby, the colours say where the map is
wrong, and so on in rounds, from wide windows to narrow ones. A map that deserves no doubt gets the
last round alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from hdseg_gpu.core.ops import Band, Classes, Evidence, Nearby, Ops, Steps
from hdseg_gpu.core.params import Coarse, Params, Survey
from hdseg_gpu.core.report import Stages
from hdseg_gpu.core.windows import Placement, whole
from hdseg_gpu.pipeline.colours import colours_of
from hdseg_gpu.pipeline.doubt import (
    MOST_DETAIL,
    contradiction_of,
    contradictions_of,
    detail_of,
    doubt_of,
    labels_of,
    sampled,
)
from hdseg_gpu.pipeline.evidence import Cells, Scene, Surroundings, cells_of, ignored_cells
from hdseg_gpu.pipeline.rounds import (
    SMOOTHING,
    WIDE,
    Round,
    last_passes,
    last_round,
    lengths_of,
    wide_passes,
)
from hdseg_gpu.pipeline.seeds import mark_seeds


@dataclass(frozen=True)
class Decided:
    """What the rounds found."""

    seeds: Classes  # (H, W)
    surroundings: Surroundings  # what speaks for the classes between the seeds
    doubt: float
    passes: int  # of the thinning that the seeds come from
    known: list[Any]  # what else was asked about the seeds


def decide_classes(
    ops: Ops,
    image: NDArray[Any],
    frozen: Survey,
    coarse: Coarse,
    place: Placement,
    classes: Classes,
    params: Params,
    stages: Stages,
    ask: Callable[[Classes], list[Steps[Any]]],
) -> Decided:
    """Return seeds and the evidence between them, from the classes (H, W), which are used up.

    ask: begins with what else is to be known of the seeds, so that a device is waited for once.
    """
    rounds = _Rounds(ops, image, frozen, coarse, place, classes, params, stages)
    lengths = rounds.scene.lengths
    detail = detail_of(ops, labels_of(ops, coarse, classes.shape, params.scale))
    doubt, now = 0.0, None
    for i, look in enumerate(WIDE if detail < MOST_DETAIL else ()):
        stages.advance("evidence", i / (len(WIDE) + 1))
        seeds, band, nearby = rounds.band(wide_passes(i, params, lengths), look, now)
        if band.size == 0:
            break
        if i == 0:
            doubt = doubt_of(detail, rounds.contradiction(seeds, band, look, nearby))
            if doubt == 0:
                break
        now = rounds.redraw(seeds, band, look, doubt, now, nearby)
    passes = last_passes(doubt, params, lengths)
    with stages.timed("seeds"):
        seeds = mark_seeds(ops, coarse, place, classes, params, passes)
    with stages.timed("evidence"):
        scene, last = rounds.scene, last_round(doubt)
        nearby, *known = ops.together(scene.begin_nearby(last, now), *ask(seeds))
        surroundings = scene.look(last, doubt, now, nearby)
    stages.advance("evidence", 1.0)
    return Decided(seeds, surroundings, doubt, passes, known)


class _Rounds:
    """The classes as they are now, beside those of the coarse map."""

    def __init__(
        self,
        ops: Ops,
        image: NDArray[Any],
        frozen: Survey,
        coarse: Coarse,
        place: Placement,
        classes: Classes,
        params: Params,
        stages: Stages,
    ) -> None:
        self.ops, self.image, self.classes, self.stages = ops, image, classes, stages
        lengths = lengths_of(params, place.shape)
        with stages.timed("evidence"):
            colours = colours_of(ops, image, frozen, lengths.cell)
            drawn = cells_of(ops, ops.cell_labels(classes, lengths.cell), lengths)
            ignored = ignored_cells(ops, coarse, place, lengths)
        self.scene = Scene(ops, params, lengths, coarse, place, colours, drawn, ignored)

    def band(self, passes: int, look: Round, now: Cells | None) -> tuple[Classes, Band, Nearby]:
        """Return the seeds after so many passes of thinning, and the band between them.

        And which classes a look will ask for where.
        """
        scene = self.scene
        with self.stages.timed("seeds"):
            seeds = mark_seeds(
                self.ops, scene.coarse, scene.place, self.classes, scene.params, passes
            )
            found = self.ops.together(self.ops.begin_band(seeds), scene.begin_nearby(look, now))
            return seeds, *found

    def contradiction(self, seeds: Classes, band: Band, look: Round, nearby: Nearby) -> float:
        """Return how far the colours alone contradict the coarse map."""
        scene = self.scene
        with self.stages.timed("evidence"):
            some = sampled(self.ops, seeds, band)
            found = self._evidence(scene.colours_alone(look, nearby), some)
            counts = contradictions_of(
                self.ops, some, found, self.classes, scene.drawn, scene.lengths, (0, 0),
                scene.coarse.count,
            )  # fmt: skip
        return contradiction_of(counts)

    def redraw(
        self,
        seeds: Classes,
        band: Band,
        look: Round,
        doubt: float,
        now: Cells | None,
        nearby: Nearby,
    ) -> Cells:
        """Give each pixel of the band its likeliest class; return the new classes of cells."""
        ops, lengths = self.ops, self.scene.lengths
        with self.stages.timed("evidence"):
            found = self._evidence(self.scene.look(look, doubt, now, nearby), band)
            ops.put(band, redrawn(ops, seeds, band, found), self.classes, less=1)
            return cells_of(ops, ops.cell_labels(self.classes, lengths.cell), lengths)

    def _evidence(self, surroundings: Surroundings, band: Band) -> Evidence:
        return surroundings.evidence(band, self.image, whole(self.classes.shape))


def redrawn(ops: Ops, seeds: Classes, band: Band, found: Evidence) -> Classes:
    """Return the likeliest labels at the pixels of a band, smoothed; others go into the seeds."""
    ops.put(band, found.label, seeds)
    return ops.majority(seeds, band, SMOOTHING)
