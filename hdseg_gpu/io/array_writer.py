"""Writing .npy and .npz files strip by strip."""

from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np

from hdseg_gpu.io.paths import completed
from hdseg_gpu.io.pyramid import strips
from hdseg_gpu.io.source import Georeference, LabelSource

_ROWS = 512  # fetched and written at once
_MEMBER = "arr_0.npy"  # as numpy.savez calls an array without a name


def write_npy(path: Path, labels: LabelSource, _place: Georeference | None = None) -> None:
    """Write labels as ``np.save`` does, byte for byte, with one strip in memory at a time."""
    with completed(path) as stream:
        _write(stream, labels)


def write_npz(path: Path, labels: LabelSource, _place: Georeference | None = None) -> None:
    """Write labels as the only array of a compressed .npz file, which is read without a key."""
    with (
        completed(path) as stream,
        ZipFile(stream, "w", ZIP_DEFLATED) as store,
        # zip64, because the compressed size may exceed 2 GiB and is not known in advance.
        store.open(_MEMBER, "w", force_zip64=True) as member,
    ):
        _write(member, labels)


def _write(stream: Any, labels: LabelSource) -> None:
    header = {
        "descr": np.lib.format.dtype_to_descr(labels.dtype),
        "fortran_order": False,
        "shape": labels.shape,
    }
    np.lib.format.write_array_header_1_0(stream, header)
    for rows in strips(labels, _ROWS):
        stream.write(np.ascontiguousarray(rows, labels.dtype).data)
