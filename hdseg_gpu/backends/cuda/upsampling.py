"""Ops of the backend `cuda` for interpolation of the coarse map."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cuda.kernels import CudaKernels, suffix
from hdseg_gpu.backends.cuda.structs import grid_mapping_of, interpolation_of
from hdseg_gpu.core.classes import Classes, class_dtype
from hdseg_gpu.core.windows import GridMapping

# The part of the fine grid for each block, as in kernels/cuda/upsampling.cu.
_ROWS, _COLUMNS = 32, 128


class CudaUpsamplingOps(CudaKernels):
    """Allocates, launches, returns."""

    def upsample_labels(self, coarse: Classes, place: GridMapping) -> Classes:
        fine = self.xp.empty(place.window.shape, coarse.dtype)
        self._upsample(f"upsample_labels_{suffix(coarse)}", fine, place, coarse)
        return fine  # type: ignore[no-any-return]

    def upsample_classes(self, coarse: Classes, place: GridMapping, interpolation: str) -> Classes:
        fine = self.xp.empty(place.window.shape, coarse.dtype)
        blocks = -(-fine.shape[0] // _ROWS) * -(-fine.shape[1] // _COLUMNS)
        args = (
            coarse, grid_mapping_of(place), interpolation_of(interpolation), fine,
        )  # fmt: skip
        kernel = f"upsample_classes_{suffix(coarse)}"
        self.device.launch("upsampling.cu", kernel, (blocks,), (_COLUMNS,), args)
        return fine  # type: ignore[no-any-return]

    def upsample_argmax(
        self, planes: NDArray[np.float32], place: GridMapping, interpolation: str
    ) -> Classes:
        fine, kernel = self.xp.empty(place.window.shape, class_dtype(len(planes))), interpolation
        self._upsample(f"upsample_{kernel}_{suffix(fine)}", fine, place, planes, len(planes))
        return fine  # type: ignore[no-any-return]

    def _upsample(self, kernel: str, fine: Any, place: GridMapping, *coarse: Any) -> None:
        height, width = fine.shape
        blocks = -(-height // _ROWS) * -(-width // _COLUMNS)
        args = (*coarse, grid_mapping_of(place), fine)
        self.device.launch("upsampling.cu", kernel, (blocks,), (_COLUMNS,), args)

    def sample_planes(
        self,
        planes: NDArray[np.float32],
        place: GridMapping,
        pixels: NDArray[np.int64],
        interpolation: str,
    ) -> NDArray[np.float64]:
        samples: Any = self.xp.empty((pixels.size, len(planes)), np.float64)
        self._spread(
            "upsampling.cu", "sample_planes", pixels.size, planes, len(planes),
            grid_mapping_of(place), interpolation_of(interpolation), pixels, pixels.size, samples,
        )  # fmt: skip
        return samples  # type: ignore[no-any-return]
