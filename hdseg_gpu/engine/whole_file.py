"""Refining a file that fits into memory, without tiles and without a workspace."""

from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from hdseg_gpu.core import validate
from hdseg_gpu.core.coarse_map import coarse_cost
from hdseg_gpu.core.memory import Budget, resident
from hdseg_gpu.core.report import Stages
from hdseg_gpu.engine.fallback import MemoryRun, within_memory
from hdseg_gpu.engine.file_run import FileRun, Refinement
from hdseg_gpu.engine.workspace import folder_for
from hdseg_gpu.executors.progress import TileProgress
from hdseg_gpu.io.coarse_source import CoarseSource
from hdseg_gpu.io.inputs import Input, reading, source_of
from hdseg_gpu.io.write import ArrayLabels

MOST = 32 << 20  # pixels; larger images are refined tile by tile
# Bytes per pixel besides the image. 17 were measured where 3 % of the pixels are unknown; each
# unknown pixel takes about 300 more.
_FOR_PIXEL = 100


def fits(
    image: Input, boundary: Input | None, coarse: CoarseSource, allowed: Budget, target: Path
) -> bool:
    """Return whether an image is so small that tiles would only take time.

    Not if there is an unfinished run for its output, which is to be continued or removed.
    """
    sources = [source_of(each) for each in (image, boundary) if each is not None]
    source, pixels = sources[0], prod(sources[0].shape)
    values = (source.channels - image.alpha) * source.dtype.itemsize
    values += sum(other.dtype.itemsize for other in sources[1:])
    takes = pixels * (3 * values + _FOR_PIXEL) + max(each.decoding for each in sources)
    takes += sum(each.held for each in sources) + coarse.whole_room()
    takes += coarse_cost(coarse.shape, coarse.axis, coarse.dtype)
    return pixels <= MOST and takes <= allowed.left and not folder_for(target).exists()


def refine_whole(run: FileRun, progress: Callable[[TileProgress], None] | None) -> Refinement:
    """Refine an image at once. progress: called when a stage begins and ends."""
    run.stages.progress = _by_stage(progress)
    image = validate.image(_pixels(run.image), -1, run.image.alpha, Stages())
    edges = None
    if run.boundary is not None:
        edges = validate.edge_strengths(_pixels(run.boundary)[..., 0], image.shape[:2])
    job = MemoryRun(image, edges, run.coarse.in_memory(), run.params, with_probabilities=False)
    ops, outcome = within_memory(run.ops, job, run.device_memory, run.stages, final=run.final)
    with ops.here(run.device_memory):  # errors of the device are raised here
        labels = ArrayLabels(ops.host(outcome.labels))
    return Refinement(
        found=outcome.found, labels=labels, tile=max(run.source.shape), tiles=1, workers=1
    )


def _pixels(given: Input) -> NDArray[Any]:
    with reading(given, "") as source:
        return source.take()


def _by_stage(
    progress: Callable[[TileProgress], None] | None,
) -> Callable[[str, float], None] | None:
    """Adapt a callback for tiles to the stages of a whole image."""
    if progress is None:
        return None
    return lambda stage, share: progress(TileProgress(stage, int(share), 0, 0.0, None, resident()))
