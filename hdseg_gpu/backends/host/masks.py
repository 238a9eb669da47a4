"""Planes of bits, by NumPy."""

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.classes import Mask
from hdseg_gpu.ops import Ops

_WORD = np.dtype("<u8")  # bytes in the order of pixels


class HostMaskOps(Ops):
    """In NumPy."""

    def pack(self, mask: Mask) -> NDArray[np.uint64]:
        height, width = mask.shape
        rows = np.zeros((height, -(-width // 64) * 8), np.uint8)
        rows[:, : -(-width // 8)] = np.packbits(mask, axis=1, bitorder="little")
        return rows.view(_WORD).astype(np.uint64, copy=False)

    def unpack(self, plane: NDArray[np.uint64], width: int) -> NDArray[np.bool_]:
        rows = np.ascontiguousarray(plane).astype(_WORD, copy=False).view(np.uint8)
        return np.unpackbits(rows, axis=1, count=width, bitorder="little").view(np.bool_)
