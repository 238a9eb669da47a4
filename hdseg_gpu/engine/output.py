"""The labels of a run tile by tile, and where labels are written: directly, or by a workspace."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.locks import Lock
from hdseg_gpu.core.report import FileReport, Stages
from hdseg_gpu.core.windows import Shape, Window
from hdseg_gpu.engine.disk_store import DiskStore
from hdseg_gpu.engine.steps import Seeds
from hdseg_gpu.engine.workspace import Workspace
from hdseg_gpu.io.create import create_labels, write_as
from hdseg_gpu.io.paths import take_name, writing
from hdseg_gpu.io.source import Georeference, LabelSource
from hdseg_gpu.pipeline.labels import look_up

_STRIP = 512  # rows; writers' tiles are at least as high, and written row by row


@dataclass
class TileLabels:
    """Labels by window: of solved tiles from the disk, of all others from their seeds."""

    store: DiskStore
    step: Seeds
    decided: frozenset[int]
    stages: Stages
    _strip: tuple[int, NDArray[Any]] | None = None
    _lock: Any = field(default_factory=Lock)

    @property
    def shape(self) -> Shape:
        """Return (H, W)."""
        return self.store.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the dtype of the coarse labels."""
        dtype: np.dtype[Any] = self.store.coarse.values.dtype
        return dtype

    @property
    def largest(self) -> int:
        """Return the largest possible label."""
        coarse = self.store.coarse
        known = [] if coarse.ignore_index is None else [coarse.ignore_index]
        return max([int(coarse.values.max()), *known])

    def read(self, window: Window) -> NDArray[Any]:
        """Return the labels in a window."""
        first, last = window.top // _STRIP, (window.bottom - 1) // _STRIP
        if first != last or window.width == self.shape[1]:
            return self._read(window)
        # A row of tiles: decompress the strip they lie in once.
        with self._lock:
            if self._strip is None or self._strip[0] != first:
                top = first * _STRIP
                rows = min(_STRIP, self.shape[0] - top)
                self._strip = first, self._read(Window(top, 0, rows, self.shape[1]))
            strip = self._strip[1]
        return strip[window.relative_to(Window(first * _STRIP, 0, 0, 0)).slices]

    def _read(self, window: Window) -> NDArray[Any]:
        found = np.empty(window.shape, self.dtype)
        grid = self.store.tiles
        for index in grid.meeting(window):
            common = grid.core(index).intersection(window)
            assert common is not None
            found[common.relative_to(window).slices] = self._in_tile(index, common)
        return found

    def _in_tile(self, index: int, window: Window) -> NDArray[Any]:
        def found(store: DiskStore) -> NDArray[Any]:
            ops, coarse = store.ops, store.coarse
            if index in self.decided:
                labels = ops.xp.asarray(store.plane("labels").read(window))
            else:
                labels = store.seeds(self.step, window)
            return ops.host(look_up(ops, coarse.values, labels, coarse.ignore_index))

        return self.store.within(found, self.stages)


class Sink(Protocol):
    """Where the labels of a run are written, and become the output."""

    def write(self, labels: LabelSource, georeference: Georeference | None) -> None:
        """Write all labels."""

    def publish(self, report: FileReport) -> None:
        """Let the complete file take the output's name."""


@dataclass(frozen=True)
class Direct:
    """An output that is written beside its path, and takes its name as soon as it is complete."""

    output: Path
    overwrite: bool

    def write(self, labels: LabelSource, georeference: Georeference | None) -> None:
        """Write all labels to the output."""
        create_labels(self.output, labels, georeference, self.overwrite)

    def publish(self, report: FileReport) -> None:
        """Do nothing: the file has its name already."""


@dataclass
class ByWorkspace:
    """An output that is written into the run's workspace first.

    After an error or a kill nothing remains outside that folder, and a run that was stopped after
    it named the file is known to be finished.
    """

    workspace: Workspace
    output: Path
    overwrite: bool

    def write(self, labels: LabelSource, georeference: Georeference | None) -> None:
        """Write all labels to a file, or Zarr store, in the workspace."""
        self._complete = self.workspace.begin_output(self.output)
        with writing(self.output):
            write_as(self._complete, labels, georeference, self.output)

    def publish(self, report: FileReport) -> None:
        """Record that this run wrote the file, then move it to the output's path."""
        self.workspace.about_to_name(self._complete, report)
        with writing(self.output):
            take_name(self._complete, self.output, self.overwrite)
