"""A refinement from file to file: its checked inputs, and how every such run ends."""

from dataclasses import dataclass
from importlib.metadata import version
from math import prod
from typing import Any

import numpy as np

from hdseg_gpu.core.classes import class_dtype
from hdseg_gpu.core.params import Params
from hdseg_gpu.core.report import FileReport, Stages
from hdseg_gpu.core.tiles import BLOCK
from hdseg_gpu.engine.budget import Need
from hdseg_gpu.engine.findings import Findings
from hdseg_gpu.engine.kept_coarse import CoarseValues
from hdseg_gpu.engine.output import Sink
from hdseg_gpu.io.identity import Watch
from hdseg_gpu.io.inputs import Input, check_unchanged, check_values, source_of
from hdseg_gpu.io.source import ImageSource, LabelSource
from hdseg_gpu.ops import Ops
from hdseg_gpu.pipeline.block import CUT_ERROR


@dataclass(frozen=True, kw_only=True)
class FileRun:
    """A refinement from file to file: everything is open and checked, nothing computed."""

    image: Input
    boundary: Input | None
    coarse: CoarseValues
    coarse_file: Watch | None  # None if the coarse map is an array
    params: Params
    ops: Ops
    final: bool  # whether no other backend may take the place of `ops`
    device_memory: int | None  # bytes of a device that may be used
    stages: Stages

    @property
    def source(self) -> ImageSource:
        """Return the open image."""
        return source_of(self.image)

    def check_inputs(self) -> None:
        """Raise Changed if any input is not what it was when the run began."""
        check_unchanged(self.image)
        check_unchanged(self.boundary)
        check_values(image=self.image, boundary=self.boundary)
        if self.coarse_file is not None:
            self.coarse_file.check(thoroughly=True)

    def identity(self) -> dict[str, Any]:
        """Return everything that labels depend on; a run is resumed only if it is the same."""
        options = {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in vars(self.params).items()
        }
        return {
            "version": version("hdseg_gpu"),
            "image": self.image.plain(),
            "boundary": None if self.boundary is None else self.boundary.plain(),
            "coarse": self.coarse.content,
            "ignore_index": self.coarse.summary.ignore_index,
            "block": [BLOCK, CUT_ERROR],
            **options,
        }

    def need(self) -> Need:
        """Return what the memory of its tiles depends on."""
        source, coarse = self.source, self.coarse.summary
        sources = [source] if self.boundary is None else [source, source_of(self.boundary)]
        values = prod(coarse.shape) * (coarse.count if coarse.soft else 1)
        return Need(
            source.shape,
            source.channels - self.image.alpha,
            source.dtype.itemsize,
            np.dtype(class_dtype(coarse.count)).itemsize,
            self.params,
            doubtful=self.params.gamma > 0,
            boundary_bytes=sum(other.dtype.itemsize for other in sources[1:]),
            decoding=max(each.decoding for each in sources),
            held=sum(each.held for each in sources),
            coarse_bytes=4 * values / prod(source.shape),
        )


@dataclass(frozen=True, kw_only=True)
class Refinement:
    """The result of a run that is not written yet."""

    found: Findings
    labels: LabelSource
    tile: int  # side, pixels
    tiles: int
    workers: int


def finish(run: FileRun, done: Refinement, sink: Sink) -> FileReport:
    """Write the labels of a run, and return its report.

    Nothing is written if an input has changed: labels must be those of one image.
    """
    run.check_inputs()
    source, stages = run.source, run.stages

    def report() -> FileReport:
        return done.found.file_report(
            stages, tile=done.tile, tiles=done.tiles, workers=done.workers,
            bytes_read=source.bytes_read,
        )  # fmt: skip

    with stages("writing"):
        sink.write(done.labels, source.georeference)
        sink.publish(report())
    return report()
