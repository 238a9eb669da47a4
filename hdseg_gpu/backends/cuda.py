"""The kernels of kernels/cuda, on the current CUDA device.

Nothing here waits for the device but where a value decides what is computed next.
"""

from hdseg_gpu.backends.cuda_band import CudaBand
from hdseg_gpu.backends.cuda_cells import CudaCells
from hdseg_gpu.backends.cuda_edges import CudaAssembly
from hdseg_gpu.backends.cuda_evidence import CudaEvidence
from hdseg_gpu.backends.cuda_filters import CudaFilters
from hdseg_gpu.backends.cuda_level import CudaLevels
from hdseg_gpu.backends.cuda_pictures import CudaPictures
from hdseg_gpu.backends.cuda_planes import CudaPlanes
from hdseg_gpu.backends.cuda_reduction import CudaReduction
from hdseg_gpu.backends.cuda_values import CudaValues
from hdseg_gpu.backends.cuda_vectors import CudaVectors
from hdseg_gpu.core.ops import Ops


class CudaOps(
    CudaValues,
    CudaPictures,
    CudaPlanes,
    CudaFilters,
    CudaCells,
    CudaEvidence,
    CudaBand,
    CudaAssembly,
    CudaReduction,
    CudaLevels,
    CudaVectors,
):
    """All primitives, by a ``Device``: CuPy's, or the tests' executor."""

    name = "cuda"
    solves_whole = True


def open_cuda(device: int = 0) -> Ops:
    """Return the backend for a device, or raise BackendUnavailable with the reason."""
    from hdseg_gpu.backends.cuda_device import open_device

    return CudaOps(open_device(device))
