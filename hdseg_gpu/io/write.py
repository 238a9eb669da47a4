"""Writing label maps and images in memory, atomically."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.report import Stages
from hdseg_gpu.core.windows import Shape, Window
from hdseg_gpu.io.coarse_source import CoarseSource
from hdseg_gpu.io.create import check_labels, create_labels
from hdseg_gpu.io.formats import format_of, instead
from hdseg_gpu.io.paths import completed, followed
from hdseg_gpu.io.png_jpeg import write_png
from hdseg_gpu.io.source import Georeference, ImageSource


class ArrayLabels:
    """A label map (H, W) in memory, for writers."""

    def __init__(self, labels: NDArray[Any]) -> None:
        self._labels = labels
        self.largest = int(labels.max())

    @property
    def shape(self) -> Shape:
        """Return (H, W)."""
        height, width = self._labels.shape
        return height, width

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the dtype of the labels."""
        return self._labels.dtype

    def read(self, window: Window) -> NDArray[Any]:
        """Return (height, width)."""
        return self._labels[window.slices]


def note_lost_place(path: Path, image: ImageSource | CoarseSource, stages: Stages) -> None:
    """Add a note if the image is georeferenced but the output format cannot store that."""
    chosen, where = format_of(path), image.georeference
    if where is not None and where.transform is not None and chosen and not chosen.places:
        stages.notes.append(
            f"{image.name} has a georeference, which {chosen.name} cannot hold; write "
            f"{instead(lambda f: f.places)} to keep it."
        )


def write_labels(
    path: Path,
    labels: NDArray[Any],
    georeference: Georeference | None = None,
    *,
    overwrite: bool = True,
) -> None:
    """Write a label map (H, W) losslessly, in its own dtype (PNG: the smallest that fits)."""
    source = ArrayLabels(labels)
    check_labels(path, labels.dtype, int(labels.min()), source.largest)
    target = followed(path) if overwrite else path
    create_labels(target, source, georeference, overwrite)


def write_picture(path: Path, pixels: NDArray[Any], overwrite: bool = True) -> None:
    """Write grey or RGB pixels as PNG."""
    with completed(path, overwrite) as stream:
        write_png(stream, pixels)
