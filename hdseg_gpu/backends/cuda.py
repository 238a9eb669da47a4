"""The kernels of kernels/cuda, on the current CUDA device.

Nothing here waits for the device but where a value decides what is computed next.
"""

from hdseg_gpu.backends.cuda_band import CudaBand
from hdseg_gpu.backends.cuda_filters import CudaFilters
from hdseg_gpu.backends.cuda_planes import CudaPlanes


class CudaOps(
    CudaBand,
    CudaFilters,
    CudaPlanes,
):
    """All primitives, by a ``Device``: CuPy's, or the tests' executor."""

    name = "cuda"
