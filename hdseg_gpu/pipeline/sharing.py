"""Right-hand sides that classes share: where thousands meet in one component, few are near by.

With evidence a walker forgets quickly. So a class has no say far from its seeds and its evidence,
and classes that are far apart can have the same right-hand side: its potential is that of the class
near by. A component costs as many columns as there are classes around a place, however many it has.
"""

from dataclasses import dataclass
from math import ceil, log

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.windows import Shape

# Components that no more classes reach have a column for each of them.
FEW = 32
_RINGS = 2  # tiles around a class's own in which it has a say
_LARGEST_REACH = 256
# What classes that share a column may add to the potential, as a share of the tolerance.
_SHARE = 0.1


@dataclass(frozen=True)
class Sharing:
    """How far apart classes must be to share a column."""

    tile: int  # pixels
    error: float  # that all classes farther away may have of the potentials of a pixel, together

    @staticmethod
    def of(gamma: float, tolerance: float) -> "Sharing | None":
        """Return it, None where a walker comes too far.

        At a pixel at least d rows or columns away from all seeds and evidence of some classes,
        these have 4 (1 + gamma)^-d at most (``block.halo_of``): the walker has to leave the square
        around the pixel to get to any of them.
        """
        if gamma <= 0.0:
            return None
        reach = ceil(log(4.0 / (_SHARE * tolerance)) / log(1.0 + gamma))
        if reach > _LARGEST_REACH:
            return None
        tile = -(-reach // _RINGS)
        return Sharing(tile, 4.0 * (1.0 + gamma) ** -(_RINGS * tile))

    def grid(self, shape: Shape) -> Shape:
        """Return the tiles of a picture."""
        return -(-shape[0] // self.tile), -(-shape[1] // self.tile)

    def estimate(self, labels: int, shape: Shape) -> int:
        """Return about how many columns so many labels in a picture need."""
        side = (4 * _RINGS + 2) * self.tile // 2
        share = min(1.0, side * side / (shape[0] * shape[1]))
        return max(min(labels, FEW), ceil(labels * share))


def shared_columns(
    tiles: NDArray[np.int64], labels: NDArray[np.int64], grid: Shape
) -> NDArray[np.int64]:
    """Return (tiles of the grid, m) which label each column stands for in a tile, 0 for none.

    tiles, labels: where labels have seeds or evidence. A label stands in the tiles up to two away
    from those, always in the same column, and no other label of that column does.
    """
    order = np.lexsort((tiles, labels))
    tiles, labels = tiles[order], labels[order]
    first = np.flatnonzero(np.diff(labels, prepend=-1))
    rows, columns = np.divmod(tiles, grid[1])
    parts = list(zip(first.tolist(), [*first[1:].tolist(), labels.size], strict=True))
    # From the top left on, so that labels close ranks.
    parts.sort(key=lambda part: int(tiles[part[0]]))
    taken = [[0] * grid[1] for _ in range(grid[0])]  # of each tile, the columns as bits
    found: list[tuple[int, int, list[tuple[int, int, int]]]] = []
    for begin, end in parts:
        spans = _around(rows[begin:end].tolist(), columns[begin:end].tolist(), grid)
        used = 0
        for y, left, right in spans:
            for bits in taken[y][left:right]:
                used |= bits
        bit = ~used & (used + 1)
        for y, left, right in spans:
            row = taken[y]
            row[left:right] = [bits | bit for bits in row[left:right]]
        found.append((bit.bit_length() - 1, int(labels[begin]), spans))
    table = np.zeros((*grid, 1 + max(column for column, _, _ in found)), np.int64)
    for column, label, spans in found:
        for y, left, right in spans:
            table[y, left:right, column] = label
    return table.reshape(-1, table.shape[2])


def _around(rows: list[int], columns: list[int], grid: Shape) -> list[tuple[int, int, int]]:
    """Return the tiles up to two away from some, as spans: row, first column, one behind the last.

    Tiles come row by row. Gaps in what a class has in a row are filled where nobody would fit in.
    """
    spans: dict[int, list[tuple[int, int]]] = {}
    for y, x in zip(rows, columns, strict=True):
        left, right = max(0, x - _RINGS), min(grid[1], x + _RINGS + 1)
        for v in range(max(0, y - _RINGS), min(grid[0], y + _RINGS + 1)):
            spans.setdefault(v, []).append((left, right))
    merged = []
    for v, parts in spans.items():
        parts.sort()
        left, right = parts[0]
        for begin, end in parts[1:]:
            if begin > right:
                merged.append((v, left, right))
                left, right = begin, end
            right = max(right, end)
        merged.append((v, left, right))
    return merged
