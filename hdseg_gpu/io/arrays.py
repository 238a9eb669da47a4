"""The .npy and .npz files of NumPy."""

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.io.paths import decoding


def read_array(path: Path, key: str | None = None) -> NDArray[Any]:
    """Return the array of a .npy file, or of a .npz file that holds one or is asked for `key`."""
    with decoding(path), path.open("rb") as stream:
        found = np.load(stream, allow_pickle=False)
        if not isinstance(found, np.lib.npyio.NpzFile):
            array: NDArray[Any] = found
            return array
        with found:
            names = list(found.files)
            if key is None and len(names) != 1:
                raise InvalidInput(
                    f"{path} holds {len(names)} arrays; choose one of {names} as the key, "
                    "or save it alone."
                )
            if key is not None and key not in names:
                raise InvalidInput(f"{path} holds no array {key!r}; choose one of {names}.")
            return np.asarray(found[names[0] if key is None else key])


def write_array(stream: BinaryIO, array: NDArray[Any], suffix: str) -> None:
    """Write .npy or .npz."""
    if suffix == ".npy":
        np.save(stream, array)
    else:
        np.savez_compressed(stream, array)
