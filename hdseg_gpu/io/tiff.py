"""TIFF, by tifffile."""

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.io.paths import decoding
from hdseg_gpu.io.picture import Picture


def read_tiff(path: Path) -> Picture:
    """Return the first page, channels last."""
    import tifffile

    with decoding(path), tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        pixels = np.asarray(page.asarray())
        axes, extra = page.axes, tuple(int(e) for e in page.extrasamples)
    if axes == "SYX":  # planar samples
        pixels = np.moveaxis(pixels, 0, -1)
    elif axes not in ("YX", "YXS"):
        raise InvalidInput(f"{path}: the first page has the axes {axes}; expected YX or YXS.")
    # 1 and 2 are associated and unassociated alpha; 0 is data of another kind, near infrared say.
    return Picture(pixels, any(e in (1, 2) for e in extra))


def write_tiff(stream: BinaryIO, labels: NDArray[Any]) -> None:
    """Write a label map, losslessly compressed; TIFF has no bools."""
    import tifffile

    if labels.dtype.kind == "b":
        labels = labels.astype(np.uint8)
    tifffile.imwrite(stream, labels, compression="zlib", bigtiff=labels.nbytes > 2**31)
