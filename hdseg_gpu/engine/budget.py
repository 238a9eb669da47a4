"""Estimate of the memory that a run will take, before it begins."""

import os
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.memory import Budget, MiB, resident
from hdseg_gpu.core.params import Params
from hdseg_gpu.core.tiles import BLOCK
from hdseg_gpu.core.windows import Shape
from hdseg_gpu.pipeline.block import halo_of
from hdseg_gpu.pipeline.colours import windows_for
from hdseg_gpu.pipeline.doubt import in_squares
from hdseg_gpu.pipeline.rounds import LAST, WIDE, lengths_of
from hdseg_gpu.pipeline.seeds import reach_of

# Side of the tiles that seeds are found in, at least; like blocks, it does not depend on the plan.
SEED_TILE = 4096
TILES = (8192, 4096, 2048)
# Measured, in bytes: what a phase holds at most for each pixel of its window beside the image, and
# for each unknown pixel of a block. docs/decisions/0008-out-of-core.md.
_FOR_SEEDS = 8
_FOR_PIXEL = 6
_FOR_UNKNOWN = 320
_LIBRARIES = 64 * MiB  # loaded or buffered after the plan
_UNKNOWN = 0.25  # share of a block, as long as nothing is known


@dataclass(frozen=True)
class Need:
    """What decides how much memory tiles take."""

    shape: Shape
    channels: int
    itemsize: int
    class_bytes: int
    params: Params
    doubtful: bool  # whether wide rounds may follow
    boundary_bytes: int = 0  # of a boundary map's value
    decoding: int = 0  # what reading takes beside the pixels
    held: int = 0  # what open files may come to keep, whoever reads them
    coarse_bytes: float = 0.0  # of the coarse map, for each pixel of the image

    def of_tile(self, tile: int, unknown: float = _UNKNOWN * BLOCK**2) -> int:
        """Return the bytes that one worker needs for tiles of a size."""
        params = self.params
        passes, coarse = params.passes, 2 * self.coarse_bytes  # for two things at once
        seeds = self._pixels(SEED_TILE, reach_of(params, passes)) * (
            _FOR_SEEDS * self.class_bytes + coarse
        )
        halo, moments = 256, 0.0
        if params.gamma > 0:
            lengths = lengths_of(params, self.shape)
            look = WIDE[0] if self.doubtful else LAST
            size, reach = windows_for(look.spread, lengths)
            halo = reach + size + (halo_of(params.gamma) or 256)
            count = (self.channels + 1) * (self.channels + 2) // 2
            moments = 4.0 * count / lengths.cell**2
        image = 2.0 * self.channels * self.itemsize  # as it is decoded, and as it is used
        pixels = self._pixels(tile, halo)
        solve = pixels * (image + moments + coarse + _FOR_PIXEL * self.class_bytes)
        solve += self._pixels(BLOCK, halo_of(params.gamma) or 256) * 2 * self.boundary_bytes
        return ceil(max(seeds, solve + unknown * _FOR_UNKNOWN) + self.decoding)

    def of_window(self, pixels: int, unknown: int) -> int:
        """Return the bytes that a window takes of which so many pixels are unknown."""
        each = 2 * (self.channels * self.itemsize + self.boundary_bytes)
        return pixels * (each + _FOR_PIXEL * self.class_bytes) + unknown * _FOR_UNKNOWN

    def _pixels(self, side: int, halo: int) -> int:
        height, width = (min(side + 2 * halo, n) for n in self.shape)
        return height * width


@dataclass(frozen=True)
class Plan:
    """Tiles, and how many at once."""

    need: Need
    tile: int
    workers: int
    budget: int  # bytes that all workers together may take

    @property
    def threads(self) -> int:
        """Return the processors for each of them."""
        return max(1, (os.cpu_count() or 1) // self.workers)

    @property
    def share(self) -> int:
        """Return the bytes that each of them may take."""
        return self.budget // self.workers

    def require(self, pixels: int, unknown: int) -> None:
        """Refuse a window that takes more than the share of a worker."""
        need = self.need.of_window(pixels, unknown)
        if need > self.share:
            raise InvalidInput(
                f"A block has {unknown} unknown pixels around it within the {pixels} pixels that "
                f"matter, which takes {need // MiB} MiB, and a worker has {self.share // MiB} MiB "
                f"of max_memory; allow {(need - self.share) * self.workers // MiB + 1} MiB more "
                "and continue with --resume, or use fewer workers or passes, or a larger gamma."
            )

    def with_unknown(self, unknown: NDArray[np.int64]) -> "Plan":
        """Return the plan for solving, now that unknown pixels are counted.

        unknown: in each patch.
        """
        most = int(in_squares(unknown, BLOCK).max())
        each = self.need.of_tile(self.tile, most)
        if each > self.budget:
            raise InvalidInput(
                f"{most} of the {BLOCK**2} pixels of a block are unknown, which takes "
                f"{each // MiB} MiB, and {self.budget // MiB} MiB are left of max_memory; allow "
                f"{(each - self.budget) // MiB + 1} MiB more, or use fewer passes."
            )
        return replace(self, workers=min(self.workers, self.budget // each))


def planned(
    need: Need, allowed: Budget, workers: int | None, tile: int | None, given_back: int = 0
) -> Plan:
    """Return tiles and workers that a budget suffices for, or refuse it.

    given_back: bytes that are occupied now, and will not be when the first tile begins.
    """
    used = resident() - given_back + _LIBRARIES + need.held
    budget = allowed.total - used
    most = workers or os.cpu_count() or 1
    sizes = TILES if tile is None else (tile,)
    smallest = need.of_tile(sizes[-1]) * (workers or 1)
    if budget < smallest:
        name = allowed.name if allowed.given else f"max_memory, {allowed.name},"
        raise InvalidInput(
            f"{name} is not enough: {used // MiB} MiB are used already, and {workers or 1} tile(s) "
            f"of {sizes[-1]} pixels take {smallest // MiB} MiB; allow "
            f"{(used + smallest) // MiB + 1} MiB."
        )
    for size in sizes:
        at_once = min(most, budget // need.of_tile(size))
        # Large tiles read less twice, but not at the price of idle processors.
        if at_once >= most or (size == sizes[-1] and at_once):
            return Plan(need, size, at_once, budget)
    raise AssertionError("the smallest size fits")
