"""The backend cpu as a contestant of benchmarks.gpu, for ``benchmarks.child``."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu import refine
from hdseg_gpu.backends.cpu import isa


def by_cpu(
    image: NDArray[np.uint8], coarse: NDArray[np.uint8]
) -> tuple[NDArray[Any], dict[str, Any]]:
    """Return the labels by backend="cpu"."""
    labels, report = refine(image, coarse, backend="cpu", return_report=True)
    _, kernels = isa.load()
    return labels, {
        "threads": int(kernels.thread_count()),
        "uncertified": report.uncertified_pixels,
        "stages": report.seconds,
    }
