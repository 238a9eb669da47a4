"""NumPy and SciPy, slow and obvious: the oracle of every other backend."""

from hdseg_gpu.backends.reference.band import ReferenceBandOps
from hdseg_gpu.backends.reference.cells import ReferenceCellOps
from hdseg_gpu.backends.reference.evidence import ReferenceEvidenceOps
from hdseg_gpu.backends.reference.levels import ReferenceLevelOps
from hdseg_gpu.backends.reference.masks import ReferenceMaskOps
from hdseg_gpu.backends.reference.matrix import ReferenceMatrixOps
from hdseg_gpu.backends.reference.statistics import ReferenceStatisticsOps
from hdseg_gpu.backends.reference.upsampling import ReferenceUpsamplingOps
from hdseg_gpu.backends.reference.vectors import ReferenceVectorOps
from hdseg_gpu.ops import Ops


class ReferenceOps(
    ReferenceStatisticsOps,
    ReferenceMaskOps,
    ReferenceUpsamplingOps,
    ReferenceCellOps,
    ReferenceEvidenceOps,
    ReferenceBandOps,
    ReferenceMatrixOps,
    ReferenceLevelOps,
    ReferenceVectorOps,
):
    """The definitions, written down."""

    name = "reference"


def open_reference(device: int = 0) -> Ops:
    """Return the backend, which runs everywhere."""
    return ReferenceOps()
