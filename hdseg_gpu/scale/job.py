"""What a worker must know to do a tile: plain values and paths, that travel well."""

from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core import validate
from hdseg_gpu.core.errors import Unfinished
from hdseg_gpu.core.ops import Ops, class_dtype, wall_of
from hdseg_gpu.core.params import Coarse, Params, Survey
from hdseg_gpu.core.report import Stages
from hdseg_gpu.core.tiles import TileGrid
from hdseg_gpu.core.windows import Placement, Shape, Window, placed
from hdseg_gpu.io.npy import Npy
from hdseg_gpu.io.plane import Plane, Values
from hdseg_gpu.pipeline.evidence import part_of, taken_over
from hdseg_gpu.pipeline.rounds import Lengths, lengths_of
from hdseg_gpu.scale.memory import SEED_TILE, Plan
from hdseg_gpu.scale.sources import Input, check_going_on, check_unchanged, reading
from hdseg_gpu.scale.workspace import Workspace

_ARRAYS = ("classes", "probabilities", "ignored")


@dataclass(frozen=True)
class Job:
    """A run: what is refined, how, and where everything is kept."""

    ops: Ops  # travels as its name
    image: Input
    boundary: Input | None
    coarse: Coarse  # without its arrays: they are in the workspace
    grid: Shape  # of the coarse map
    shape: Shape
    params: Params
    workspace: Workspace
    tile: int
    threads: int  # that verbs may use, for each tile
    skip: bool  # whether tiles of the image that cannot be read are left as they are
    sigma: float | None = None  # as told, instead of measured
    device_memory: int | None = None  # bytes of a device's that may be used
    frozen: Survey | None = None  # after the survey: see `surveyed`
    doubt: float = 0.0  # after it has been measured
    room: Plan | None = None  # what this process has memory for; None where others do the tiles
    run: str = field(default_factory=lambda: uuid4().hex)  # this attempt at it

    @property
    def surveyed(self) -> Survey:
        """Return the survey, when it has been made."""
        assert self.frozen is not None
        return self.frozen

    @property
    def lengths(self) -> Lengths:
        """Return what lengths are measured in."""
        return lengths_of(self.params, self.shape)

    @property
    def tiles(self) -> TileGrid:
        """Return the tiles that are solved."""
        return TileGrid(self.shape, self.tile)

    @property
    def seed_tiles(self) -> TileGrid:
        """Return the tiles that seeds are found in: whole cells."""
        cell = self.lengths.cell
        return TileGrid(self.shape, -(-SEED_TILE // cell) * cell)

    def check_inputs(self) -> None:
        """Raise Changed if the image or the boundary map is not what the run began with."""
        check_unchanged(self.image)
        check_unchanged(self.boundary)

    def check_workspace(self) -> None:
        """Raise Unfinished if the run was given up, or its folder is another's by now."""
        check_going_on(self.run)
        if not self.workspace.is_there():
            raise Unfinished(
                f"{self.workspace.folder} is not the folder of this run; a worker needs the "
                "output's folder under the same path as all others, and a tile of a run that was "
                "given up is of no use any more."
            )

    def plane(self, name: str) -> Plane:
        """Return a plane of the run: known0, cells0, classes0, ... for each round, and labels."""
        check_going_on(self.run)
        folder, key = self.workspace.folder / name, self.workspace.key
        seed_tile, kind = self.seed_tiles.tile, name.rstrip("0123456789")
        if kind == "known":
            return Plane(folder, self.shape, seed_tile, "bool", bits=True, key=key)
        count = self.coarse.count
        dtype = np.dtype(class_dtype(count)).name
        shape, tile, values = self.shape, self.tile, Values(0, count - 1)
        if kind == "cells":
            cell = self.lengths.cell
            shape = -(-self.shape[0] // cell), -(-self.shape[1] // cell)
            tile = seed_tile // cell
        elif kind == "labels":
            wall = None if self.coarse.ignore_index is None else wall_of(dtype)
            values = Values(1, count, wall)
        return Plane(folder, shape, tile, dtype, values=values, key=key)

    def coarse_at(self, window: Window) -> tuple[Coarse, Placement]:
        """Return the part of the coarse map that a window needs, in arrays of the backend."""
        place = placed(window, self.shape, self.grid)
        return taken_over(self.ops, part_of(arrays_of(self), place.part)), place

    def read(self, window: Window, *, boundary: bool = False) -> NDArray[Any]:
        """Return the image, or the boundary map, in a window: checked, in host memory."""
        given = self.boundary if boundary else self.image
        assert given is not None
        with reading(given, self.run) as source:
            pixels = source.read(window)
        if boundary:
            return validate.edge_features(pixels, pixels[..., 0], "boundary")
        return validate.image(pixels, -1, given.alpha, Stages())


def keep_coarse(workspace: Workspace, coarse: Coarse) -> None:
    """Put the arrays of a coarse map into the workspace, and no others."""
    arrays = _arrays(coarse)
    for name in _ARRAYS:
        file = f"coarse_{name}.npy"
        if name not in arrays:
            workspace.file(file).unlink(missing_ok=True)
            continue
        values: NDArray[Any] = np.ascontiguousarray(arrays[name])
        with workspace.new_file(file) as stream:
            # Not by np.save, which does not say why a file cannot be written.
            header = np.lib.format.header_data_from_array_1_0(values)
            np.lib.format.write_array_header_1_0(stream, header)
            stream.write(values.data)


def arrays_of(job: Job) -> Coarse:
    """Return the coarse map with its arrays, which are read from the disk as they are needed."""
    loaded: dict[str, Any] = {
        name: Npy(path)  # closed when nobody refers to it any more
        for name in _ARRAYS
        if (path := job.workspace.file(f"coarse_{name}.npy")).exists()
    }
    return Coarse(
        job.coarse.values, loaded.get("classes"), loaded.get("probabilities"),
        loaded.get("ignored"), job.coarse.ignore_index,
    )  # fmt: skip


def without_arrays(coarse: Coarse) -> Coarse:
    """Return what remains of a coarse map for the job itself."""
    return replace(coarse, classes=None, probabilities=None, ignored=None)


def size_of_arrays(coarse: Coarse) -> int:
    """Return the bytes of a coarse map's arrays."""
    return sum(array.nbytes for array in _arrays(coarse).values())


def _arrays(coarse: Coarse) -> dict[str, NDArray[Any]]:
    arrays = {name: getattr(coarse, name) for name in _ARRAYS}
    return {name: array for name, array in arrays.items() if array is not None}
