"""Ops of the backend `cuda` on levels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cuda.cupy_device import BLOCK
from hdseg_gpu.backends.cuda.kernels import CudaKernels
from hdseg_gpu.backends.cuda.layout import PADDING, CudaLevel, blocks_of_sums
from hdseg_gpu.core.links import diagonal_of, sparse_rows
from hdseg_gpu.ops import CsrMatrix, Level

# Neighbours of an entry of the finest level; sparse levels with fewer entries may have unused ones.
_NEIGHBOURS, _FEW_ENTRIES = 8, 1 << 18
# Rounds of matching, after which unmatched entries join others or stay alone.
_ROUNDS = 4


@dataclass(frozen=True)
class _Graph:
    """The weights of a matrix, and properties of its entries: kernels/cuda/aggregation.cu."""

    kind: str
    parts: tuple[Any, ...]
    size: int
    tied: Any
    inner: Any
    diagonal: Any
    leader: Any  # of each entry's pair so far

    @property
    def edges(self) -> int:
        """Return an upper bound of the entries of all rows."""
        return _NEIGHBOURS * self.size if self.kind == "stencil" else len(self.parts[2])


class CudaLevelOps(CudaKernels):
    """Allocates, launches, returns; coarsening waits for the sizes of its results."""

    def grid_level(
        self, link: NDArray[np.int32], weight: NDArray[np.float32], row_sum: NDArray[np.float32]
    ) -> Level:
        start, column, weights = sparse_rows(self.xp, link, weight)
        sums, inverse = self.xp.zeros((2, len(row_sum) + 2 * PADDING), np.float32)
        sums[PADDING:-PADDING] = row_sum
        inverse[PADDING:-PADDING] = 1 / diagonal_of(self.xp, link, weight, row_sum)
        return CudaLevel("sparse", (start, column, weights, sums), inverse, len(row_sum))

    def diagonal(self, level: Level) -> NDArray[Any]:
        assert isinstance(level, CudaLevel)
        diagonal: NDArray[Any] = 1 / level.inverse[PADDING:-PADDING]
        return diagonal

    def row_sums(self, level: Level) -> NDArray[Any]:
        assert isinstance(level, CudaLevel)
        sums: NDArray[Any] = level.parts[-1][PADDING:-PADDING]
        return sums

    def dominance(self, level: Level) -> float:
        assert isinstance(level, CudaLevel)
        if level.size == 0:
            return 1.0
        found = level.zeros(self.xp, 1, np.uint32)
        blocks = blocks_of_sums(level.size)
        args = level.parts[-1], level.inverse, level.size, found
        self.device.launch("vectors.cu", "dominance", (blocks, 1), (BLOCK,), args)
        (least,) = (~self.host(found)).view(np.float32)
        return min(float(least), 1.0)

    def inverse(self, level: Level) -> NDArray[np.float64]:
        assert isinstance(level, CudaLevel)
        found: NDArray[np.float64] = self.xp.empty((level.size, level.size))
        if level.size > 0:
            kind, parts = _weights(level)
            # One block, whose threads synchronise.
            self.device.launch(
                "aggregation.cu", f"{kind}_inverse", (1,), (BLOCK,),
                (*parts, level.size, level.parts[-1], found),
            )  # fmt: skip
        return found

    def coarsen(self, level: Level) -> tuple[NDArray[np.int32], Level]:
        assert isinstance(level, CudaLevel)
        xp, n = self.xp, level.size
        leader, diagonal, inner = _words(xp, n, np.int32, np.float32, np.float32)
        self._each("find_dominant", n, level.parts[-1], level.inverse, n, leader, diagonal, inner)
        graph = _Graph(*_weights(level), n, self.row_sums(level), inner, diagonal, leader)
        # Pairs, then pairs of pairs; the finer graph, 50 bytes per entry, is freed.
        pair, graph = self._halved(graph)
        quad, graph = self._halved(graph)
        (aggregate, member), members = xp.empty((2, n), np.int32), xp.zeros(n + 1, np.int32)
        self._each("compose", n, pair, quad, n, aggregate, members)
        level.members = self._members(aggregate, members, graph.size, member)
        return aggregate, self._rescaled(graph, level.members[0])

    def _halved(self, graph: _Graph) -> tuple[Any, _Graph]:
        """Return the group of each entry, -1 for those left out, and the graph of the groups."""
        xp, n = self.xp, graph.size
        leader = graph.leader
        choice, first, group, member, strongest = _words(xp, n, *[np.int32] * 4, np.float32)
        self._on_graph("strongest", graph, leader, strongest, first)
        for i in range(_ROUNDS):
            self._on_graph("choose", graph, leader, graph.diagonal, strongest, i, choice)
            self._each("shake_hands", n, choice, n, leader)
        root = choice
        self._on_graph("join", graph, leader, graph.diagonal, root, first)
        self._each("mark_first", n, root, first, n, leader)
        count, members = xp.cumsum(leader, out=leader), xp.zeros(n + 1, np.int32)
        self._each("number_groups", n, root, first, count, n, group, members)
        groups = int(count[-1]) if n else 0
        found = self._members(group, members, groups, member)
        return group, self._gather(graph, group, found)

    def _members(self, group: Any, members: Any, groups: int, member: Any) -> tuple[Any, Any]:
        """Return where each group begins, (groups + 1,), in its entries, group by group.

        members[1 + g]: how many entries group g has; what else is there is 0, and used up.
        member: room for the entries.
        """
        start, n = self.xp.empty(groups + 1, np.int32), len(group)
        self.xp.cumsum(members[: groups + 1], out=start)
        self._each("place_members", n, group, n, groups, start, members, member)
        self._each("sort_members", groups, start, groups, member)
        return start, member

    def _gather(self, graph: _Graph, group: Any, members: tuple[Any, Any]) -> _Graph:
        """Return the sums over groups as a graph whose rows have gaps between them."""
        xp, groups = self.xp, len(members[0]) - 1
        degree = self._degrees(groups)
        self._on_graph("count_edges", graph, *members, group, groups, degree, count=groups)
        place = xp.cumsum(degree, out=degree)
        edges = self._entries(place, graph.edges)
        column, weight = _words(xp, edges, np.int32, np.float32)
        end, leader, tied, inner, diagonal = _words(
            xp, groups, np.int32, np.int32, np.float32, np.float32, np.float32
        )
        self._on_graph(
            "gather", graph, *members, group, groups, graph.tied, graph.inner, graph.diagonal,
            place, end, leader, column, weight, tied, inner, diagonal, count=groups,
        )  # fmt: skip
        rows = (place[:-1], end, column, weight)
        return _Graph("rows", rows, groups, tied, inner, diagonal, leader)

    def _rescaled(self, graph: _Graph, start: Any) -> CudaLevel:
        """Return the coarse matrix; start: of the finer level's members."""
        xp, n = self.xp, graph.size
        begin, end, to, total = graph.parts
        resistance, degree = xp.empty(n, np.float32), self._degrees(n)
        self._each("find_resistances", n, start, graph.inner, begin, end, n, resistance, degree)
        row_start = xp.cumsum(degree, out=degree)
        entries = self._entries(row_start, graph.edges)
        column, weight = _words(xp, entries, np.int32, np.float32)
        row_sum, inverse = xp.zeros((2, n + 2 * PADDING), np.float32)
        self._each(
            "rescale", n,
            begin, to, total, graph.tied, resistance, n, row_start, column, weight, row_sum,
            inverse,
        )  # fmt: skip
        return CudaLevel("sparse", (row_start, column, weight, row_sum), inverse, n)

    def _entries(self, starts: Any, most: int) -> int:
        """Return the number of entries of rows; an upper bound if it is small, without waiting."""
        return most if most <= _FEW_ENTRIES else int(starts[-1])

    def submatrix(self, level: Level, chosen: NDArray[np.int64]) -> CsrMatrix:
        assert isinstance(level, CudaLevel)
        xp, (kind, parts) = self.xp, _weights(level)
        rows, count = chosen.astype(np.int32), len(chosen)
        number = xp.full(level.size, -1, np.int32)
        number[rows] = xp.arange(count, dtype=np.int32)
        found = xp.empty(count, np.int32)
        where = (*parts, level.size)
        self._each(f"{kind}_count_chosen", count, *where, rows, count, number, found)
        start = self._starts(found)
        edges = _NEIGHBOURS * count if kind == "stencil" else len(parts[2])
        entries = self._entries(start, edges + count)
        column, value = xp.empty(entries, np.int32), xp.empty(entries)
        self._each(
            f"{kind}_submatrix", count,
            *where, level.parts[-1], rows, count, number, start, column, value,
        )  # fmt: skip
        value, column, start = self.fetched(value, column, start)
        return CsrMatrix(value[: start[-1]], column[: start[-1]], start)

    def _on_graph(self, op: str, graph: _Graph, *args: Any, count: int | None = None) -> None:
        """Start a kernel with a thread for each entry of a graph, or for `count` items."""
        count = graph.size if count is None else count
        self._each(f"{graph.kind}_{op}", count, *graph.parts, graph.size, *args)

    def _each(self, kernel: str, count: int, *args: Any) -> None:
        self._spread("aggregation.cu", kernel, count, *args)


def _words(xp: Any, size: int, *types: Any) -> list[Any]:
    """Return arrays of 4-byte numbers with these lengths, in one allocation."""
    rows = xp.empty((len(types), size), np.int32)
    return [row.view(dtype) for row, dtype in zip(rows, types, strict=True)]


def _weights(level: CudaLevel) -> tuple[str, tuple[Any, ...]]:
    """Return the kind of a level's graph, and its parts."""
    if level.kind == "stencil":
        return "stencil", level.parts[:2]
    start, column, weight, _ = level.parts
    return "rows", (start[:-1], start[1:], column, weight)
