"""How the parts of the backend `cuda` start kernels."""

from typing import Any, NamedTuple

import numpy as np

from hdseg_gpu.backends import load
from hdseg_gpu.backends.cuda.cupy_device import BLOCK, Device
from hdseg_gpu.ops import Ops

# Counts that a block adds up, as in kernels/cuda/scan.h.
SCANNED = 4096
PIECE = 256  # positions of a band that a warp walks along, as in kernels/cuda/positions.h


class Scan(NamedTuple):
    """Counts (rows, length), and what comes before each of them: kernels/cuda/scan.h."""

    counts: Any  # int32
    in_tile: Any  # int64
    tile: Any  # int64, (rows, tiles + 1)
    done: Any  # (1,)
    rows: int
    length: int  # of a row

    @property
    def before(self) -> tuple[Any, ...]:
        """Return what comes before, as kernels take it."""
        return self.in_tile, self.tile, self.length

    @property
    def totals(self) -> Any:
        """Return an array whose every (tiles + 1)-th value is the total of a row."""
        return self.tile.reshape(self.rows, -1)


class CudaKernels(Ops):
    """A device, and grids that suit it."""

    # The look at the error waits for all that is under way, and costs as much as some steps.
    check_interval = 4
    # A launch is worth more here than a loop's turn on a processor.
    block = 1 << 26
    merged = 1 << 22

    def __init__(self, device: Device) -> None:
        self.device = device
        self.xp = device.xp

    def __reduce__(self) -> tuple[Any, ...]:
        return load, (self.name,)  # it travels as its name, to the first device there

    def _counted(self, count: int, rows: int = 1) -> Scan:
        """Return room for counts, and for what ``_scanned`` makes of them."""
        tiles, values = -(-count // SCANNED), rows * count
        sizes = (values, rows * (tiles + 1), 1, -(-values // 2))
        whole, parts = self.xp.empty(sum(sizes), np.int64), []
        for size in sizes:
            parts.append(whole[:size])
            whole = whole[size:]
        in_tile, tile, done, counts = parts
        return Scan(counts.view(np.int32)[:values], in_tile, tile, done, rows, count)

    def _scanned(self, scan: Scan) -> None:
        """Add up counts; the kernel that has written them has set `done` to 0."""
        tiles = -(-scan.length // SCANNED)
        args = (scan.counts, scan.length, scan.in_tile, scan.tile, scan.done)
        self.device.launch("scan.cu", "scan", (tiles, scan.rows), (BLOCK,), args)

    def _degrees(self, rows: int) -> Any:
        """Return room for how many entries each row has, after a 0 that kernels write, too."""
        return self.xp.empty(rows + 1, np.int32) if rows else self.xp.zeros(1, np.int32)

    def _starts(self, lengths: Any) -> Any:
        """Return where rows or runs of these lengths begin, and where the last one ends: int32.

        Sums are always put into an array that is there: without `out` CuPy compiles a copy first.
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
