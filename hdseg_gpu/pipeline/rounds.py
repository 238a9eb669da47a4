"""The rounds of the evidence: their parameters, and lengths in pixels and cells."""

from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

from hdseg_gpu.core.params import Params
from hdseg_gpu.core.windows import Shape


class Round(NamedTuple):
    """The parameters of one round; lengths are in units of the scale."""

    passes: float  # of thinning, which set the width of the band
    spread: float  # standard deviation of the smoothing over colour windows
    weight: float  # of the colours


# docs/decisions/0006-evidence.md lists the alternatives tried.
WIDE = (Round(12, 14, 1.1), Round(4, 8, 1.1), Round(4, 5, 1.1))
LAST = Round(2, 3, 1.5)
TRUSTED = Round(2, 3, 1.0)
SMOOTHING = 3  # side of the majority filter between the rounds
SMOOTHING_REACH = SMOOTHING // 2

# Distances to another class are cut off here, or a little beyond the first band if that is farther.
# So they can be computed exactly from a part of the image.
_FAR = 16.0
_BEYOND_BAND = 4.0


@dataclass(frozen=True)
class Lengths:
    """The units of lengths."""

    unit: float  # in pixels: the scale, at most the image's longer side
    cell: int  # side in pixels: half a unit
    reach: int  # in cells: the largest distance to another class that counts


def lengths_of(params: Params, shape: Shape) -> Lengths:
    """Return the units of lengths for an image."""
    unit = min(params.scale, float(max(shape)))
    cell = max(2, round(unit / 2))
    reach = ceil(max(_FAR * unit, params.passes + _BEYOND_BAND * unit) / cell)
    return Lengths(unit, cell, reach)


def wide_passes(i: int, params: Params, lengths: Lengths) -> int:
    """Return the passes of the i-th wide round; the first has those of `params`."""
    return params.passes if i == 0 else min(params.passes, round(WIDE[i].passes * lengths.unit))


def last_round(doubt: float) -> Round:
    """Return the last round, whose evidence the walker uses."""
    return LAST if doubt > 0 else TRUSTED


def last_passes(doubt: float, params: Params, lengths: Lengths) -> int:
    """Return the passes of the last round."""
    return min(params.passes, max(1, round(last_round(doubt).passes * lengths.unit)))
