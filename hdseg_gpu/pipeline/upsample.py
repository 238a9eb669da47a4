"""From the coarse map to a class for each pixel of the image."""

from hdseg_gpu.core.ops import Classes, Ops, Shape
from hdseg_gpu.core.params import Coarse, Params


def upsample(ops: Ops, coarse: Coarse, shape: Shape, params: Params) -> Classes:
    """Return class indices (H, W).

    Labels are enlarged by nearest neighbour, or interpolated as one plane a class, which rounds
    the stairs; probabilities are interpolated.
    """
    if params.interpolation == "nearest":
        assert coarse.classes is not None
        return ops.upsample_labels(coarse.classes, shape)
    planes = coarse.probabilities
    if planes is None:
        planes = coarse.indicator_planes(ops.xp)
    return ops.upsample_argmax(planes, shape, params.interpolation)
