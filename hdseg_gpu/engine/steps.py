"""The order of the algorithm's steps, in one place.

``steps`` is a generator: it yields a step, and is sent the step's result. It is independent of
arrays, files, tiles and workers; ``engine.run`` executes the steps on a store.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from hdseg_gpu.core.params import Params
from hdseg_gpu.pipeline.doubt import MOST_DETAIL, contradiction_of, doubt_of
from hdseg_gpu.pipeline.rounds import (
    WIDE,
    Lengths,
    Round,
    last_passes,
    last_round,
    wide_passes,
)


@dataclass(frozen=True)
class Statistics:
    """Compute the statistics of the image and the edge features. Sent back: nothing."""


@dataclass(frozen=True)
class Detail:
    """Measure the detail of the coarse map's boundaries. Sent back: flips per edge."""


@dataclass(frozen=True)
class Seeds:
    """Thin the classes to seeds; the pixels removed are unknown.

    Sent back: the number of unknown pixels.
    """

    number: int  # i in the i-th wide round, len(WIDE) for the walker's seeds
    redrawn: int  # how often the classes were redrawn before
    passes: int
    look: Round | None  # of the evidence for the unknown pixels; None without evidence
    fresh: bool  # whether these classes are thinned for the first time

    @property
    def first(self) -> bool:
        """Return whether these are the coarse map's classes, thinned for the first time."""
        return self.fresh and self.redrawn == 0

    @property
    def last(self) -> bool:
        """Return whether the walker starts from these seeds."""
        return self.number == len(WIDE)


@dataclass(frozen=True)
class Contradiction:
    """Count pixels whose colours contradict the coarse map. Sent back: counts, (2, K)."""

    seeds: Seeds


@dataclass(frozen=True)
class Redraw:
    """Give the unknown pixels their likeliest classes. Sent back: nothing."""

    seeds: Seeds
    doubt: float


@dataclass(frozen=True)
class Solve:
    """Decide the unknown pixels by the random walker. Sent back: nothing."""

    seeds: Seeds
    doubt: float


Step = Statistics | Detail | Seeds | Contradiction | Redraw | Solve


@dataclass(frozen=True)
class Decided:
    """The outcome of the steps."""

    seeds: Seeds  # the walker's
    doubt: float | None  # of the coarse map's boundaries; None without evidence


def steps(params: Params, lengths: Lengths) -> Generator[Step, Any, Decided]:
    """Yield the steps of one refinement.

    Each round fits local colour models to the current classes, and redraws classes by the colours;
    colour windows shrink from round to round. A coarse map without doubt gets the last round only.
    """
    yield Statistics()
    doubt, redrawn, passes, look = None, 0, params.passes, None
    thinned = -1  # `redrawn` when classes were last thinned
    if params.gamma > 0:
        detail = yield Detail()
        doubt = 0.0
        for i, wide in enumerate(WIDE if detail < MOST_DETAIL else ()):
            seeds = Seeds(i, redrawn, wide_passes(i, params, lengths), wide, thinned < redrawn)
            thinned = redrawn
            if (yield seeds) == 0:
                break
            if i == 0:
                doubt = doubt_of(detail, contradiction_of((yield Contradiction(seeds))))
                if doubt == 0:
                    break
            yield Redraw(seeds, doubt)
            redrawn = i + 1
        passes, look = last_passes(doubt, params, lengths), last_round(doubt)
    seeds = Seeds(len(WIDE), redrawn, passes, look, thinned < redrawn)
    if (yield seeds) > 0:
        yield Solve(seeds, doubt or 0.0)
    return Decided(seeds, doubt)
