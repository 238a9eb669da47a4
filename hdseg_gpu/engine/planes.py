"""The layout of the planes of a run: size, tiles, dtype and valid values."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from hdseg_gpu.core.classes import class_dtype, wall_of
from hdseg_gpu.core.params import CoarseSummary
from hdseg_gpu.core.tiles import TileGrid
from hdseg_gpu.core.windows import Shape
from hdseg_gpu.engine.names import kind_of
from hdseg_gpu.io.plane import Values
from hdseg_gpu.pipeline.rounds import Lengths


class Tiled(Protocol):
    """The properties of a store that layouts depend on."""

    @property
    def shape(self) -> Shape:
        """Return (H, W)."""

    @property
    def coarse(self) -> CoarseSummary:
        """Return the summary of the coarse map."""

    @property
    def tiles(self) -> TileGrid:
        """Return the tiles that are redrawn and solved."""

    @property
    def seed_tiles(self) -> TileGrid:
        """Return the tiles in which seeds are computed."""

    @property
    def lengths(self) -> Lengths:
        """Return the units of lengths."""


Layout = dict[str, Any]  # arguments of ``io.plane.Plane``


def layout_of(store: Tiled, name: str) -> Layout:
    """Return the layout of a plane."""
    return _LAYOUTS[kind_of(name)](store)


def _of_pixels(store: Tiled) -> Layout:
    return {"shape": store.shape, "tile": store.tiles.tile}


def _classes(store: Tiled) -> Layout:
    """Return the dtype and the valid values of class indices."""
    count = store.coarse.count
    return {"dtype": np.dtype(class_dtype(count)).name, "values": Values(0, count - 1)}


def _known(store: Tiled) -> Layout:
    return {"shape": store.shape, "tile": store.seed_tiles.tile, "dtype": "bool", "bits": True}


def _cells(store: Tiled) -> Layout:
    cell = store.lengths.cell
    shape = -(-store.shape[0] // cell), -(-store.shape[1] // cell)
    return {"shape": shape, "tile": store.seed_tiles.tile // cell, **_classes(store)}


def _labels(store: Tiled) -> Layout:
    dtype = class_dtype(store.coarse.count)
    wall = None if store.coarse.ignore_index is None else wall_of(np.dtype(dtype))
    values = Values(1, store.coarse.count, wall)
    return {**_of_pixels(store), **_classes(store), "values": values}


# For each plane in ``names.PLANES``.
_LAYOUTS: dict[str, Callable[[Tiled], Layout]] = {
    "known": _known,
    "cells": _cells,
    "classes": lambda store: {**_of_pixels(store), **_classes(store)},
    "labels": _labels,
}
