"""The order of the algorithm: the only place that knows what follows what.

``steps`` is a generator: it yields what is to be done, and is sent what came of it. It knows
nothing of arrays, files, tiles or workers; ``engine.run`` does the steps on a store.
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
    """Find the statistics of the image and the edge features. Sent back: nothing."""


@dataclass(frozen=True)
class Detail:
    """Measure the detail of the coarse map's boundaries. Sent back: flips for each edge."""


@dataclass(frozen=True)
class Seeds:
    """Thin the classes: find the seeds, and the unknown pixels between them.

    Sent back: the number of unknown pixels.
    """

    number: int  # of these seeds; those of the i-th wide round have i, the walker's len(WIDE)
    redrawn: int  # how often the classes have been redrawn
    passes: int
    look: Round | None  # of the evidence between them; None without evidence
    fresh: bool  # whether no earlier step has thinned these classes

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
    """Count where the colours contradict the coarse map. Sent back: counts, (2, K)."""

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
    """What the steps came to."""

    seeds: Seeds  # the walker's
    doubt: float | None  # of the coarse map's boundaries; None without evidence


def steps(params: Params, lengths: Lengths) -> Generator[Step, Any, Decided]:
    """Yield the steps of one refinement.

    The coarse map says which colours belong to which class nearby, the colours say where the map is
    wrong, and so on in rounds, from wide windows to narrow ones. A map that deserves no doubt gets
    the last round alone.
    """
    yield Statistics()
    doubt, redrawn, passes, look = None, 0, params.passes, None
    thinned = -1  # how often the classes were redrawn that were thinned last
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
