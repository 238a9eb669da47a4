"""The rounds of the evidence: how wide each of them looks, and the lengths that follow."""

from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

from hdseg_gpu.core.params import Params
from hdseg_gpu.core.windows import Shape


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

# What is farther from a boundary than this, or than the first band and some, is far: distances are
# not told apart any more. So a part of the picture suffices to know them exactly.
_FAR = 16.0
_BEYOND_BAND = 4.0


@dataclass(frozen=True)
class Lengths:
    """What lengths are measured in."""

    unit: float  # pixels: the scale, but not more than the picture has
    cell: int  # pixels: half a unit
    reach: int  # cells: classes that are farther do not count


def lengths_of(params: Params, shape: Shape) -> Lengths:
    """Return the lengths for a picture."""
    unit = min(params.scale, float(max(shape)))
    cell = max(2, round(unit / 2))
    reach = ceil(max(_FAR * unit, params.passes + _BEYOND_BAND * unit) / cell)
    return Lengths(unit, cell, reach)


def wide_passes(i: int, params: Params, lengths: Lengths) -> int:
    """Return the passes of the i-th wide round; the first has those asked for."""
    return params.passes if i == 0 else min(params.passes, round(WIDE[i].passes * lengths.unit))


def last_round(doubt: float) -> Round:
    """Return the round that the walker follows."""
    return LAST if doubt > 0 else TRUSTED


def last_passes(doubt: float, params: Params, lengths: Lengths) -> int:
    """Return its passes."""
    return min(params.passes, max(1, round(last_round(doubt).passes * lengths.unit)))
