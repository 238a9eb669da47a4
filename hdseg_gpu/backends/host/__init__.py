"""The primitives that NumPy is good enough for, wherever arrays are in host memory."""

from hdseg_gpu.backends.host.band import HostBandOps
from hdseg_gpu.backends.host.cells import HostCellOps
from hdseg_gpu.backends.host.device import HostDeviceOps
from hdseg_gpu.backends.host.levels import HostLevelOps
from hdseg_gpu.backends.host.masks import HostMaskOps
from hdseg_gpu.backends.host.proofs import HostProofOps
from hdseg_gpu.backends.host.values import HostValueOps


class HostOps(
    HostDeviceOps, HostValueOps, HostMaskOps, HostBandOps, HostCellOps, HostLevelOps, HostProofOps
):
    """What the backends of the host have in common."""
