"""The memory that a run will take, estimated before it begins: tile size and workers."""

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

# Least side of the tiles in which seeds are computed; like blocks, independent of the plan.
SEED_TILE = 4096
TILES = (8192, 4096, 2048)
# Measured peaks in bytes per pixel of a phase's window, beside the image, and per unknown pixel of
# a block: docs/decisions/0008-out-of-core.md.
_FOR_SEEDS = 8
_FOR_PIXEL = 6
_FOR_UNKNOWN = 320
_LIBRARIES = 64 * MiB  # loaded or buffered after the plan
_UNKNOWN = 0.25  # share of a block that is unknown, assumed until it is counted


@dataclass(frozen=True)
class Need:
    """The properties of a run that the memory of its tiles depends on."""

    shape: Shape
    channels: int
    itemsize: int
    class_bytes: int
    params: Params
    doubtful: bool  # whether wide rounds may follow
    boundary_bytes: int = 0  # per value of the boundary map
    decoding: int = 0  # bytes for reading, beside the pixels
    held: int = 0  # most bytes that open files keep, for all workers together
    coarse_bytes: float = 0.0  # of the coarse map, per pixel of the image

    def of_tile(self, tile: int, unknown: float = _UNKNOWN * BLOCK**2) -> int:
        """Return the bytes that one worker needs for tiles with a side of `tile` pixels."""
        params = self.params
        passes, coarse = params.passes, 2 * self.coarse_bytes  # two copies at once
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
        """Return the bytes for solving a window with so many pixels and unknown pixels."""
        each = 2 * (self.channels * self.itemsize + self.boundary_bytes)
        return pixels * (each + _FOR_PIXEL * self.class_bytes) + unknown * _FOR_UNKNOWN

    def _pixels(self, side: int, halo: int) -> int:
        height, width = (min(side + 2 * halo, n) for n in self.shape)
        return height * width


@dataclass(frozen=True)
class Plan:
    """The size of the tiles, and how many are processed at once."""

    need: Need
    tile: int
    workers: int
    budget: int  # bytes for all workers together

    @property
    def threads(self) -> int:
        """Return the number of threads for each worker."""
        return max(1, (os.cpu_count() or 1) // self.workers)

    @property
    def share(self) -> int:
        """Return the bytes for each worker."""
        return self.budget // self.workers

    def require(self, pixels: int, unknown: int) -> None:
        """Raise InvalidInput for a window that needs more than the share of a worker."""
        need = self.need.of_window(pixels, unknown)
        if need > self.share:
            raise InvalidInput(
                f"max_memory is not enough: a block and its surroundings have {pixels} pixels, "
                f"{unknown} of them unknown, which takes {need // MiB} MiB, and a worker has "
                f"{self.share // MiB} MiB; allow "
                f"{(need - self.share) * self.workers // MiB + 1} MiB more and continue with "
                "resume=True, or use fewer workers or passes, or a larger gamma."
            )

    def with_unknown(self, unknown: NDArray[np.int64]) -> "Plan":
        """Return the plan for solving, given the unknown pixels of each patch.

        Raises InvalidInput if the budget does not suffice for one worker.
        """
        most = int(in_squares(unknown, BLOCK).max())
        each = self.need.of_tile(self.tile, most)
        if each > self.budget:
            raise InvalidInput(
                f"max_memory is not enough: {most} of the {BLOCK**2} pixels of a block are "
                f"unknown, which takes {each // MiB} MiB, and {self.budget // MiB} MiB are left; "
                f"allow {(each - self.budget) // MiB + 1} MiB more, or use fewer passes."
            )
        return replace(self, workers=min(self.workers, self.budget // each))


def planned(
    need: Need, allowed: Budget, workers: int | None, tile: int | None, given_back: int = 0
) -> Plan:
    """Return the largest tiles and most workers that fit a budget; raise InvalidInput if none do.

    given_back: bytes in use now that are freed before the first tile begins.
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
