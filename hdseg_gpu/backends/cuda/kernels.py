"""Starting kernels: shared by all ops of the backend `cuda`."""

from typing import Any, NamedTuple

import numpy as np

from hdseg_gpu.backends import load
from hdseg_gpu.backends.cuda.cupy_device import BLOCK, Device
from hdseg_gpu.ops import Ops

# Counts that a block adds up, as in kernels/cuda/scan.h.
SCANNED = 4096
PIECE = 256  # positions of a band per warp, as in kernels/cuda/positions.h


class Scan(NamedTuple):
    """Counts (rows, length) and their exclusive prefix sums: kernels/cuda/scan.h."""

    counts: Any  # int32
    in_tile: Any  # int64
    tile: Any  # int64, (rows, tiles + 1)
    done: Any  # (1,)
    rows: int
    length: int  # of a row

    @property
    def before(self) -> tuple[Any, ...]:
        """Return the prefix sums as an argument of kernels."""
        return self.in_tile, self.tile, self.length

    @property
    def totals(self) -> Any:
        """Return an array whose every (tiles + 1)-th value is the total of a row."""
        return self.tile.reshape(self.rows, -1)


class CudaKernels(Ops):
    """A device, and launches with suitable grids."""

    # Checking the error waits for the device, which costs as much as some iterations.
    check_interval = 4
    # A launch costs more than one iteration of a loop on a processor.
    block = 1 << 26
    merged = 1 << 22

    def __init__(self, device: Device) -> None:
        self.device = device
        self.xp = device.xp

    def __reduce__(self) -> tuple[Any, ...]:
        return load, (self.name,)  # pickled as its name; unpickled for the first device

    def _counted(self, count: int, rows: int = 1) -> Scan:
        """Return arrays for counts, and for the prefix sums of ``_scanned``."""
        tiles, values = -(-count // SCANNED), rows * count
        sizes = (values, rows * (tiles + 1), 1, -(-values // 2))
        whole, parts = self.xp.empty(sum(sizes), np.int64), []
        for size in sizes:
            parts.append(whole[:size])
            whole = whole[size:]
        in_tile, tile, done, counts = parts
        return Scan(counts.view(np.int32)[:values], in_tile, tile, done, rows, count)

    def _scanned(self, scan: Scan) -> None:
        """Compute prefix sums of counts, whose kernel has set `done` to 0."""
        tiles = -(-scan.length // SCANNED)
        args = (scan.counts, scan.length, scan.in_tile, scan.tile, scan.done)
        self.device.launch("scan.cu", "scan", (tiles, scan.rows), (BLOCK,), args)

    def _degrees(self, rows: int) -> Any:
        """Return an array for the length of each row, after a leading 0 that kernels write, too."""
        return self.xp.empty(rows + 1, np.int32) if rows else self.xp.zeros(1, np.int32)

    def _starts(self, lengths: Any) -> Any:
        """Return where rows or runs of these lengths begin, and where the last one ends: int32.

        Always with `out`: without it CuPy compiles a kernel for a copy first.
        """
        start = self.xp.zeros(len(lengths) + 1, np.int32)
        self.xp.cumsum(lengths, out=start[1:])
        return start

    def _spread(self, file: str, kernel: str, count: int, *args: Any, shared: int = 0) -> None:
        """Start a kernel with a thread for each of `count` items; none if there are no items."""
        if count > 0:
            blocks = min(-(-count // BLOCK), self.device.most_blocks)
            self.device.launch(file, kernel, (blocks,), (BLOCK,), args, shared)


def suffix(array: Any) -> str:
    """Return how the kernels for arrays of this type end: u8, u16, u32, f32 or f64."""
    dtype = np.dtype(array.dtype)
    return f"{'f' if dtype.kind == 'f' else 'u'}{8 * dtype.itemsize}"
