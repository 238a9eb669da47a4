"""The contract of primitives: what every backend implements.

The pipeline is written against these ops alone. Arguments have been checked before
(``core.validate``); here shapes and dtypes are preconditions. (H, W) is the image, n the number of
pixels in a band, K the number of classes. Class indices and seeds are uint8 up to 254 classes, else
uint16, from 65,535 classes on uint32 (``class_dtype``): a seed K fits too, and a value is left for
walls (``wall_of``). A wall is neither seed nor unknown, but as good as outside the picture: no edge
leads to it. Columns are the vectors of several right-hand sides. No op's work or memory is
classes times pixels, but for planes of probabilities.

Each family of ops has a module here, and one of the same name in every backend.
"""

from hdseg_gpu.ops.band import BandOps
from hdseg_gpu.ops.cells import CellOps
from hdseg_gpu.ops.device import DeviceOps
from hdseg_gpu.ops.evidence import EvidenceOps
from hdseg_gpu.ops.levels import LevelOps
from hdseg_gpu.ops.masks import MaskOps
from hdseg_gpu.ops.matrix import MatrixOps
from hdseg_gpu.ops.proofs import ProofOps
from hdseg_gpu.ops.statistics import StatisticsOps
from hdseg_gpu.ops.types import (
    EVERYWHERE,
    Band,
    CoarseProbabilities,
    ColourModels,
    CsrMatrix,
    Edges,
    Estimation,
    Evidence,
    EvidenceTerms,
    Level,
    Nearby,
    NearestMap,
    Places,
    SmallCycle,
    Steps,
    Work,
    by_run,
    channel_count,
    component_count,
)
from hdseg_gpu.ops.upsampling import UpsamplingOps
from hdseg_gpu.ops.values import ValueOps
from hdseg_gpu.ops.vectors import VectorOps

__all__ = [
    "EVERYWHERE",
    "Band",
    "CoarseProbabilities",
    "ColourModels",
    "CsrMatrix",
    "Edges",
    "Estimation",
    "Evidence",
    "EvidenceTerms",
    "Level",
    "Nearby",
    "NearestMap",
    "Ops",
    "Places",
    "SmallCycle",
    "Steps",
    "Work",
    "by_run",
    "channel_count",
    "component_count",
]


class Ops(
    DeviceOps,
    ValueOps,
    StatisticsOps,
    MaskOps,
    UpsamplingOps,
    CellOps,
    EvidenceOps,
    BandOps,
    MatrixOps,
    LevelOps,
    VectorOps,
    ProofOps,
):
    """All primitives of one backend, without any state."""
