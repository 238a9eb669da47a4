"""One run of ``hdseg refine`` as a process, and the quality of its mask."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.gigapixel_data import FIELD, SCALE, Files
from hdseg_gpu import Window, open_image
from hdseg_gpu.core.tiles import TileGrid
from hdseg_gpu.metrics import boundary_radii

_SIDE = 2048


class Outcome(NamedTuple):
    """The time and memory of a process."""

    seconds: float
    peak_mib: float  # resident, of the process
    report: dict[str, Any]


def refine(files: Files, output: Path, *options: str) -> Outcome:
    """Run the command on files."""
    command = [sys.executable, "-P", "-c", "from hdseg_gpu.cli import entry_point; entry_point()",
               "refine", str(files.image), str(files.coarse), "-o", str(output),
               "--json", "--overwrite", *options]  # fmt: skip
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = perf_counter()
        with subprocess.Popen(command, env=environment, stdout=out, stderr=err) as process:
            process.wait()
        seconds = perf_counter() - start
        out.seek(0)
        err.seek(0)
        if process.returncode != 0:
            raise SystemExit(f"{' '.join(command[4:])}\n{err.read().decode()}")
        report = json.loads(out.read())
    return Outcome(seconds, report["peak_memory"] / 2**20, report)


class Quality(NamedTuple):
    """IoU and mBA of a mask against the truth, in per cent."""

    iou: float
    mba: float


def quality(files: Files, prediction: Path | None) -> Quality:
    """Return IoU and mBA of a label map, or of the coarse map enlarged, strip by strip."""
    with open_image(files.truth) as truth, open_image(prediction or files.coarse) as mask:
        scale = SCALE if prediction is None else 1
        return measured(truth, mask, scale)


def measured(truth: Any, mask: Any, scale: int = 1, side: int = _SIDE) -> Quality:
    """Return the quality of a source's labels 0 and 1; scale: image pixels per source pixel.

    The radii of mBA are those for one field of the mosaic, whatever the size of the mosaic.
    """
    both = either = 0
    radii = boundary_radii(FIELD)
    counts = np.zeros((len(radii), 2), np.int64)
    for index in range(len(grid := TileGrid(truth.shape, side))):
        core = grid.core(index)
        outer = core.padded(max(radii) + 1, truth.shape)
        t, p = truth.read(outer)[..., 0] > 0, _enlarged(mask, outer, scale)
        part = core.relative_to(outer).slices
        both += int(np.count_nonzero(t[part] & p[part]))
        either += int(np.count_nonzero(t[part] | p[part]))
        if t.any() and not t.all():
            counts += _boundary_counts(p, t, radii, part)
    shares = [right / total for right, total in counts.tolist() if total]
    return Quality(100 * both / max(either, 1), 100 * float(np.mean(shares)) if shares else 0.0)


def _boundary_counts(
    p: NDArray[np.bool_], t: NDArray[np.bool_], radii: list[int], part: tuple[slice, slice]
) -> NDArray[np.int64]:
    """Count the correct pixels near the boundary in a part, and all pixels near it.

    As defined by ``mean_boundary_accuracy``, but by OpenCV's much faster dilation and erosion.
    """
    import cv2

    right, mask = (p == t)[part], t.view(np.uint8)
    counts = np.zeros((len(radii), 2), np.int64)
    for i, radius in enumerate(radii):
        element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        near = (cv2.dilate(mask, element) != cv2.erode(mask, element))[part]
        counts[i] = np.count_nonzero(near & right), np.count_nonzero(near)
    return counts


def _enlarged(mask: Any, window: Window, scale: int) -> NDArray[np.bool_]:
    """Return a window of a mask, each pixel repeated."""
    small = Window(
        window.top // scale, window.left // scale,
        -(-window.bottom // scale) - window.top // scale,
        -(-window.right // scale) - window.left // scale,
    )  # fmt: skip
    large = (mask.read(small)[..., 0] > 0).repeat(scale, axis=0).repeat(scale, axis=1)
    top, left = window.top - small.top * scale, window.left - small.left * scale
    return large[top : top + window.height, left : left + window.width]
