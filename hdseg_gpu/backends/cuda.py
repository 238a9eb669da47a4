"""The kernels of kernels/cuda, on the current CUDA device.

Nothing here waits for the device but where a value decides what is computed next.
"""

from hdseg_gpu.backends.cuda_band import CudaBand


class CudaOps(CudaBand):
    """All primitives, by a ``Device``: CuPy's, or the tests' executor."""

    name = "cuda"
