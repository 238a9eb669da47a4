"""The compiled, multi-threaded kernels of kernels/cpu.

Outputs are allocated here and filled there, so the kernels run without the GIL. They use OpenMP:
``OMP_NUM_THREADS`` sets the number of threads. In a forked child of a process that has run one
they take one thread (kernels/cpu/team.h).
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends import isa
from hdseg_gpu.backends.host import HostOps
from hdseg_gpu.core.errors import BackendUnavailable
from hdseg_gpu.core.ops import (
    START_SHARE,
    Band,
    Classes,
    ColourModels,
    CsrMatrix,
    Edges,
    Evidence,
    Level,
    Mask,
    Nearby,
    NearestMap,
    Network,
    Ops,
    Places,
    channel_count,
    class_dtype,
)
from hdseg_gpu.core.options import EDGE_RULES, INTERPOLATIONS
from hdseg_gpu.core.values import StackExtremes, in_memory_order, unsigned
from hdseg_gpu.core.windows import Placement, Window, all_of


@dataclass(frozen=True)
class CpuEdges(Edges):
    """What kernels/cpu/edges.h says."""

    rows: NDArray[np.float32]  # (4, padded n): weights to north, east, south, and the row sums


@dataclass(frozen=True)
class _Level(Level):
    """What kernels/cpu/level.h says: weights and row sums; the first names the kernels' prefix."""

    kind: str  # "stencil": pieces, chunks, weights, excess; "sparse": rows, columns, values, excess
    parts: tuple[NDArray[Any], ...]
    inverse: NDArray[np.float32]  # 1 / diagonal, padded with 0
    entries: int
    first_entry: NDArray[np.int32] | None = None  # "stencil": of each run of the band

    @property
    def size(self) -> int:
        return self.entries


class CpuOps(HostOps):
    """Thin wrappers: allocate, call, return.

    Columns are float32 (m, padding + n + padding); the padding holds 0, so that kernels may read
    beyond the ends.
    """

    name = "cpu"

    def __init__(self, instruction_set: str | None = None) -> None:
        self.instruction_set, self._kernels = isa.load(instruction_set)

    def threads(self, count: int) -> AbstractContextManager[None]:
        return self._at_most(count)

    @contextmanager
    def _at_most(self, count: int) -> Iterator[None]:
        # OpenMP counts for each thread that calls it, so others are not disturbed.
        before = self._kernels.thread_count()
        self._kernels.set_thread_count(max(1, min(count, before)))
        try:
            yield
        finally:
            self._kernels.set_thread_count(before)

    def thinning(self, mask: Mask, elements: NDArray[np.int8], passes: int) -> Mask:
        thinned = np.empty_like(mask)
        self._kernels.thin_bytes(mask.view(np.uint8), elements, passes, thinned.view(np.uint8))
        return thinned

    def thinning_packed(
        self, mask: NDArray[np.uint8], width: int, elements: NDArray[np.int8], passes: int
    ) -> NDArray[np.uint8]:
        thinned = np.empty_like(mask)
        self._kernels.thin_bits(mask, width, elements, passes, thinned)
        return thinned

    def seeds(
        self, classes: Classes, count: int, elements: NDArray[np.int8], passes: int
    ) -> Classes:
        seeds = np.empty_like(classes)
        self._kernels.seeds(classes, count, elements, passes, seeds)
        return seeds

    def prune(self, seeds: Classes, length: int) -> Classes:
        pruned = np.empty_like(seeds)
        self._kernels.prune(seeds, length, pruned)
        return pruned

    def majority(self, labels: Classes, band: Band, size: int) -> Classes:
        found: NDArray[Any] = np.empty(band.size, labels.dtype)
        self._kernels.majority(band.pixel, band.start, labels, size, found)
        return found

    def histogram(self, values: Classes, count: int) -> NDArray[np.int64]:
        counts = np.empty(count, np.int64)
        self._kernels.histogram(values.reshape(-1), counts)
        return counts

    def extremes(self, values: NDArray[Any]) -> tuple[Any, Any]:
        ordered = in_memory_order(values)
        known = values.dtype.isnative and values.dtype.itemsize >= 4 and values.flags.aligned
        if not (known and ordered.flags.c_contiguous):
            return super().extremes(values)
        lowest, highest, odd = self._kernels.extremes(ordered.reshape(-1))
        return (lowest, highest) if odd == 0 else (nan, nan)

    def stack_extremes(self, stack: NDArray[Any]) -> StackExtremes:
        of: Any = self._kernels.stack_extremes
        if stack.dtype == np.float16:
            of, stack = self._kernels.stack_extremes_of_halves, stack.view(np.uint16)
        lowest, highest, least, most, odd = map(float, of(stack))
        return StackExtremes(*((lowest, highest) if odd == 0 else (nan, nan)), least, most)

    def shares(
        self, stack: NDArray[Any], softmax: bool, out: NDArray[np.float32], first: int
    ) -> None:
        of = self._kernels.shares
        if stack.dtype == np.float16:
            of, stack = self._kernels.shares_of_halves, stack.view(np.uint16)
        of(stack, softmax, out, first)

    def occurring(self, labels: NDArray[Any], low: int, span: int) -> NDArray[np.bool_]:
        found = np.zeros(span, np.bool_)
        self._kernels.mark_occurring(*unsigned(labels, low), found.view(np.uint8))
        return found

    def recoded(self, labels: NDArray[Any], low: int, table: NDArray[Any]) -> NDArray[Any]:
        codes = np.empty(labels.shape, table.dtype)
        self._kernels.recode(*unsigned(labels, low), table, codes.reshape(-1))
        return codes

    def upsample_labels(self, coarse: Classes, place: Placement) -> Classes:
        fine = np.empty(place.window.shape, coarse.dtype)
        self._kernels.upsample_labels(coarse, _numbers(place), fine)
        return fine

    def upsample_classes(self, coarse: Classes, place: Placement, interpolation: str) -> Classes:
        fine = np.empty(place.window.shape, coarse.dtype)
        how = INTERPOLATIONS.index(interpolation)
        self._kernels.upsample_classes(coarse, _numbers(place), how, fine)
        return fine

    def upsample_argmax(
        self, planes: NDArray[np.float32], place: Placement, interpolation: str
    ) -> Classes:
        fine: NDArray[Any] = np.empty(place.window.shape, class_dtype(len(planes)))
        how = INTERPOLATIONS.index(interpolation)
        self._kernels.upsample_argmax(planes, _numbers(place), how, fine)
        return fine

    def sample_planes(
        self,
        planes: NDArray[np.float32],
        place: Placement,
        pixels: NDArray[np.int64],
        interpolation: str,
    ) -> NDArray[np.float64]:
        samples = np.empty((pixels.size, len(planes)))
        how = INTERPOLATIONS.index(interpolation)
        self._kernels.sample_planes(planes, _numbers(place), how, pixels, samples)
        return samples

    def standard_deviation(self, values: NDArray[Any]) -> float:
        return float(self._kernels.variance(values.reshape(-1)) ** 0.5)

    def cell_moments(
        self, image: NDArray[Any], cell: int, center: NDArray[np.float64], scale: float
    ) -> NDArray[np.float32]:
        height, width, channels = image.shape
        count = (channels + 1) * (channels + 2) // 2
        moments = np.empty((-(-height // cell), -(-width // cell), count), np.float32)
        self._kernels.cell_moments(image, cell, center, scale, moments)
        return moments

    def channel_means(self, image: NDArray[Any]) -> NDArray[np.float64]:
        means = np.empty(image.shape[2])
        self._kernels.channel_means(image, means)
        return means

    def cell_labels(self, labels: Classes, cell: int) -> Classes:
        height, width = labels.shape
        found = np.empty((-(-height // cell), -(-width // cell)), labels.dtype)
        self._kernels.cell_labels(labels, cell, found)
        return found

    def rival_distances(self, cells: Classes, reach: int) -> tuple[NDArray[np.float32], Classes]:
        distance, rival = np.empty(cells.shape, np.float32), np.empty_like(cells)
        self._kernels.rival_distances(cells, reach, distance, rival)
        return distance, rival

    def boundary_detail(self, labels: Classes) -> tuple[int, int]:
        return self._kernels.boundary_detail(labels)

    def band(self, seeds: NDArray[Any]) -> Band:
        pixel, start = self._kernels.find_runs(seeds)
        return Band(seeds.shape, pixel, start, int(start[-1]))

    def components(self, band: Band) -> NDArray[np.int32]:
        component = np.empty(band.pixel.size, np.int32)
        self._kernels.components(band.pixel, band.start, *band.shape, component)
        return component

    def says(
        self, band: Band, seeds: NDArray[Any], places: Places, evidence: Evidence | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        said = np.empty((0, 0), seeds.dtype) if evidence is None else evidence.label
        return self._kernels.says(band.pixel, band.start, seeds, *places, said)

    def nearby_classes(
        self, maps: tuple[Classes, ...], count: int, cell: int, group: int
    ) -> Nearby:
        return Nearby(*self._kernels.nearby_classes(np.stack(maps), count, cell, group))

    def colour_models(
        self,
        moments: NDArray[np.float32],
        own: Classes,
        weight: NDArray[np.float32],
        count: int,
        group: int,
        area: float,
        nearby: Nearby,
        radii: tuple[int, ...],
        prior: float,
        ridge: float,
    ) -> NDArray[np.float32]:
        models = np.empty((nearby.label.size, moments.shape[2]), np.float32)
        self._kernels.colour_models(
            moments, channel_count(moments.shape[2]), own, weight, count, group, area, *nearby,
            np.array(radii, np.int64), prior, START_SHARE * prior, ridge, models,
        )  # fmt: skip
        return models

    def class_evidence(
        self,
        band: Band,
        image: NDArray[Any],
        origin: tuple[int, int],
        center: NDArray[np.float64],
        scale: float,
        models: ColourModels,
        weight: float,
        maps: tuple[NearestMap, ...],
        cell: int,
        unit: float,
        network: Network | None,
        kept: int,
    ) -> Evidence:
        if network is None:
            nothing = np.empty((0, 1, 1), np.float32)
            network = Network(nothing, all_of(band.shape, (1, 1)), "linear", 0.0, 0.0)
        own = np.stack([m.own for m in maps])
        found = Evidence(
            np.empty((band.size, kept), own.dtype), np.empty((band.size, kept), np.float32)
        )
        self._kernels.class_evidence(
            band.pixel, band.start, image, *origin, center, scale,
            models.coefficients, *models.nearby, models.size, weight,
            own, np.stack([m.rival for m in maps]), np.stack([m.distance for m in maps]),
            np.array([(m.log, m.linear) for m in maps], np.float32), cell, unit,
            network.planes, _numbers(network.place), INTERPOLATIONS.index(network.interpolation),
            network.log, network.linear, *found,
        )  # fmt: skip
        return found

    def add_evidence(
        self,
        band: Band,
        position: NDArray[np.int32] | None,
        evidence: Evidence,
        labels: NDArray[Any],
        places: Places,
        gamma: float,
        b: NDArray[Any],
    ) -> None:
        every = np.empty(0, np.int32) if position is None else position
        self._kernels.add_evidence(
            band.pixel, band.start, every, *evidence, labels, *places, band.shape[1], gamma, b
        )

    def assemble(
        self,
        band: Band,
        features: NDArray[Any],
        rule: str,
        strength: float,
        seeds: NDArray[Any],
        labels: NDArray[Any],
        places: Places,
        gamma: float,
    ) -> tuple[Edges, NDArray[Any]]:
        edges = self.zeros(band.size, 4)
        padding = self._kernels.padding
        edges[3, :padding] = edges[3, -padding:] = 1.0  # what is not there may be divided by
        flux = self.zeros(band.size, labels.shape[1])
        self._kernels.assemble(
            band.pixel, band.start, features, EDGE_RULES.index(rule), strength,
            seeds, labels, *places, gamma, edges, flux,
        )  # fmt: skip
        return CpuEdges(edges), flux

    def laplacian(self, band: Band, edges: Edges) -> CsrMatrix:
        assert isinstance(edges, CpuEdges)
        row_start = np.empty(band.size + 1, np.int32)
        where = (band.pixel, band.start, *band.shape, edges.rows)
        entries = self._kernels.row_starts(*where, row_start)
        matrix = CsrMatrix(np.empty(entries), np.empty(entries, np.int32), row_start)
        self._kernels.laplacian(*where, row_start, matrix.indices, matrix.data)
        return matrix

    def excess(self, edges: Edges) -> NDArray[np.float64]:
        assert isinstance(edges, CpuEdges)
        sums: NDArray[np.float64] = self.body(edges.rows)[3].astype(np.float64)
        return sums

    def reduce(self, band: Band, edges: Edges) -> Level:
        assert isinstance(edges, CpuEdges)
        where = (band.pixel, band.start, *band.shape)
        pieces, first_entry, chunk = self._kernels.link_black(*where)
        size = int(first_entry[-1])
        weights = self.zeros(size, 7)
        excess, inverse = self.zeros(size, 2)
        self._kernels.reduce(*where, edges.rows, first_entry, weights, excess, inverse)
        parts = (pieces.reshape(-1, 6), chunk, weights, excess)
        return _Level("stencil", parts, inverse, size, first_entry)

    def reduce_columns(
        self, band: Band, edges: Edges, level: Level, b: NDArray[Any]
    ) -> NDArray[Any]:
        assert isinstance(edges, CpuEdges)
        assert isinstance(level, _Level)
        assert level.first_entry is not None
        rhs = self.zeros(level.size, len(b))
        where = (band.pixel, band.start, *band.shape, edges.rows, level.first_entry)
        self._kernels.reduce_columns(*where, b, rhs)
        return rhs

    def expand(
        self, band: Band, edges: Edges, level: Level, x: NDArray[Any], b: NDArray[Any]
    ) -> NDArray[Any]:
        assert isinstance(edges, CpuEdges)
        assert isinstance(level, _Level)
        assert level.first_entry is not None
        where = (band.pixel, band.start, *band.shape, edges.rows, level.first_entry)
        self._kernels.expand(*where, x.astype(np.float32, copy=False), b)
        return b

    def zeros(self, size: int, columns: int, dtype: Any = np.float32) -> NDArray[Any]:
        return np.zeros((columns, size + 2 * self._kernels.padding), dtype)

    def body(self, columns: NDArray[Any]) -> NDArray[Any]:
        return columns[..., self._kernels.padding : -self._kernels.padding]

    def diagonal(self, level: Level) -> NDArray[Any]:
        assert isinstance(level, _Level)
        diagonal: NDArray[Any] = 1 / self.body(level.inverse)
        return diagonal

    def row_sums(self, level: Level) -> NDArray[Any]:
        assert isinstance(level, _Level)
        return self.body(level.parts[3])

    def coarsen(self, level: Level) -> tuple[NDArray[np.int32], Level]:
        assert isinstance(level, _Level)
        aggregate = np.empty(level.size, np.int32)
        coarsen = getattr(self._kernels, f"{level.kind}_coarsen")
        row_start, column, value, *sums = coarsen(*level.parts, level.inverse, aggregate)
        size = sums[0].size
        padded = self.zeros(size, 2)
        self.body(padded)[:] = sums
        excess, inverse = padded
        return aggregate, _Level("sparse", (row_start, column, value, excess), inverse, size)

    def submatrix(self, level: Level, chosen: NDArray[np.int64]) -> CsrMatrix:
        assert isinstance(level, _Level)
        number = np.full(level.size, -1, np.int32)
        number[chosen] = np.arange(len(chosen), dtype=np.int32)
        submatrix = getattr(self._kernels, f"{level.kind}_submatrix")
        matrix: CsrMatrix = CsrMatrix(*submatrix(*level.parts, number))
        return matrix

    def residual(
        self, level: Level, b: NDArray[Any], x: NDArray[np.float64], out: NDArray[Any]
    ) -> None:
        self._run("residual", level, b, x, out)

    def refresh(
        self, level: Level, b: NDArray[Any], x: NDArray[np.float64], r: NDArray[Any]
    ) -> NDArray[np.float64]:
        assert isinstance(level, _Level)
        found = np.empty((3, len(r)))
        self._run("refresh", level, level.inverse, b, x, r, found)
        return found

    def conjugate(
        self,
        level: Level,
        z: NDArray[Any],
        q: NDArray[Any],
        energy: NDArray[np.float64],
        p: NDArray[Any],
    ) -> None:
        self._kernels.conjugate(z, q, energy, p)

    def step(
        self,
        level: Level,
        p: NDArray[Any],
        q: NDArray[Any],
        energy: NDArray[np.float64],
        x: NDArray[np.float64],
        r: NDArray[Any],
    ) -> None:
        self._run("step", level, p, q, energy, x, r)

    def relax(self, level: Level, r: NDArray[Any], out: NDArray[Any]) -> None:
        assert isinstance(level, _Level)
        self._kernels.relax(level.inverse, r, out)

    def descend(
        self,
        level: Level,
        aggregate: NDArray[np.int32],
        r: NDArray[Any],
        x: NDArray[Any],
        coarse: NDArray[Any],
    ) -> None:
        assert isinstance(level, _Level)
        coarse.fill(0)
        self._run("descend", level, level.inverse, aggregate, r, x, coarse)

    def ascend(
        self,
        level: Level,
        aggregate: NDArray[np.int32],
        r: NDArray[Any],
        coarse: NDArray[Any],
        x: NDArray[Any],
        out: NDArray[Any],
    ) -> None:
        assert isinstance(level, _Level)
        self._run("ascend", level, level.inverse, aggregate, r, coarse, x, out)

    def multiply(self, matrix: NDArray[np.float64], r: NDArray[Any], out: NDArray[Any]) -> None:
        # No BLAS, whose sums depend on its number of threads.
        self.body(out)[:] = (matrix * self.body(r)[:, np.newaxis, :]).sum(axis=2)

    def largest(self, level: Level, x: NDArray[Any]) -> float:
        most = np.empty(len(x), np.float32)
        self._kernels.largest(x, most)
        return float(most.max(initial=0.0))

    def decide(
        self,
        band: Band,
        x: NDArray[Any],
        labels: NDArray[Any],
        places: Places,
        bound: NDArray[Any] | float,
        core: Window,
        seeds: NDArray[Any],
    ) -> int:
        bounds = np.atleast_1d(np.asarray(bound, np.float32))
        return self._kernels.decide(
            band.pixel, band.start, x, labels, *places, bounds, core.top, core.left, core.bottom,
            core.right, seeds,
        )  # fmt: skip

    def _run(self, verb: str, level: Level, *arrays: NDArray[Any]) -> None:
        assert isinstance(level, _Level)
        getattr(self._kernels, f"{level.kind}_{verb}")(*level.parts, *arrays)


def open_cpu(device: int = 0) -> Ops:
    """Return the backend with the best instruction set here, or raise BackendUnavailable."""
    try:
        return CpuOps()
    except ImportError as error:
        raise BackendUnavailable(
            f"backend='cpu' needs the compiled module, which did not load ({error}); "
            "run `pip install .` in the source folder, or use backend='reference'."
        ) from error


def _numbers(place: Placement) -> NDArray[np.int64]:
    """Return a placement as the kernels take it."""
    return np.array([*place.shape, *place.window, *place.grid, *place.part], np.int64)
