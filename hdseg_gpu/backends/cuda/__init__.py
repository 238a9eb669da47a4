"""The kernels of kernels/cuda, on the current CUDA device.

The host waits for the device only where a value decides what is computed next.
"""

from hdseg_gpu.backends.cuda.band import CudaBandOps
from hdseg_gpu.backends.cuda.cells import CudaCellOps
from hdseg_gpu.backends.cuda.device import CudaDeviceOps
from hdseg_gpu.backends.cuda.evidence import CudaEvidenceOps
from hdseg_gpu.backends.cuda.levels import CudaLevelOps
from hdseg_gpu.backends.cuda.masks import CudaMaskOps
from hdseg_gpu.backends.cuda.matrix import CudaMatrixOps
from hdseg_gpu.backends.cuda.proofs import CudaProofOps
from hdseg_gpu.backends.cuda.statistics import CudaStatisticsOps
from hdseg_gpu.backends.cuda.upsampling import CudaUpsamplingOps
from hdseg_gpu.backends.cuda.values import CudaValueOps
from hdseg_gpu.backends.cuda.vectors import CudaVectorOps
from hdseg_gpu.ops import Ops


class CudaOps(
    CudaDeviceOps,
    CudaValueOps,
    CudaStatisticsOps,
    CudaMaskOps,
    CudaUpsamplingOps,
    CudaCellOps,
    CudaEvidenceOps,
    CudaBandOps,
    CudaMatrixOps,
    CudaLevelOps,
    CudaVectorOps,
    CudaProofOps,
):
    """All primitives, by a ``Device``: CuPy's, or the tests' executor."""

    name = "cuda"
    solves_whole = True


def open_cuda(device: int = 0) -> Ops:
    """Return the backend for a device, or raise BackendUnavailable with the reason."""
    from hdseg_gpu.backends.cuda.cupy_device import open_device

    return CudaOps(open_device(device))
