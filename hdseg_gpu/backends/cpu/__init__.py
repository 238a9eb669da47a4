"""The compiled, multi-threaded kernels of kernels/cpu.

Outputs are allocated here and filled there, so the kernels run without the GIL. They use OpenMP:
``OMP_NUM_THREADS`` sets the number of threads. In a forked child of a process that has run one
they take one thread (kernels/cpu/team.h).
"""

from hdseg_gpu.backends.cpu.band import CpuBandOps
from hdseg_gpu.backends.cpu.cells import CpuCellOps
from hdseg_gpu.backends.cpu.device import CpuDeviceOps
from hdseg_gpu.backends.cpu.evidence import CpuEvidenceOps
from hdseg_gpu.backends.cpu.levels import CpuLevelOps
from hdseg_gpu.backends.cpu.masks import CpuMaskOps
from hdseg_gpu.backends.cpu.matrix import CpuMatrixOps
from hdseg_gpu.backends.cpu.statistics import CpuStatisticsOps
from hdseg_gpu.backends.cpu.upsampling import CpuUpsamplingOps
from hdseg_gpu.backends.cpu.values import CpuValueOps
from hdseg_gpu.backends.cpu.vectors import CpuVectorOps
from hdseg_gpu.core.errors import BackendUnavailable
from hdseg_gpu.ops import Ops


class CpuOps(
    CpuDeviceOps,
    CpuValueOps,
    CpuStatisticsOps,
    CpuMaskOps,
    CpuUpsamplingOps,
    CpuCellOps,
    CpuEvidenceOps,
    CpuBandOps,
    CpuMatrixOps,
    CpuLevelOps,
    CpuVectorOps,
):
    """Thin wrappers: allocate, call, return.

    Columns are float32 (m, padding + n + padding); the padding holds 0, so that kernels may read
    beyond the ends.
    """

    name = "cpu"


def open_cpu(device: int = 0) -> Ops:
    """Return the backend with the best instruction set here, or raise BackendUnavailable."""
    try:
        return CpuOps()
    except ImportError as error:
        raise BackendUnavailable(
            f"backend='cpu' needs the compiled module, which did not load ({error}); "
            "run `pip install .` in the source folder, or use backend='reference'."
        ) from error
