"""How the parts of the backend `cuda` start kernels."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cuda_device import BLOCK, Device
from hdseg_gpu.backends.cuda_warmup import kernels_for
from hdseg_gpu.backends.host import reloaded
from hdseg_gpu.core.ops import Band, Edges, Level, Ops, class_dtype
from hdseg_gpu.core.windows import Placement

# Zeros before and behind the entries of columns and weights, as in kernels/cpu/band.h: kernels may
# read beyond the ends.
PADDING = 32
# Blocks that sum up one column: as many on every card, so that sums are the same bits.
_SUMMANDS = 1024


# Counts that a block adds up, as in kernels/cuda/scan.h.
SCANNED = 4096
# Zeros of 8 bytes that a level keeps for kernels to count in, until it needs more.
_ZEROS = 128


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


@dataclass
class CudaEdges(Edges):
    """The weights of A to the pixel north, east and south, and the row sums: (4, padded n)."""

    rows: Any
    inverse: Any = None  # 1 / A_ii, (padded n), from the first time it is needed


@dataclass(frozen=True)
class Sums:
    """Where blocks leave what they have of two sums for each of some columns."""

    parts: Any  # (2, columns, blocks) float64
    arrived: Any  # (columns,) uint32, 0 between launches: blocks that are done
    worst: Any  # (columns,) uint32, 0 between launches: of a maximum
    factor: Any  # (columns,) float64: what becomes of the sums


@dataclass
class CudaLevel(Level):
    """A level's weights and row sums (kernels/common/multigrid.h); `kind` begins kernels' names.

    "stencil": offsets (4, n) int32 to the entries up2, up, down and down2 (``Offsets``), weights
    (7, padded n) float32, excess (padded n) float32. "sparse": row starts (n + 1) and columns
    int32, weights float32, excess (padded n).
    """

    kind: str
    parts: tuple[Any, ...]
    inverse: Any  # 1 / diagonal, (padded n), the padding 0
    entries: int
    first_entry: Any = None  # "stencil": the entry of each run's first black pixel, (runs + 1,)
    # What coarsen has found: where each aggregate begins, (aggregates + 1,), in the entries of all,
    # one aggregate after the other, those that are left out last: so sums have a fixed order.
    members: tuple[Any, Any] | None = None

    _sums: Sums | None = None
    _room: Any = None
    _zeros: Any = None

    @property
    def size(self) -> int:
        return self.entries

    def sums(self, xp: Any, columns: int) -> Sums:
        """Return what sums over the rows need, made once."""
        if self._sums is None or len(self._sums.arrived) < columns:
            blocks = blocks_of_sums(self.size)
            room = xp.empty((2 * blocks + 1) * columns)
            parts, factor = room[columns:].reshape(2, columns, blocks), room[:columns]
            arrived, worst = xp.zeros((2, columns), np.uint32)
            self._sums = Sums(parts, arrived, worst, factor)
        return self._sums

    def zeros(self, xp: Any, count: int, dtype: Any) -> Any:
        """Return a few zeros, each time others: an allocation and a fill for many of them."""
        if self._zeros is None or len(self._zeros) < count:
            self._zeros = xp.zeros(_ZEROS, np.uint64)
        found, self._zeros = self._zeros[:count], self._zeros[count:]
        return found.view(dtype)[:count]

    def room(self, xp: Any, columns: int) -> Any:
        """Return columns for what nobody reads later, made once."""
        if self._room is None or len(self._room) < columns:
            self._room = xp.empty((columns, self.size + 2 * PADDING), np.float32)
        return self._room[:columns]


def blocks_of_sums(entries: int) -> int:
    """Return how many blocks sum up a column of so many entries."""
    return min(-(-entries // BLOCK), _SUMMANDS)


class CudaKernels(Ops):
    """A device, and grids that suit it."""

    # The look at the error waits for all that is under way, and costs as much as some steps.
    patience = 4
    # A launch is worth more here than a loop's turn on a processor.
    block = 1 << 26
    merged = 1 << 22

    def __init__(self, device: Device) -> None:
        self.device = device
        self.xp = device.xp

    def __reduce__(self) -> tuple[Any, ...]:
        return reloaded, (self.name,)  # it travels as its name, to the first device there

    def here(self, budget: int | None = None) -> AbstractContextManager[None]:
        return self.device.here(budget)

    def threads(self, count: int) -> AbstractContextManager[None]:
        return nullcontext()

    def prepare(self, image: NDArray[Any], count: int) -> None:
        classes = suffix(np.empty(0, class_dtype(count)))
        self.device.prepare(kernels_for(suffix(image), image.shape[2], classes))

    def host(self, array: Any) -> NDArray[Any]:
        return self.device.host(array)

    def fetched(self, *arrays: Any) -> tuple[NDArray[Any], ...]:
        return self.device.fetched(arrays)

    def sparse(self) -> tuple[Any, Any]:
        return self.device.sparse()

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


def numbers_of(place: Placement) -> tuple[int, ...]:
    """Return a placement as kernels take it: kernels/cuda/placement.h."""
    return (*place.shape, *place.window, *place.grid, *place.part)


def runs_of(band: Band) -> tuple[Any, ...]:
    """Return a band as kernels take it: pixels, starts, and the numbers of runs and positions."""
    return band.pixel, band.start, len(band.pixel), band.size
