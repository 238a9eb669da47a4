"""Shared right-hand sides, for components that thousands of classes reach.

With evidence, the influence of a class decays quickly with the distance from its seeds and its
evidence. So classes far apart can share a right-hand side: near each class, the solution is the
potential of that class. As many columns are needed as classes have influence at one place.
"""

from dataclasses import dataclass
from math import ceil, log

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.windows import Shape

# Components with at most this many classes have a column for each.
FEW = 32
_RINGS = 2  # tiles around its own in which a class has influence
_LARGEST_REACH = 256
# Error of a potential that sharing columns may cause, as a fraction of the tolerance.
_SHARE = 0.1


@dataclass(frozen=True)
class Sharing:
    """The grid of tiles by which classes share columns."""

    tile: int  # side in pixels
    error: float  # bound on the sum of a pixel's potentials for all classes beyond _RINGS tiles

    @staticmethod
    def of(gamma: float, tolerance: float) -> "Sharing | None":
        """Return the grid, None if influence decays too slowly.

        At a pixel at least d rows or columns away from all seeds and evidence of some classes,
        their potentials sum to at most 4 (1 + gamma)^-d (``block.halo_of``): a walker has to leave
        the square of radius d around the pixel to reach any of them.
        """
        if gamma <= 0.0:
            return None
        reach = ceil(log(4.0 / (_SHARE * tolerance)) / log(1.0 + gamma))
        if reach > _LARGEST_REACH:
            return None
        tile = -(-reach // _RINGS)
        return Sharing(tile, 4.0 * (1.0 + gamma) ** -(_RINGS * tile))

    def grid(self, shape: Shape) -> Shape:
        """Return the rows and columns of tiles of an image."""
        return -(-shape[0] // self.tile), -(-shape[1] // self.tile)

    def estimate(self, labels: int, shape: Shape) -> int:
        """Estimate the number of columns for labels spread over an image."""
        side = (4 * _RINGS + 2) * self.tile // 2
        share = min(1.0, side * side / (shape[0] * shape[1]))
        return max(min(labels, FEW), ceil(labels * share))


def shared_columns(
    tiles: NDArray[np.int64], labels: NDArray[np.int64], grid: Shape
) -> NDArray[np.int64]:
    """Assign labels to columns: return (tiles, m), the label of each column in each tile, or 0.

    tiles, labels: pairs (tile, label) where a label has seeds or evidence. A label occupies one
    column in all tiles up to two away from these; no other label occupies that column there.
    """
    order = np.lexsort((tiles, labels))
    tiles, labels = tiles[order], labels[order]
    first = np.flatnonzero(np.diff(labels, prepend=-1))
    rows, columns = np.divmod(tiles, grid[1])
    parts = list(zip(first.tolist(), [*first[1:].tolist(), labels.size], strict=True))
    # From the top left, which packs columns tightly.
    parts.sort(key=lambda part: int(tiles[part[0]]))
    taken = [[0] * grid[1] for _ in range(grid[0])]  # occupied columns of each tile, as bits
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
    """Return the tiles up to two away from the given ones, as spans (row, begin, end) of columns.

    The given tiles are sorted row by row. Spans of a row that overlap or touch are merged.
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
