"""The coarse map of a run as files in its folder, read by window."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.params import Coarse
from hdseg_gpu.engine.workspace import Workspace
from hdseg_gpu.io.npy import Npy

_ARRAYS = ("classes", "probabilities", "ignored")


def keep_coarse(workspace: Workspace, coarse: Coarse) -> None:
    """Put the arrays of a coarse map into the workspace, and no others."""
    arrays = _arrays(coarse)
    for name in _ARRAYS:
        file = f"coarse_{name}.npy"
        if name not in arrays:
            workspace.file(file).unlink(missing_ok=True)
            continue
        values: NDArray[Any] = np.ascontiguousarray(arrays[name])
        with workspace.new_file(file) as stream:
            # Not by np.save, which does not say why a file cannot be written.
            header = np.lib.format.header_data_from_array_1_0(values)
            np.lib.format.write_array_header_1_0(stream, header)
            stream.write(values.data)


def kept_coarse(workspace: Workspace, coarse: Coarse) -> Coarse:
    """Return the coarse map with its arrays, which are read from the disk as they are needed."""
    loaded: dict[str, Any] = {
        name: Npy(path)  # closed when nobody refers to it any more
        for name in _ARRAYS
        if (path := workspace.file(f"coarse_{name}.npy")).exists()
    }
    return Coarse(
        coarse.values, loaded.get("classes"), loaded.get("probabilities"),
        loaded.get("ignored"), coarse.ignore_index,
    )  # fmt: skip


def without_arrays(coarse: Coarse) -> Coarse:
    """Return what remains of a coarse map for the store itself."""
    return replace(coarse, classes=None, probabilities=None, ignored=None)


def size_of_arrays(coarse: Coarse) -> int:
    """Return the bytes of a coarse map's arrays."""
    return sum(array.nbytes for array in _arrays(coarse).values())


def _arrays(coarse: Coarse) -> dict[str, NDArray[Any]]:
    arrays = {name: getattr(coarse, name) for name in _ARRAYS}
    return {name: array for name, array in arrays.items() if array is not None}
