"""Structures that kernels take by value, as tuples of their fields in order.

A field is an array (a pointer), None (a pointer to nothing), a NumPy scalar, an int (int64_t), a
float (double), or a structure.
"""

from functools import cache
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.options import INTERPOLATIONS
from hdseg_gpu.core.windows import GridMapping
from hdseg_gpu.ops import Band, CoarseProbabilities, ColourModels, EvidenceTerms, NearestMap

# The letters of ``struct`` for NumPy's types.
_LETTERS: dict[str, str] = {
    f"{kind}{size}": letter
    for kind, letters in {"i": "bhiq", "u": "BHIQ", "f": " efd"}.items()
    for size, letter in zip((1, 2, 4, 8), letters, strict=True)
}


def packed(value: tuple[Any, ...]) -> NDArray[np.void]:
    """Return the bytes of a structure, (1,), laid out as C does."""
    fields: list[Any] = []
    layout, packer = _layout_of(_taken(value, fields))
    return np.frombuffer(packer.pack(*fields), layout)


def _taken(value: Any, fields: list[Any]) -> Any:
    """Return the types of a structure's fields, nested; append their values to a list."""
    kind = type(value)
    if isinstance(value, tuple):
        return tuple([_taken(each, fields) for each in value])
    if isinstance(value, np.generic):
        fields.append(value.item())
        return f"{value.dtype.kind}{value.dtype.itemsize}"
    if kind is int or kind is float:
        fields.append(value)
        return "i8" if kind is int else "f8"
    fields.append(0 if value is None else address(value))
    return "u8"


@cache
def _layout_of(types: tuple[Any, ...]) -> tuple[np.dtype[np.void], Struct]:
    """Return the layout of a structure, and a ``struct.Struct`` that packs its fields."""
    layout: Any = _dtype(types)
    return layout, Struct(f"={_letters(types, layout)}")


def _dtype(types: Any) -> Any:
    """Return the dtype of a structure: NumPy aligns fields as C does."""
    if not isinstance(types, tuple):
        return np.dtype(types)
    return np.dtype([(f"f{i}", _dtype(each)) for i, each in enumerate(types)], align=True)


def _letters(types: tuple[Any, ...] | str, layout: Any) -> str:
    """Return the letters of all fields, an "x" for each byte of padding."""
    if isinstance(types, str):
        return _LETTERS[types]
    found, end = "", 0
    for name, each in zip(layout.names, types, strict=True):
        inner, offset = layout.fields[name]
        found += "x" * int(offset - end) + _letters(each, inner)
        end = offset + inner.itemsize
    return found + "x" * int(layout.itemsize - end)


def address(array: Any) -> int:
    """Return the address of an array on the device."""
    return int(array.data.ptr)


def band_of(band: Band) -> tuple[Any, ...]:
    """Return a ``Band`` (kernels/common/band.h)."""
    return band.shape, band.pixel, band.start, len(band.pixel)


def grid_mapping_of(place: GridMapping) -> tuple[Any, ...]:
    """Return a ``GridMapping`` (kernels/common/grid.h): rows, columns, window, part."""
    window, part = place.window, place.part
    return (
        (place.shape[0], place.grid[0], window.top, part.top, part.height),
        (place.shape[1], place.grid[1], window.left, part.left, part.width),
        window.shape,
        part.shape,
    )


def interpolation_of(name: str) -> np.int32:
    """Return an ``Interpolation`` (kernels/common/grid.h)."""
    return np.int32(INTERPOLATIONS.index(name))


def evidence_terms_of(terms: EvidenceTerms) -> tuple[Any, ...]:
    """Return ``EvidenceTerms`` (kernels/common/evidence_pixel.h)."""
    height, width = terms.maps[0].own.shape
    cells = terms.models.size // terms.cell  # of a window
    windows = -(-height // cells), -(-width // cells)
    distances = (
        _nearest_map_of(terms.maps[0]), _nearest_map_of(terms.maps[-1]), len(terms.maps),
        terms.cell, (height, width), np.float32(terms.unit),
    )  # fmt: skip
    return (
        terms.center, float(terms.scale), _models_of(terms.models, windows, terms.weight),
        distances, _network_of(terms.network),
    )  # fmt: skip


def _models_of(models: ColourModels, windows: tuple[int, int], weight: float) -> tuple[Any, ...]:
    return (
        models.coefficients, models.nearby.start, models.nearby.label, models.size, windows,
        np.float32(weight),
    )  # fmt: skip


def _nearest_map_of(one: NearestMap) -> tuple[Any, ...]:
    return one.own, one.nearest_other, one.distance, (np.float32(one.log), np.float32(one.linear))


_NOWHERE = ((0,) * 5, (0,) * 5, (0, 0), (0, 0))


def _network_of(network: CoarseProbabilities | None) -> tuple[Any, ...]:
    if network is None:
        return None, _NOWHERE, np.int32(0), (np.float32(0), np.float32(0))
    trust = np.float32(network.log), np.float32(network.linear)
    how = interpolation_of(network.interpolation)
    return network.planes, grid_mapping_of(network.place), how, trust
