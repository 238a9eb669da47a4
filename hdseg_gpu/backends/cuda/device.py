"""Ops of the backend `cuda` for memory: which images are copied to the device as a whole."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cuda.kernels import CudaKernels, suffix
from hdseg_gpu.backends.cuda.pictures import Picture
from hdseg_gpu.backends.cuda.warmup import kernels_for
from hdseg_gpu.core.classes import class_dtype

# An image that takes less than this fraction of the free memory goes to the device as a whole.
_WHOLE = 1 / 3
# Fraction of the free memory for strips of larger images; there are two at a time.
_STRIPS = 1 / 8
# Most bytes of a strip, for a device that keeps all strips and for one that does not: longer strips
# are not copied faster, and each needs two pinned buffers of its size.
_TRANSFER, _STRIP = 64 << 20, 128 << 20


class CudaDeviceOps(CudaKernels):
    """Host memory and back."""

    def here(self, budget: int | None = None) -> AbstractContextManager[None]:
        return self.device.here(budget)

    def threads(self, count: int) -> AbstractContextManager[None]:
        return nullcontext()

    def prepare(self, image: NDArray[Any], count: int) -> None:
        classes = suffix(np.empty(0, class_dtype(count)))
        self.device.prepare(kernels_for(suffix(image), image.shape[2], classes))

    def host(self, array: Any) -> NDArray[Any]:
        return self.device.host(array)

    def fetched(self, *arrays: Any) -> tuple[NDArray[Any], ...]:
        return self.device.fetched(arrays)

    def sparse(self) -> tuple[Any, Any]:
        return self.device.sparse()

    def picture(self, image: NDArray[Any], smaller: int = 0) -> NDArray[Any]:
        if not isinstance(image, np.ndarray):
            return image
        free = self.device.free_memory()
        keep = smaller == 0 and image.nbytes <= _WHOLE * free
        strip = _TRANSFER if keep else min(int(_STRIPS * free / 2), _STRIP) >> smaller
        rows = strip // max(1, image[0].nbytes)
        # The attributes of an array that ops on images use.
        return cast(NDArray[Any], Picture(self.device, image, rows, keep=keep))
