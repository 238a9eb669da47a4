"""What a compiled module offers: written by tests/kernel_stub.py, do not edit."""

from typing import Protocol

import numpy
from numpy.typing import NDArray

import hdseg_gpu.backends.cpu.layout
import hdseg_gpu.core.windows
import hdseg_gpu.ops.types

class Kernels(Protocol):
    padding: int

    def cpu_features(self) -> dict[str, bool]: ...
    def thread_count(self) -> int: ...
    def set_thread_count(self, count: int) -> None: ...
    def cell_moments(
        self,
        image: NDArray[numpy.uint8 | numpy.uint16 | numpy.float32 | numpy.float64],
        cell: int,
        center: NDArray[numpy.float64],
        scale: float,
        moments: NDArray[numpy.float32],
    ) -> None: ...
    def channel_means(
        self,
        image: NDArray[numpy.uint8 | numpy.uint16 | numpy.float32 | numpy.float64],
        means: NDArray[numpy.float64],
    ) -> None: ...
    def cell_labels(
        self,
        labels: NDArray[numpy.uint8 | numpy.uint16 | numpy.uint32],
        cell: int,
        found: NDArray[numpy.uint8 | numpy.uint16 | numpy.uint32],
    ) -> None: ...
    def nearest_others(
        self,
        cells: NDArray[numpy.uint8 | numpy.uint16 | numpy.uint32],
        reach: int,
        distance: NDArray[numpy.float32],
        nearest_other: NDArray[numpy.uint8 | numpy.uint16 | numpy.uint32],
    ) -> None: ...
    def boundary_detail(
        self, labels: NDArray[numpy.uint8 | numpy.uint16 | numpy.uint32]
    ) -> tuple[int, int]: ...
    def variance(
        self, values: NDArray[numpy.uint8 | numpy.uint16 | numpy.float32 | numpy.float64]
    ) -> float: ...
    def histogram(
        self,
        values: NDArray[numpy.uint8 | numpy.uint16 | numpy.uint32],
        counts: NDArray[numpy.int64],
    ) -> None: ...
    def thin_bytes(
        self,
        mask: NDArray[numpy.uint8],
        elements: NDArray[numpy.int8],
        passes: int,
        thinned: NDArray[numpy.uint8],
    ) -> None: ...
    def thin_bits(
        self,
        mask: NDArray[numpy.uint8],
        width: int,
        elements: NDArray[numpy.int8],
        passes: int,
        thinned: NDArray[numpy.uint8],
    ) -> None: ...
    def seeds(
        self,
        classes: NDArray[numpy.uint8 | numpy.uint16 | numpy.uint32],
        class_count: int,
        elements: NDArray[numpy.int8],
        passes: int,
        seeds: NDArray[numpy.uint8 | numpy.uint16 | numpy.uint32],
    ) -> None: ...
    def upsample_labels(
        self,
        coarse: NDArray[numpy.uint8 | numpy.uint16 | numpy.uint32],
        place: hdseg_gpu.core.windows.GridMapping,
        fine: NDArray[numpy.uint8 | numpy.uint16 | numpy.uint32],
    ) -> None: ...
    def upsample_classes(
        self,
        coarse: NDArray[numpy.uint8 | numpy.uint16 | numpy.uint32],
        place: hdseg_gpu.core.windows.GridMapping,
        how: str,
        fine: NDArray[numpy.uint8 | numpy.uint16 | numpy.uint32],
    ) -> None: ...
    def upsample_argmax(
        self,
        planes: NDArray[numpy.float32],
        place: hdseg_gpu.core.windows.GridMapping,
        how: str,
        fine: NDArray[numpy.uint8 | numpy.uint16 | numpy.uint32],
    ) -> None: ...
    def sample_planes(
        self,
        planes: NDArray[numpy.float32],
        place: hdseg_gpu.core.windows.GridMapping,
        how: str,
        pixels: NDArray[numpy.int64],
        samples: NDArray[numpy.float64],
    ) -> None: ...
    def find_runs(
        self, seeds: NDArray[numpy.uint8 | numpy.uint16 | numpy.uint32]
    ) -> tuple[NDArray[numpy.int64], NDArray[numpy.int32]]: ...
    def labels_at(
        self,
        band: hdseg_gpu.ops.types.Band,
        seeds: NDArray[numpy.uint8 | numpy.uint16 | numpy.uint32],
        places: hdseg_gpu.ops.types.Places,
        evidence: NDArray[numpy.uint8 | numpy.uint16 | numpy.uint32],
    ) -> tuple[NDArray[numpy.int64], NDArray[numpy.int64]]: ...
    def decide(
        self,
        band: hdseg_gpu.ops.types.Band,
        x: NDArray[numpy.float32],
        label: NDArray[numpy.uint8 | numpy.uint16 | numpy.uint32],
        places: hdseg_gpu.ops.types.Places,
        bound: NDArray[numpy.float32],
        core: hdseg_gpu.core.windows.Window,
        seeds: NDArray[numpy.uint8 | numpy.uint16 | numpy.uint32],
    ) -> int: ...
    def assemble(
        self,
        band: hdseg_gpu.ops.types.Band,
        features: NDArray[numpy.uint8 | numpy.uint16 | numpy.float32 | numpy.float64],
        rule: str,
        edge_scale: float,
        seeds: NDArray[numpy.uint8 | numpy.uint16 | numpy.uint32],
        label: NDArray[numpy.uint8 | numpy.uint16 | numpy.uint32],
        places: hdseg_gpu.ops.types.Places,
        gamma: float,
        edges: NDArray[numpy.float32],
        flux: NDArray[numpy.float32],
    ) -> None: ...
    def components(
        self, band: hdseg_gpu.ops.types.Band, component: NDArray[numpy.int32]
    ) -> int: ...
    def row_starts(
        self,
        band: hdseg_gpu.ops.types.Band,
        edges: hdseg_gpu.backends.cpu.layout.CpuEdges,
        row_start: NDArray[numpy.int32],
    ) -> int: ...
    def laplacian(
        self,
        band: hdseg_gpu.ops.types.Band,
        edges: hdseg_gpu.backends.cpu.layout.CpuEdges,
        row_start: NDArray[numpy.int32],
        column: NDArray[numpy.int32],
        value: NDArray[numpy.float64],
    ) -> None: ...
    def link_black(
        self, band: hdseg_gpu.ops.types.Band
    ) -> tuple[NDArray[numpy.int32], NDArray[numpy.int32], NDArray[numpy.int64]]: ...
    def eliminate_red(
        self,
        band: hdseg_gpu.ops.types.Band,
        edges: hdseg_gpu.backends.cpu.layout.CpuEdges,
        first_entry: NDArray[numpy.int32],
        weights: NDArray[numpy.float32],
        row_sum: NDArray[numpy.float32],
        inverse: NDArray[numpy.float32],
    ) -> None: ...
    def eliminate_red_rhs(
        self,
        band: hdseg_gpu.ops.types.Band,
        edges: hdseg_gpu.backends.cpu.layout.CpuEdges,
        first_entry: NDArray[numpy.int32],
        b: NDArray[numpy.float32],
        rhs: NDArray[numpy.float32],
    ) -> None: ...
    def back_substitute(
        self,
        band: hdseg_gpu.ops.types.Band,
        edges: hdseg_gpu.backends.cpu.layout.CpuEdges,
        first_entry: NDArray[numpy.int32],
        x: NDArray[numpy.float32],
        b: NDArray[numpy.float32],
    ) -> None: ...
    def step(
        self,
        level: hdseg_gpu.backends.cpu.layout.SparseLevel
        | hdseg_gpu.backends.cpu.layout.StencilLevel,
        p: NDArray[numpy.float32],
        q: NDArray[numpy.float32],
        energy: NDArray[numpy.float64],
        x: NDArray[numpy.float64],
        r: NDArray[numpy.float32],
    ) -> None: ...
    def refresh(
        self,
        level: hdseg_gpu.backends.cpu.layout.SparseLevel
        | hdseg_gpu.backends.cpu.layout.StencilLevel,
        inverse: NDArray[numpy.float32],
        b: NDArray[numpy.float32],
        x: NDArray[numpy.float64],
        r: NDArray[numpy.float32],
        found: NDArray[numpy.float64],
    ) -> None: ...
    def restrict(
        self,
        level: hdseg_gpu.backends.cpu.layout.SparseLevel
        | hdseg_gpu.backends.cpu.layout.StencilLevel,
        inverse: NDArray[numpy.float32],
        aggregate: NDArray[numpy.int32],
        r: NDArray[numpy.float32],
        x: NDArray[numpy.float32],
        coarse: NDArray[numpy.float32],
    ) -> None: ...
    def prolong(
        self,
        level: hdseg_gpu.backends.cpu.layout.SparseLevel
        | hdseg_gpu.backends.cpu.layout.StencilLevel,
        inverse: NDArray[numpy.float32],
        aggregate: NDArray[numpy.int32],
        r: NDArray[numpy.float32],
        coarse: NDArray[numpy.float32],
        x: NDArray[numpy.float32],
        out: NDArray[numpy.float32],
    ) -> None: ...
    def residual(
        self,
        level: hdseg_gpu.backends.cpu.layout.SparseLevel
        | hdseg_gpu.backends.cpu.layout.StencilLevel,
        b: NDArray[numpy.float32],
        x: NDArray[numpy.float64],
        out: NDArray[numpy.float32],
    ) -> None: ...
    def submatrix(
        self,
        level: hdseg_gpu.backends.cpu.layout.SparseLevel
        | hdseg_gpu.backends.cpu.layout.StencilLevel,
        number: NDArray[numpy.int32],
    ) -> tuple[NDArray[numpy.float64], NDArray[numpy.int32], NDArray[numpy.int32]]: ...
    def coarsen(
        self,
        level: hdseg_gpu.backends.cpu.layout.SparseLevel
        | hdseg_gpu.backends.cpu.layout.StencilLevel,
        inverse: NDArray[numpy.float32],
        aggregate: NDArray[numpy.int32],
    ) -> tuple[
        NDArray[numpy.int32],
        NDArray[numpy.int32],
        NDArray[numpy.float32],
        NDArray[numpy.float32],
        NDArray[numpy.float32],
    ]: ...
    def conjugate(
        self,
        z: NDArray[numpy.float32],
        q: NDArray[numpy.float32],
        energy: NDArray[numpy.float64],
        p: NDArray[numpy.float32],
    ) -> None: ...
    def apply_inverse_diagonal(
        self,
        inverse: NDArray[numpy.float32],
        r: NDArray[numpy.float32],
        out: NDArray[numpy.float32],
    ) -> None: ...
    def largest(self, x: NDArray[numpy.float32], most: NDArray[numpy.float32]) -> None: ...
    def class_evidence(
        self,
        band: hdseg_gpu.ops.types.Band,
        image: NDArray[numpy.uint8 | numpy.uint16 | numpy.float32 | numpy.float64],
        top: int,
        left: int,
        terms: hdseg_gpu.ops.types.EvidenceTerms,
        label: NDArray[numpy.uint8 | numpy.uint16 | numpy.uint32],
        probability: NDArray[numpy.float32],
    ) -> None: ...
    def nearby_classes(
        self,
        maps: NDArray[numpy.uint8 | numpy.uint16 | numpy.uint32],
        count: int,
        cell: int,
        group: int,
    ) -> tuple[NDArray[numpy.int64], NDArray[numpy.uint8 | numpy.uint16 | numpy.uint32]]: ...
    def colour_models(
        self,
        moments: NDArray[numpy.float32],
        channels: int,
        own: NDArray[numpy.uint8 | numpy.uint16 | numpy.uint32],
        weight: NDArray[numpy.float32],
        count: int,
        first: NDArray[numpy.int64],
        of: NDArray[numpy.uint8 | numpy.uint16 | numpy.uint32],
        how: hdseg_gpu.ops.types.Estimation,
        coefficients: NDArray[numpy.float32],
    ) -> None: ...
    def add_evidence(
        self,
        band: hdseg_gpu.ops.types.Band,
        position: NDArray[numpy.int32],
        label: NDArray[numpy.uint8 | numpy.uint16 | numpy.uint32],
        probability: NDArray[numpy.float32],
        columns: NDArray[numpy.uint8 | numpy.uint16 | numpy.uint32],
        places: hdseg_gpu.ops.types.Places,
        gamma: float,
        b: NDArray[numpy.float32],
    ) -> None: ...
    def majority(
        self,
        band: hdseg_gpu.ops.types.Band,
        labels: NDArray[numpy.uint8 | numpy.uint16 | numpy.uint32],
        size: int,
        found: NDArray[numpy.uint8 | numpy.uint16 | numpy.uint32],
    ) -> None: ...
    def prune(
        self,
        seeds: NDArray[numpy.uint8 | numpy.uint16 | numpy.uint32],
        length: int,
        pruned: NDArray[numpy.uint8 | numpy.uint16 | numpy.uint32],
    ) -> None: ...
    def extremes(
        self,
        values: NDArray[
            numpy.int32 | numpy.int64 | numpy.uint32 | numpy.uint64 | numpy.float32 | numpy.float64
        ],
    ) -> tuple[int | float, int | float, int | float]: ...
    def stack_extremes(
        self, stack: NDArray[numpy.uint8 | numpy.uint16 | numpy.float32 | numpy.float64]
    ) -> tuple[int | float, int | float, int | float, int | float, int | float]: ...
    def normalise(
        self,
        stack: NDArray[numpy.uint8 | numpy.uint16 | numpy.float32 | numpy.float64],
        softmax: bool,
        normalise: NDArray[numpy.float32],
        first: int,
    ) -> None: ...
    def stack_extremes_of_halves(
        self, stack: NDArray[numpy.uint16]
    ) -> tuple[float, float, float, float, float]: ...
    def normalise_halves(
        self,
        stack: NDArray[numpy.uint16],
        softmax: bool,
        normalise: NDArray[numpy.float32],
        first: int,
    ) -> None: ...
    def mark_occurring(
        self,
        labels: NDArray[numpy.uint8 | numpy.uint16 | numpy.uint32 | numpy.uint64],
        low: int,
        found: NDArray[numpy.uint8],
    ) -> None: ...
    def recode(
        self,
        labels: NDArray[numpy.uint8 | numpy.uint16 | numpy.uint32 | numpy.uint64],
        low: int,
        table: NDArray[numpy.uint8 | numpy.uint16 | numpy.uint32],
        codes: NDArray[numpy.uint8 | numpy.uint16 | numpy.uint32],
    ) -> None: ...
