"""Class evidence for the pixels of the band, which enters the walker with weight gamma.

The coarse map says which colours belong to which class nearby, the colours say where the map is
wrong, and so on in rounds, from wide windows to narrow ones. A map that deserves no doubt gets the
last round alone.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.ops import Band, Classes, Evidence, NearestMap, Network, Ops, Shape
from hdseg_gpu.core.params import Coarse, Params
from hdseg_gpu.core.report import Stages
from hdseg_gpu.pipeline.colours import Colours, colour_models
from hdseg_gpu.pipeline.doubt import MOST_DETAIL, contradiction_of, detail_of, doubt_of, sample
from hdseg_gpu.pipeline.seeds import mark_seeds


class Round(NamedTuple):
    """One look at the picture; lengths are in units of the scale."""

    passes: float  # of thinning: the band that is decided again
    spread: float  # standard deviation of the windows
    weight: float  # of the colours


# docs/decisions/0006-evidence.md has what was tried instead of these.
WIDE = (Round(12, 14, 1.1), Round(4, 8, 1.1), Round(4, 5, 1.1))
LAST = Round(2, 3, 1.5)
TRUSTED = Round(2, 3, 1.0)
SMOOTHING = 3  # majority filter between the rounds
# What a distance of one unit counts if there is no doubt, and what a probability does, in pixels.
_TRUST_DISTANCE = 10.0
_TRUST_PROBABILITY = 100.0
# With doubt, what the network's probabilities count, and distances beside them.
_DOUBTED_PROBABILITY = 0.3
_DOUBTED_DISTANCE = 0.6
KEPT = 4  # classes for each pixel


@dataclass(frozen=True)
class Decided:
    """What the rounds found."""

    seeds: Classes  # (H, W)
    band: Band
    evidence: Evidence
    doubt: float
    passes: int  # of the last round


def unit_of(scale: float, shape: Shape) -> float:
    """Return the pixels that lengths are told in: the scale, but not more than the picture has."""
    return min(scale, float(max(shape)))


def cell_size(scale: float, shape: Shape) -> int:
    """Return the pixels of a cell: half a unit."""
    return max(2, round(unit_of(scale, shape) / 2))


def decide_classes(
    ops: Ops,
    colours: Colours,
    coarse: Coarse,
    classes: Classes,
    params: Params,
    stages: Stages,
) -> Decided:
    """Return seeds and the evidence between them, from the classes (H, W), which are used up."""
    rounds = _Rounds(ops, colours, coarse, classes, params, stages)
    detail = detail_of(ops, _coarse_labels(ops, coarse, classes.shape, params.scale))
    doubt = 0.0
    for i, look in enumerate(WIDE if detail < MOST_DETAIL else ()):
        stages.advance("evidence", i / (len(WIDE) + 1))
        passes = params.passes if i == 0 else min(params.passes, round(look.passes * rounds.unit))
        seeds, band = rounds.band(passes)
        if band.size == 0:
            break
        if i == 0:
            doubt = doubt_of(detail, rounds.contradiction(band, look))
            if doubt == 0:
                break
        rounds.redraw(seeds, band, rounds.look(band, look, doubt, first=i == 0))
    final = LAST if doubt > 0 else TRUSTED
    passes = min(params.passes, max(1, round(final.passes * rounds.unit)))
    seeds, band = rounds.band(passes)
    evidence = rounds.look(band, final, doubt, first=doubt == 0)
    stages.advance("evidence", 1.0)
    return Decided(seeds, band, evidence, doubt, passes)


class _Rounds:
    """The classes as they are now, beside those of the coarse map."""

    def __init__(
        self,
        ops: Ops,
        colours: Colours,
        coarse: Coarse,
        classes: Classes,
        params: Params,
        stages: Stages,
    ) -> None:
        self.ops, self.colours, self.coarse, self.params = ops, colours, coarse, params
        self.stages, self.classes = stages, classes
        self.unit = unit_of(params.scale, classes.shape)
        self.drawn = self._cells()  # by the network
        self.ignored = None
        if coarse.ignored is not None:
            walls = ops.upsample_labels(coarse.ignored.view(np.uint8), classes.shape)
            self.ignored = ops.cell_labels(walls, colours.cell) > 0

    def band(self, passes: int) -> tuple[Classes, Band]:
        """Return the seeds after so many passes of thinning, and the band between them."""
        with self.stages.timed("seeds"):
            seeds = mark_seeds(self.ops, self.coarse, self.classes, self.params, passes)
            return seeds, self.ops.band(seeds)

    def look(self, band: Band, look: Round, doubt: float, *, first: bool) -> Evidence:
        """Return the evidence of a round; in the first the classes are the coarse map's own."""
        drawn, network = self._scored(doubt), self._network(doubt)
        if first:
            return self._evidence(band, look, (drawn,), self._trusted(doubt), network)
        now = NearestMap(*self._cells(), 1.0, 0.0)
        return self._evidence(band, look, (drawn, now), now, network)

    def contradiction(self, band: Band, look: Round) -> float:
        """Return how far the colours alone contradict the coarse map, with all doubt in it."""
        some, drawn = sample(self.ops, band), self._trusted(1.0)
        silent = drawn._replace(log=0.0, linear=0.0)
        by_colour = self._evidence(some, look, (silent,), drawn, None)
        return contradiction_of(
            self.ops, some, by_colour, self.classes, drawn, self.colours.cell, self.unit,
            self.coarse.count,
        )  # fmt: skip

    def redraw(self, seeds: Classes, band: Band, found: Evidence) -> None:
        """Give each pixel of the band its likeliest class."""
        with self.stages.timed("evidence"):
            self.ops.put(band, found.label, seeds)
            smooth = self.ops.majority(seeds, band, SMOOTHING)
            smooth -= 1
            self.ops.put(band, smooth, self.classes)  # all others are as they were

    def _evidence(
        self,
        band: Band,
        look: Round,
        maps: tuple[NearestMap, ...],
        drawn: NearestMap,
        network: Network | None,
    ) -> Evidence:
        """Return the evidence; the colours are those of the classes as drawn, sure parts first."""
        colours, unit, count = self.colours, self.unit, self.coarse.count
        with self.stages.timed("evidence"):
            weight = self.ops.certainty(
                drawn.distance, drawn.log, drawn.linear, colours.cell / unit
            )
            if self.ignored is not None:
                self.ops.xp.copyto(weight, 0, where=self.ignored)
            models = colour_models(self.ops, colours, drawn.own, weight, count, look.spread * unit)
            return self.ops.class_evidence(
                band, colours.image, colours.center, colours.scale, models, look.weight, maps,
                colours.cell, unit, network, min(KEPT, count),
            )  # fmt: skip

    def _cells(self) -> tuple[Classes, Classes, NDArray[np.float32]]:
        own = self.ops.cell_labels(self.classes, self.colours.cell)
        distance, rival = self.ops.rival_distances(own)
        return own, rival, distance

    def _trusted(self, doubt: float) -> NearestMap:
        """Return the coarse map as far as it is trusted."""
        return NearestMap(*self.drawn, doubt, _TRUST_DISTANCE * (1 - doubt))

    def _scored(self, doubt: float) -> NearestMap:
        """Return what of it enters the scores: probabilities say more than distances."""
        if self.coarse.probabilities is None:
            return self._trusted(doubt)
        return NearestMap(*self.drawn, _DOUBTED_DISTANCE * doubt, 0.0)

    def _network(self, doubt: float) -> Network | None:
        planes = self.coarse.probabilities
        if planes is None:
            return None
        linear = _TRUST_PROBABILITY / self.unit * (1 - doubt)
        how = self.params.interpolation
        return Network(planes, how, _DOUBTED_PROBABILITY * doubt, linear)


def _coarse_labels(ops: Ops, coarse: Coarse, shape: tuple[int, int], scale: float) -> Classes:
    """Return the network's classes on the grid its scale speaks of: an enlarged map's own."""
    labels = coarse.classes
    if labels is None:
        assert coarse.probabilities is not None
        labels = ops.upsample_argmax(coarse.probabilities, coarse.shape, "linear")
    if scale <= coarse.scale_to(shape) * (1 + 1e-9):
        return labels
    grid = (
        min(coarse.shape[0], max(1, round(shape[0] / scale))),
        min(coarse.shape[1], max(1, round(shape[1] / scale))),
    )
    return ops.upsample_labels(labels, grid)
