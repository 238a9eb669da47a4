"""Thinning beside SciPy and OpenCV: seconds for one pass of the eight 9x9 elements, both planes.

Every contestant gets the same padded picture, so the border rule costs none of them anything, and
must give the same result.
"""

from collections.abc import Callable
from statistics import median
from time import perf_counter

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_hit_or_miss, gaussian_filter

from benchmarks.machine import describe
from hdseg_gpu import backends, structuring_elements

Mask = NDArray[np.bool_]
ELEMENTS = structuring_elements("9x9")


def by_scipy(mask: Mask) -> Mask:
    """Return the mask thinned by one pass, with SciPy."""
    x = np.pad(mask, 40, mode="edge")  # eight elements reach 32 pixels
    for element in ELEMENTS:
        x = x & ~binary_hit_or_miss(x, element == 1, element == -1)
    return x[40:-40, 40:-40]


def by_opencv(mask: Mask) -> Mask:
    """Return the mask thinned by one pass, with OpenCV."""
    x = mask.astype(np.uint8)
    for element in ELEMENTS:
        x = x - cv2.morphologyEx(
            x, cv2.MORPH_HITMISS, element.astype(np.int32), borderType=cv2.BORDER_REPLICATE
        )
    return x > 0


def by_backend(name: str) -> Callable[[Mask], Mask]:
    """Return a backend's thinning."""
    ops = backends.load(name)
    return lambda mask: ops.thinning(mask, ELEMENTS, 1)


def main() -> None:
    """Print one line for each size and contestant, medians of three."""
    print(describe(), "OpenCV", cv2.__version__)
    contestants = {
        "cpu": by_backend("cpu"),
        "reference": by_backend("reference"),
        "OpenCV": by_opencv,
        "SciPy": by_scipy,
    }
    print(
        "| Mpx | " + " | ".join(f"{name} [s]" for name in contestants) + " |\n" + "|---" * 5 + "|"
    )
    for side in (1024, 2048, 4096):
        noise = np.random.default_rng(47).normal(size=(side, side)).astype(np.float32)
        mask = gaussian_filter(noise, 24) > 0
        expected = contestants["cpu"](mask)
        cells = []
        for name, thin in contestants.items():
            times = []
            for _ in range(3):
                start = perf_counter()
                found = thin(mask), thin(~mask)
                times.append(perf_counter() - start)
            inner = np.s_[40:-40, 40:-40] if name == "SciPy" else np.s_[:, :]
            assert (found[0] == expected)[inner].all(), name
            cells.append(f"{median(times):.3f}")
        print(f"| {side**2 / 2**20:g} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
