"""Duration of the first call: ``python benchmarks/gpu_start.py cuda`` prints seconds as JSON.

Runs in a process of its own, because modules are loaded once per process; this one loads none of
those that refine() needs before it.
"""

import json
import sys
from time import perf_counter

import numpy as np


def picture(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an image and its coarse map, 8 times smaller."""
    y, x = np.mgrid[:side, :side] / 120.0
    inside = np.sin(x + 0.4 * np.sin(1.7 * y)) + np.sin(1.3 * y) > 0.2
    noise = np.random.default_rng(31).integers(0, 40, (side, side, 3))
    image = (60 + 90 * inside[:, :, np.newaxis] + noise).astype(np.uint8)
    return image, inside[4::8, 4::8].astype(np.uint8)


def main(backend: str, side: int) -> None:
    """Print the seconds of each part."""
    image, coarse = picture(side)
    found = {}
    start = perf_counter()

    def lap(name: str) -> None:
        nonlocal start
        now = perf_counter()
        found[name] = now - start
        start = now

    import hdseg_gpu

    lap("import hdseg_gpu")
    if backend == "cuda":
        import cupy

        lap("import CuPy")
        cupy.cuda.runtime.free(0)  # creates the context
        lap("context")
    hdseg_gpu.refine(image, coarse, backend=backend)
    lap("first refine")
    hdseg_gpu.refine(image, coarse, backend=backend)
    lap("second refine")
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1024)
