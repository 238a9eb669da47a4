"""Class evidence lambda for the pixels of the band, which enters the walker with weight gamma."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.ops import Ops, Shape
from hdseg_gpu.core.params import Coarse, Params


def evidence_at(
    ops: Ops, coarse: Coarse, shape: Shape, params: Params
) -> Callable[[NDArray[np.int64]], NDArray[np.float64]]:
    """Return the function from pixels of the band to lambda, (n, K), summing to 1.

    It is the network's probabilities interpolated there. A map of labels becomes one plane a
    class first, 1 inside and 0 outside, on a grid `scale` times coarser than the image: between
    the samples, the interpolation blurs the step over about one coarse pixel.
    """
    planes = coarse.probabilities
    if planes is None:
        planes = _at_scale(ops, coarse, shape, params.scale).indicator_planes()
    how = "linear" if params.interpolation == "nearest" else params.interpolation

    def evidence(pixels: NDArray[np.int64]) -> NDArray[np.float64]:
        samples = ops.sample_planes(planes, shape, pixels, how)
        np.maximum(samples, 0.0, out=samples)  # cubic interpolation overshoots
        samples /= samples.sum(axis=1, keepdims=True)
        return samples

    return evidence


def _at_scale(ops: Ops, coarse: Coarse, shape: Shape, scale: float) -> Coarse:
    """Return a label map on the grid its scale speaks of: one already enlarged is sampled back."""
    assert coarse.classes is not None
    if scale <= coarse.scale_to(shape) * (1 + 1e-9):
        return coarse
    grid = (
        min(coarse.shape[0], max(1, round(shape[0] / scale))),
        min(coarse.shape[1], max(1, round(shape[1] / scale))),
    )
    return replace(coarse, classes=ops.upsample_labels(coarse.classes, grid))
