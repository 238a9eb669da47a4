"""refine_file() for images that fit in memory: without tiles and without a workspace."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from hdseg_gpu.core import validate
from hdseg_gpu.core.coarse_map import coarse_cost
from hdseg_gpu.core.memory import Budget, peak, resident
from hdseg_gpu.core.params import Coarse, Params
from hdseg_gpu.core.report import FileReport, Stages, note_precision, report_of
from hdseg_gpu.engine.fallback import Job, within_memory
from hdseg_gpu.engine.workspace import folder_for
from hdseg_gpu.executors.progress import TileProgress
from hdseg_gpu.io import write_labels
from hdseg_gpu.io.coarse_source import CoarseSource
from hdseg_gpu.io.identity import Watch
from hdseg_gpu.io.inputs import Input, check_unchanged, check_values, reading, source_of
from hdseg_gpu.ops import Ops

MOST = 32 << 20  # pixels; larger images are refined tile by tile
# Bytes per pixel besides the image. 17 were measured where 3 % of the pixels are unknown; each
# unknown pixel takes about 300 more.
_FOR_PIXEL = 100


def fits(
    given: Input, edge_map: Input | None, coarse: CoarseSource, allowed: Budget, target: Path
) -> bool:
    """Return whether a picture is so small that tiles would only take time.

    Not if there is an unfinished run for its output, which is to be continued or removed.
    """
    sources = [source_of(each) for each in (given, edge_map) if each is not None]
    image, pixels = sources[0], prod(sources[0].shape)
    values = (image.channels - given.alpha) * image.dtype.itemsize
    values += sum(other.dtype.itemsize for other in sources[1:])
    takes = pixels * (3 * values + _FOR_PIXEL) + max(each.decoding for each in sources)
    takes += sum(each.held for each in sources) + coarse.whole_room()
    takes += coarse_cost(coarse.shape, coarse.axis, coarse.dtype)
    return pixels <= MOST and takes <= allowed.left and not folder_for(target).exists()


@dataclass(frozen=True)
class WholeFile:
    """An image to be refined as a whole."""

    image: Input
    boundary: Input | None
    network: Coarse
    params: Params
    ops: Ops
    device_memory: int | None
    final: bool  # whether the backend must not be replaced

    def refine(
        self,
        target: Path,
        overwrite: bool,
        watch: Watch | None,
        stages: Stages,
        progress: Callable[[TileProgress], None] | None,
    ) -> FileReport:
        """Refine, and write the labels to `target`; nothing is written if an input has changed.

        watch: detects changes of the coarse map's file. progress: called when a stage begins and
        ends.
        """
        stages.progress = _telling(progress)
        image = validate.image(_pixels(self.image), -1, self.image.alpha, Stages())
        edges = None if self.boundary is None else _pixels(self.boundary)[..., 0]
        strengths = None
        if edges is not None:
            strengths = validate.edge_strengths(edges, image.shape[:2])
        job = Job(image, strengths, self.network, self.params, with_probabilities=False)
        ops, outcome = within_memory(
            self.ops, job, self.device_memory, stages, final=self.final
        )  # fmt: skip
        with ops.here(self.device_memory):  # errors of the device are raised here
            labels = ops.host(outcome.labels)
        check_unchanged(self.image)
        check_unchanged(self.boundary)
        check_values(image=self.image, boundary=self.boundary)
        if watch is not None:
            watch.check(thoroughly=True)
        found, source = outcome.found, source_of(self.image)
        note_precision(found.tally, self.params.tolerance, stages)
        with stages("writing"):
            write_labels(target, labels, source.georeference, overwrite=overwrite)
        report = report_of(
            ops.name, source.shape, self.network.summary, self.params, outcome.sigma,
            found.seeds.passes, found.doubt, found.tally, stages,
        )  # fmt: skip
        return FileReport(
            **vars(report), tile=max(source.shape), tiles=1,
            decided_tiles=int(found.tally.unknown_pixels > 0), workers=1,
            bytes_read=source.bytes_read, peak_memory=peak(), skipped={},
        )  # fmt: skip


def _pixels(given: Input) -> NDArray[Any]:
    with reading(given, "") as source:
        return source.take()


def _telling(tell: Callable[[TileProgress], None] | None) -> Callable[[str, float], None] | None:
    """Adapt a callback for tiles to stages of a whole image."""
    if tell is None:
        return None
    return lambda stage, share: tell(TileProgress(stage, int(share), 0, 0.0, None, resident()))
