"""Writing the labels of a run to its output."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.locks import Lock
from hdseg_gpu.core.report import FileReport
from hdseg_gpu.core.windows import Shape, Window
from hdseg_gpu.engine.disk_store import DiskStore
from hdseg_gpu.engine.steps import Seeds
from hdseg_gpu.engine.workspace import Workspace
from hdseg_gpu.io.create import write_as
from hdseg_gpu.io.paths import take_name, writing
from hdseg_gpu.io.source import Georeference
from hdseg_gpu.pipeline.labels import look_up

_STRIP = 512  # rows; writers' tiles are at least as high, and written row by row


@dataclass
class Labels:
    """Labels by window: of solved tiles from the disk, of all others from their seeds."""

    store: DiskStore
    step: Seeds
    decided: frozenset[int]
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
        store, ops = self.store, self.store.ops
        if index in self.decided:
            labels = ops.xp.asarray(store.plane("labels").read(window))
        else:
            labels = store.seeds(self.step, window)
        return ops.host(look_up(ops, store.coarse.values, labels, store.coarse.ignore_index))


def write_output(output: Path, labels: Labels, georeference: Georeference | None) -> Path:
    """Write the labels into the run's folder; return the path of the complete file or Zarr store.

    After an error or a kill nothing remains outside that folder.
    """
    complete = labels.store.workspace.begin_output(output)
    with writing(output):
        write_as(complete, labels, georeference, output)
    return complete


def name_output(
    workspace: Workspace, complete: Path, output: Path, overwrite: bool, report: FileReport
) -> None:
    """Move the complete file to the output's path; first record that this run wrote it."""
    workspace.about_to_name(complete, report)
    with writing(output):
        take_name(complete, output, overwrite)
