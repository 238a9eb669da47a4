"""The part of the backend `cuda` that makes levels, and what the iterations do with them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cuda_device import BLOCK
from hdseg_gpu.backends.cuda_kernels import PADDING, CudaKernels, CudaLevel, blocks_of_sums
from hdseg_gpu.core.ops import CsrMatrix, Level, SmallCycle, Work

_PROOF = "certificate.cu"
# Columns that a thread has, as in kernels/cuda/level.cu.
_TOGETHER = 4
# Entries of a level that one block goes through about as fast as kernels are started for it, and
# the threads of this block, as in kernels/cuda/level.cu.
_SMALL, _SMALL_BLOCK = 4096, 512
# Neighbours of an entry of the finest level. Sparse levels of so few entries have some room left.
_NEIGHBOURS, _FEW_ENTRIES = 8, 1 << 18
# Handshakes until what has no partner must join others or stay alone.
_ROUNDS = 4


@dataclass(frozen=True)
class _Graph:
    """The weights of a matrix, and what its entries have: kernels/cuda/aggregation.cu."""

    kind: str
    parts: tuple[Any, ...]
    size: int
    tied: Any
    inner: Any
    diagonal: Any
    leader: Any  # of each entry's pair, as yet

    @property
    def edges(self) -> int:
        """Return how many entries the rows have at most."""
        return _NEIGHBOURS * self.size if self.kind == "stencil" else len(self.parts[2])


class CudaLevels(CudaKernels):
    """Allocates, launches, returns; coarsening waits for the sizes of what it makes."""

    def diagonal(self, level: Level) -> NDArray[Any]:
        assert isinstance(level, CudaLevel)
        diagonal: NDArray[Any] = 1 / level.inverse[PADDING:-PADDING]
        return diagonal

    def row_sums(self, level: Level) -> NDArray[Any]:
        assert isinstance(level, CudaLevel)
        sums: NDArray[Any] = level.parts[-1][PADDING:-PADDING]
        return sums

    # ---- products and smoothers --------------------------------------------------------------

    def step(
        self,
        level: Level,
        p: NDArray[Any],
        q: NDArray[Any],
        energy: NDArray[np.float64],
        x: NDArray[np.float64],
        r: NDArray[Any],
    ) -> None:
        assert isinstance(level, CudaLevel)
        columns = len(p)
        if columns == 0 or level.size == 0:
            return
        sums = level.sums(self.xp, columns)
        self._sum_rows(
            "look_ahead", level, p, r, q, sums.parts, sums.arrived, energy, sums.factor,
            columns=columns,
        )  # fmt: skip
        blocks = min(-(-level.size // BLOCK), self.device.most_blocks)
        self.device.launch(
            "vectors.cu", "advance", (blocks, columns), (BLOCK,),
            (sums.factor, p, q, level.size, p.shape[1], x, r),
        )  # fmt: skip

    def refresh(
        self, level: Level, b: NDArray[Any], x: NDArray[np.float64], r: NDArray[Any]
    ) -> NDArray[np.float64]:
        assert isinstance(level, CudaLevel)
        columns = len(r)
        if columns == 0 or level.size == 0:
            return np.zeros((3, columns))
        sums, found = level.sums(self.xp, columns), self.xp.empty((3, columns))
        self._sum_rows(
            "refresh", level, level.inverse, b, x, r, sums.parts, sums.arrived, sums.worst, found,
            columns=columns,
        )  # fmt: skip
        return self.host(found)

    def _sum_rows(self, verb: str, level: CudaLevel, *arrays: Any, columns: int) -> None:
        """Start a kernel that sums over all rows, with as many blocks on every card."""
        grid = (blocks_of_sums(level.size), -(-columns // _TOGETHER))
        args = (*level.parts, level.size, *arrays, columns)
        self.device.launch("level.cu", f"{level.kind}_{verb}", grid, (BLOCK,), args)

    def residual(
        self, level: Level, b: NDArray[Any], x: NDArray[np.float64], out: NDArray[Any]
    ) -> None:
        self._on_rows("residual", level, b, x, out)

    def descend(
        self,
        level: Level,
        aggregate: NDArray[np.int32],
        r: NDArray[Any],
        x: NDArray[Any],
        coarse: NDArray[Any],
    ) -> None:
        assert isinstance(level, CudaLevel)
        assert level.members is not None
        start, member = level.members
        aggregates, n = len(start) - 1, level.size
        if level.kind == "sparse":
            self._on_columns(
                "sparse_descend", n,
                *level.parts, n, level.inverse, start, member, aggregates, r, x, coarse,
                columns=len(r),
            )  # fmt: skip
            return
        rest = level.room(self.xp, len(r))
        self._on_columns(
            "stencil_descend", n, *level.parts, n, level.inverse, r, x, rest, columns=len(r)
        )
        self._on_columns(
            "add_members", aggregates,
            start, member, aggregates, rest, n, coarse, columns=len(r),
        )  # fmt: skip

    def ascend(
        self,
        level: Level,
        aggregate: NDArray[np.int32],
        r: NDArray[Any],
        coarse: NDArray[Any],
        x: NDArray[Any],
        out: NDArray[Any],
    ) -> None:
        assert isinstance(level, CudaLevel)
        aggregates = coarse.shape[1] - 2 * PADDING
        self._on_rows("ascend", level, level.inverse, aggregate, r, coarse, aggregates, x, out)

    def _on_rows(self, verb: str, level: Level, *arrays: Any) -> None:
        assert isinstance(level, CudaLevel)
        self._on_columns(
            f"{level.kind}_{verb}", level.size, *level.parts, level.size, *arrays,
            columns=len(arrays[-1]),
        )  # fmt: skip

    def _on_columns(self, kernel: str, count: int, *args: Any, columns: int) -> None:
        """Start a kernel with a thread for each item of a few columns."""
        if count > 0 and columns > 0:
            blocks = min(-(-count // BLOCK), self.device.most_blocks)
            grid = (blocks, -(-columns // _TOGETHER))
            self.device.launch("level.cu", kernel, grid, (BLOCK,), (*args, columns))

    # ---- proofs ------------------------------------------------------------------------------

    def lagging(self, level: Level, r: NDArray[Any], least: float, mask: NDArray[np.bool_]) -> int:
        assert isinstance(level, CudaLevel)
        count = level.zeros(self.xp, 1, np.int32)
        args = (level.inverse, r, level.size, np.float32(least), mask, count)
        self._spread(_PROOF, "find_lagging", level.size, *args)
        return int(self.host(count)[0])

    def doubtful(
        self,
        level: Level,
        v: NDArray[np.float64],
        longest: float,
        least: float,
        mask: NDArray[np.bool_],
    ) -> tuple[int, float]:
        assert isinstance(level, CudaLevel)
        found = level.zeros(self.xp, 2, np.uint64)
        self._prove("doubtful", level, level.inverse, v, float(longest), least, mask, found)
        largest, count = self.host(found)
        return int(count), float(largest.view(np.float64))

    def factor(
        self,
        level: Level,
        v: NDArray[np.float64],
        w: NDArray[np.float64],
        r: NDArray[Any],
        mask: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        assert isinstance(level, CudaLevel)
        bits = level.zeros(self.xp, 1, np.uint64)
        self._prove("factor", level, v, w, r, mask, bits, len(r))
        factor: NDArray[np.float64] = bits.view(np.float64)
        return factor

    def bound(
        self,
        level: Level,
        v: NDArray[np.float64],
        w: NDArray[np.float64],
        r: NDArray[Any],
        factor: float,
    ) -> tuple[NDArray[np.float64], float] | None:
        assert isinstance(level, CudaLevel)
        bound: NDArray[np.float64] = self.xp.empty(level.size)
        found = level.zeros(self.xp, 2, np.uint64)
        self._prove("bound", level, v, w, r, factor, bound, found, len(r))
        largest, failed = self.host(found)
        return None if failed else (bound, float(largest.view(np.float64)))

    def _prove(self, verb: str, level: CudaLevel, *args: Any) -> None:
        kernel = f"{level.kind}_{verb}"
        self._spread(_PROOF, kernel, level.size, *level.parts, level.size, *args)

    def inverse(self, level: Level) -> NDArray[np.float64]:
        assert isinstance(level, CudaLevel)
        found: NDArray[np.float64] = self.xp.empty((level.size, level.size))
        if level.size > 0:
            kind, parts = _weights(level)
            # One block, whose threads wait for one another.
            self.device.launch(
                "aggregation.cu", f"{kind}_inverse", (1,), (BLOCK,),
                (*parts, level.size, level.parts[-1], found),
            )  # fmt: skip
        return found

    def small_cycle(
        self,
        levels: Sequence[Level],
        aggregates: Sequence[NDArray[np.int32]],
        inverse: NDArray[np.float64],
        work: Sequence[Work],
    ) -> SmallCycle | None:
        sizes = [level.size for level in levels]
        first = next((i for i, size in enumerate(sizes) if size <= _SMALL), len(sizes))
        if first == len(sizes):
            return None
        table = []
        for i in range(first, len(levels)):
            level, (r, x, step) = levels[i], work[i]
            assert isinstance(level, CudaLevel)
            below: tuple[Any, ...] = (inverse,)
            if i + 1 < len(levels):
                assert level.members is not None
                below = (level.inverse, *level.members, aggregates[i])
            table.append([level.size, *map(_address, (*level.parts, *below))])
            table[-1] += [0] * (9 - len(table[-1])) + [*map(_address, (r, step, x))]
        rows = self.xp.asarray(np.array(table, np.int64))

        def run(columns: int) -> None:
            args = (rows, len(table))
            self.device.launch("level.cu", "small_cycle", (columns,), (_SMALL_BLOCK,), args)

        return SmallCycle(first, run)

    # ---- coarsening --------------------------------------------------------------------------

    def coarsen(self, level: Level) -> tuple[NDArray[np.int32], Level]:
        assert isinstance(level, CudaLevel)
        xp, n = self.xp, level.size
        leader, diagonal, inner = _words(xp, n, np.int32, np.float32, np.float32)
        self._each("find_dominant", n, level.parts[-1], level.inverse, n, leader, diagonal, inner)
        graph = _Graph(*_weights(level), n, self.row_sums(level), inner, diagonal, leader)
        # Pairs, and pairs of pairs; the finer graph goes, which has 50 bytes for each entry.
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
        excess, inverse = xp.zeros((2, n + 2 * PADDING), np.float32)
        self._each(
            "rescale", n,
            begin, to, total, graph.tied, resistance, n, row_start, column, weight, excess, inverse,
        )  # fmt: skip
        return CudaLevel("sparse", (row_start, column, weight, excess), inverse, n)

    def _entries(self, starts: Any, most: int) -> int:
        """Return the entries of rows with such starts; few are not worth waiting for the number."""
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

    def _on_graph(self, verb: str, graph: _Graph, *args: Any, count: int | None = None) -> None:
        """Start a kernel with a thread for each entry of a graph, or for `count` items."""
        count = graph.size if count is None else count
        self._each(f"{graph.kind}_{verb}", count, *graph.parts, graph.size, *args)

    def _each(self, kernel: str, count: int, *args: Any) -> None:
        self._spread("aggregation.cu", kernel, count, *args)


def _words(xp: Any, size: int, *types: Any) -> list[Any]:
    """Return arrays of so many numbers of 4 bytes, of one piece of memory."""
    rows = xp.empty((len(types), size), np.int32)
    return [row.view(dtype) for row, dtype in zip(rows, types, strict=True)]


def _address(array: Any) -> int:
    """Return where an array begins on the device."""
    return int(array.__cuda_array_interface__["data"][0])


def _weights(level: CudaLevel) -> tuple[str, tuple[Any, ...]]:
    """Return the kind of a level's graph, and its parts."""
    if level.kind == "stencil":
        return "stencil", level.parts[:2]
    start, column, weight, _ = level.parts
    return "rows", (start[:-1], start[1:], column, weight)
