"""Thousands of classes: time and memory of refine, seeds and metrics, each in its own process.

``python -m benchmarks.classes`` prints a table; it takes a few minutes. Rows are medians of three
calls; CPU seconds are comparable even on a busy machine. Peak memory is that of the whole process.
"""

import json
import resource
import subprocess
import sys
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from benchmarks.machine import describe

_ROUNDS = 3
# function, labels, height, width, scale, kind of map
_ROWS = (
    ("refine", 2, 2048, 2048, 8, "cells"),
    ("refine", 2000, 640, 800, 8, "cells"),
    ("refine", 2000, 640, 800, 8, "scattered"),
    ("refine", 8000, 1448, 1448, 8, "cells"),
    ("refine", 65535, 2048, 2048, 4, "cells"),
    ("refine", 65535, 2048, 2048, 8, "scattered"),
    ("seeds", 65535, 2048, 2048, 4, "cells"),
    ("seeds", 65535, 2048, 2048, 8, "scattered"),
    ("per_class", 2, 2048, 2048, 8, "cells"),
    ("per_class", 1600, 2048, 2048, 8, "cells"),
    ("per_class", 65535, 2048, 2048, 8, "cells"),
)


def cells(shape: tuple[int, int], count: int) -> NDArray[np.int64]:
    """Return a label map of `count` Voronoi cells around jittered grid points."""
    rng = np.random.default_rng(5)
    rows = int(np.ceil(np.sqrt(count * shape[0] / shape[1])))
    columns = -(-count // rows)
    pitch = np.array(shape) / (rows, columns)
    grid = np.moveaxis(np.indices((rows, columns)), 0, -1).reshape(-1, 2)[:count]
    points = (grid + 0.5 + rng.uniform(-0.3, 0.3, grid.shape)) * pitch
    pixels = np.moveaxis(np.indices(shape), 0, -1).reshape(-1, 2) + 0.5
    nearest: NDArray[np.int64] = rng.permutation(count)[cKDTree(points).query(pixels)[1]]
    return nearest.reshape(shape)


def scattered(shape: tuple[int, int], count: int) -> NDArray[np.int64]:
    """Return a label map of 8 x 8 squares with random labels."""
    squares = np.random.default_rng(5).integers(0, count, (-(-shape[0] // 8), -(-shape[1] // 8)))
    return squares.repeat(8, axis=0).repeat(8, axis=1)[: shape[0], : shape[1]]


def _measure(what: str, count: int, height: int, width: int, scale: int, kind: str) -> Any:
    """Return seconds of each call, and the peak in MiB."""
    from hdseg_gpu import metrics, refine, seeds

    truth = {"cells": cells, "scattered": scattered}[kind]((height, width), count)
    rng = np.random.default_rng(7)
    image = rng.integers(40, 216, (count, 3))[truth] + rng.normal(0, 12, (height, width, 3))
    image = np.clip(image, 0, 255).astype(np.uint8)
    labels = truth.astype(np.uint16)
    coarse = labels[scale // 2 :: scale, scale // 2 :: scale].copy()
    moved = np.roll(labels, (2, 3), axis=(0, 1))
    calls = {
        "refine": lambda: refine(image, coarse),
        "seeds": lambda: seeds(labels, scale=float(scale)),
        "per_class": lambda: metrics.per_class(moved, labels),
    }
    seconds, busy = [], []
    for _ in range(_ROUNDS):
        start, start_busy = perf_counter(), process_time()
        calls[what]()
        seconds.append(perf_counter() - start)
        busy.append(process_time() - start_busy)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {"seconds": seconds, "busy": busy, "peak": peak}


def main() -> None:
    """Print the table, or, with arguments, one measurement as JSON."""
    if len(sys.argv) > 1:
        print(json.dumps(_measure(*json.loads(sys.argv[1]))))
        return
    print(f"{describe()}\n\n| call | labels | kind | Mpx | scale | s | CPU s | peak MiB |")
    print("|---|---:|---|---:|---:|---:|---:|---:|")
    for row in _ROWS:
        what, count, height, width, scale, kind = row
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.classes", json.dumps(row)],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        found = json.loads(done.stdout)
        mpx = height * width / 1e6
        print(
            f"| {what} | {count} | {kind} | {mpx:.1f} | {scale} | {median(found['seconds']):.2f} "
            f"| {median(found['busy']):.2f} | {found['peak']} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
