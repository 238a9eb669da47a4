"""Writing .npy files strip by strip."""

from pathlib import Path

import numpy as np

from hdseg_gpu.core.windows import Window
from hdseg_gpu.io.paths import completed
from hdseg_gpu.io.source import LabelSource

_ROWS = 512  # fetched and written at once


def write_npy(path: Path, labels: LabelSource, overwrite: bool = True) -> None:
    """Write labels as ``np.save`` does, byte for byte, with a strip of them in memory."""
    height, width = labels.shape
    header = {
        "descr": np.lib.format.dtype_to_descr(labels.dtype),
        "fortran_order": False,
        "shape": (height, width),
    }
    with completed(path, overwrite) as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for top in range(0, height, _ROWS):
            rows = labels.read(Window(top, 0, min(_ROWS, height - top), width))
            stream.write(np.ascontiguousarray(rows, labels.dtype).data)
