"""The compiled module: one for each instruction set, of the same sources, chosen at run time.

``HDSEG_CPU_ISA`` names one of ``NAMES``; without it the best that this processor has is taken.
"""

import os
from importlib import import_module
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.classes import Classes
from hdseg_gpu.core.errors import InvalidInput

_U8 = NDArray[np.uint8]
_I32 = NDArray[np.int32]
_I64 = NDArray[np.int64]
_F32 = NDArray[np.float32]
_F64 = NDArray[np.float64]

# Best first, with what the processor must have: x86-64-v4 (AVX-512), x86-64-v3 (AVX2), any.
_NEEDS = {
    "v4": ("avx2", "bmi2", "fma", "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"),
    "v3": ("avx2", "bmi", "bmi2", "fma"),
    "baseline": (),
}
NAMES = tuple(_NEEDS)
VARIABLE = "HDSEG_CPU_ISA"


class Kernels(Protocol):
    """What every compiled module offers; kernels/cpu/bind*.cpp defines it."""

    def cpu_features(self) -> dict[str, bool]: ...
    def thread_count(self) -> int: ...
    def set_thread_count(self, count: int) -> None: ...
    def thin_bytes(
        self, mask: _U8, elements: NDArray[np.int8], passes: int, thinned: _U8
    ) -> None: ...
    def thin_bits(
        self, mask: _U8, width: int, elements: NDArray[np.int8], passes: int, thinned: _U8
    ) -> None: ...
    def seeds(
        self,
        classes: Classes,
        class_count: int,
        elements: NDArray[np.int8],
        passes: int,
        seeds: Classes,
    ) -> None: ...
    def histogram(self, values: Classes, counts: _I64) -> None: ...
    def extremes(self, values: NDArray[Any]) -> tuple[Any, Any, Any]: ...
    def stack_extremes(self, stack: NDArray[Any]) -> tuple[Any, Any, Any, Any, Any]: ...
    def stack_extremes_of_halves(
        self, stack: NDArray[np.uint16]
    ) -> tuple[Any, Any, Any, Any, Any]: ...
    def normalise(self, stack: NDArray[Any], softmax: bool, shares: _F32, first: int) -> None: ...
    def normalise_halves(
        self, stack: NDArray[np.uint16], softmax: bool, shares: _F32, first: int
    ) -> None: ...
    def mark_occurring(self, labels: NDArray[Any], low: int, found: _U8) -> None: ...
    def recode(self, labels: NDArray[Any], low: int, table: Classes, codes: Classes) -> None: ...
    def upsample_labels(self, coarse: Classes, place: _I64, fine: Classes) -> None: ...
    def upsample_classes(self, coarse: Classes, place: _I64, how: int, fine: Classes) -> None: ...
    def upsample_argmax(
        self, planes: NDArray[np.float32], place: _I64, how: int, fine: Classes
    ) -> None: ...
    def sample_planes(
        self,
        planes: NDArray[np.float32],
        place: _I64,
        how: int,
        pixels: _I64,
        samples: _F64,
    ) -> None: ...
    def variance(self, values: NDArray[Any]) -> float: ...
    def cell_moments(
        self, image: NDArray[Any], cell: int, center: _F64, scale: float, moments: _F32
    ) -> None: ...
    def channel_means(self, image: NDArray[Any], means: _F64) -> None: ...
    def cell_labels(self, labels: Classes, cell: int, found: Classes) -> None: ...
    def nearest_others(
        self, cells: Classes, reach: int, distance: _F32, nearest_other: Classes
    ) -> None: ...
    def boundary_detail(self, labels: Classes) -> tuple[int, int]: ...
    # Bands: pixel and start say where the runs are; height and width, of the image.
    def find_runs(self, seeds: NDArray[Any]) -> tuple[_I64, _I32]: ...
    def components(
        self, pixel: _I64, start: _I32, height: int, width: int, component: _I32
    ) -> int: ...
    def says(
        self,
        pixel: _I64,
        start: _I32,
        seeds: NDArray[Any],
        first: _I32,
        across: int,
        evidence: Classes,
    ) -> tuple[_I64, _I64]: ...
    def decide(
        self,
        pixel: _I64,
        start: _I32,
        x: _F32,
        label: NDArray[Any],
        first: _I32,
        across: int,
        bound: _F32,
        top: int,
        left: int,
        bottom: int,
        right: int,
        seeds: NDArray[Any],
    ) -> int: ...
    def assemble(
        self,
        pixel: _I64,
        start: _I32,
        features: NDArray[Any],
        rule: int,
        edge_scale: float,
        seeds: NDArray[Any],
        label: NDArray[Any],
        first_place: _I32,
        across: int,
        gamma: float,
        edges: _F32,
        flux: _F32,
    ) -> None: ...
    def nearby_classes(
        self, maps: Classes, count: int, cell: int, group: int
    ) -> tuple[_I64, Classes]: ...
    def colour_models(
        self,
        moments: _F32,
        channels: int,
        own: Classes,
        weight: _F32,
        count: int,
        group: int,
        window_area: float,
        first: _I64,
        of: Classes,
        radius: _I64,
        prior: float,
        start: float,
        ridge: float,
        coefficients: _F32,
    ) -> None: ...
    def class_evidence(self, *arguments: Any) -> None: ...  # bind_evidence.cpp has the list
    def add_evidence(
        self,
        pixel: _I64,
        start: _I32,
        position: _I32,
        label: Classes,
        share: _F32,
        columns: NDArray[Any],
        first: _I32,
        across: int,
        width: int,
        gamma: float,
        b: _F32,
    ) -> None: ...
    def row_starts(
        self, pixel: _I64, start: _I32, height: int, width: int, edges: _F32, row_start: _I32
    ) -> int: ...
    def laplacian(
        self,
        pixel: _I64,
        start: _I32,
        height: int,
        width: int,
        edges: _F32,
        row_start: _I32,
        column: _I32,
        value: _F64,
    ) -> None: ...
    def link_black(
        self, pixel: _I64, start: _I32, height: int, width: int
    ) -> tuple[_I32, _I32, _I64]: ...
    def eliminate_red(
        self,
        pixel: _I64,
        start: _I32,
        height: int,
        width: int,
        edges: _F32,
        first_entry: _I32,
        weights: _F32,
        row_sum: _F32,
        inverse: _F32,
    ) -> None: ...
    def eliminate_red_rhs(
        self,
        pixel: _I64,
        start: _I32,
        height: int,
        width: int,
        edges: _F32,
        first_entry: _I32,
        b: _F32,
        rhs: _F32,
    ) -> None: ...
    def back_substitute(
        self,
        pixel: _I64,
        start: _I32,
        height: int,
        width: int,
        edges: _F32,
        first_entry: _I32,
        x: _F32,
        b: _F32,
    ) -> None: ...

    def majority(
        self, pixel: _I64, start: _I32, labels: Classes, size: int, found: Classes
    ) -> None: ...
    def prune(self, seeds: Classes, length: int, pruned: Classes) -> None: ...

    # Columns. Those of a level (apply, residual, restrict, prolong, coarsen, submatrix) exist as
    # stencil_<op> and sparse_<op>, whose first arguments are the level's arrays.
    padding: int

    def conjugate(self, z: _F32, q: _F32, energy: _F64, p: _F32) -> None: ...
    def apply_inverse_diagonal(self, inverse: _F32, r: _F32, out: _F32) -> None: ...
    def largest(self, x: _F32, most: _F32) -> None: ...


def supported() -> tuple[str, ...]:
    """Return the instruction sets that this processor has and that were built, best first."""
    features = _module("baseline").cpu_features()  # none known: not an x86 processor
    return tuple(
        name for name, needs in _NEEDS.items() if all(features.get(f, False) for f in needs)
    )


def load(name: str | None = None) -> tuple[str, Kernels]:
    """Return the name and the module of an instruction set; None: by ``HDSEG_CPU_ISA``, or best.

    Raises
    ------
    InvalidInput
        This processor or this build does not have it.
    """
    found = supported()
    asked = name or os.environ.get(VARIABLE) or found[0]
    if asked not in found:
        raise InvalidInput(
            f"{VARIABLE}={asked!r} cannot be used here; choose one of {found}, or unset it."
        )
    return asked, _module(asked)


def _module(name: str) -> Kernels:
    # OpenMP's threads spin for milliseconds while they wait for one another. Where other programs
    # share the cores, that takes the time of the very threads that are waited for: thinning was 30
    # times slower. libgomp reads this as it is loaded; whoever chose a policy keeps it.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    return cast(Kernels, import_module(f"hdseg_gpu.backends.cpu._cpu_{name}"))
