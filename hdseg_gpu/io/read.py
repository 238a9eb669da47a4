"""Reading whole images, label maps and coarse maps, in any format."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from hdseg_gpu.core.memory import Budget, Cost, budget_of, nothing
from hdseg_gpu.io.coarse_source import one_channel_only, open_coarse
from hdseg_gpu.io.open import open_within
from hdseg_gpu.io.picture import Picture


def read_image(path: Path, key: str | None = None, budget: Budget | None = None) -> Picture:
    """Return the pixels of an image file as stored, or the colours of its palette."""
    budget = budget or budget_of(None)
    with open_within(budget, path, key=key, later=True) as source:
        height, width = source.shape
        budget.require(
            height * width * source.channels * source.dtype.itemsize + source.decoding,
            f"{source.name}: reading {height} x {width} pixels",
            "pass a smaller file",
        )
        pixels = source.take()
        return Picture(pixels[..., 0] if source.channels == 1 else pixels, source.alpha)


def read_labels(
    path: Path, key: str | None = None, budget: Budget | None = None, cost: Cost = nothing
) -> NDArray[Any]:
    """Return a label map (h, w); labels are the indices of a colour palette, or grey values.

    cost: further bytes that the array will need.
    """
    labels = read_coarse(path, key, budget, cost)
    if labels.ndim != 2:
        raise one_channel_only(path, labels.shape)
    return labels


def read_coarse(
    path: Path, key: str | None = None, budget: Budget | None = None, cost: Cost = nothing
) -> NDArray[Any]:
    """Return labels (h, w), or probabilities with three dimensions, see ``open_coarse``.

    cost: what it will take besides.
    """
    budget = budget or budget_of(None)
    with open_coarse(path, key, budget) as source:
        source.require(budget, cost(source.shape, source.dtype))
        return source.take()
