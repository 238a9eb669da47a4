"""Writing .npy files strip by strip."""

from pathlib import Path

import numpy as np

from hdseg_gpu.io.paths import completed
from hdseg_gpu.io.pyramid import strips
from hdseg_gpu.io.source import LabelSource

_ROWS = 512  # fetched and written at once


def write_npy(path: Path, labels: LabelSource, overwrite: bool = True) -> None:
    """Write labels as ``np.save`` does, byte for byte, with a strip of them in memory."""
    header = {
        "descr": np.lib.format.dtype_to_descr(labels.dtype),
        "fortran_order": False,
        "shape": labels.shape,
    }
    with completed(path, overwrite) as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for rows in strips(labels, _ROWS):
            stream.write(np.ascontiguousarray(rows, labels.dtype).data)
