"""Upsampling the coarse map to a class for each pixel of the image."""

from hdseg_gpu.core.classes import Classes
from hdseg_gpu.core.params import Coarse, Params
from hdseg_gpu.core.windows import GridMapping
from hdseg_gpu.ops import Ops


def upsample(ops: Ops, coarse: Coarse, place: GridMapping, params: Params) -> Classes:
    """Return class indices (h, w) in the window of `place`.

    Labels are enlarged by nearest neighbour, or interpolated as one plane per class, which smooths
    the staircase; probabilities are interpolated.
    """
    if coarse.probabilities is not None:
        return ops.upsample_argmax(coarse.probabilities, place, params.interpolation)
    assert coarse.classes is not None
    if params.interpolation == "nearest":
        return ops.upsample_labels(coarse.classes, place)
    return ops.upsample_classes(coarse.classes, place, params.interpolation)
