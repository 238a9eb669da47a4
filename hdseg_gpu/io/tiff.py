"""TIFF, by tifffile."""

import warnings
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput, RefinementWarning
from hdseg_gpu.io.paths import decoding
from hdseg_gpu.io.picture import Picture


def read_tiff(path: Path, as_labels: bool = False) -> Picture:
    """Return the first page, channels last; `as_labels` returns a palette's indices."""
    import tifffile

    with decoding(path), tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        pixels = np.asarray(page.asarray())
        if len(tiff.series) > 1 or tiff.series[0].shape != page.shape:
            warnings.warn(
                f"{path} has more than one page: only the first one is read.",
                RefinementWarning,
                stacklevel=2,
            )
        if page.photometric == tifffile.PHOTOMETRIC.PALETTE and not as_labels:
            # colours of 16 bits, (3, 2^depth)
            pixels = (np.asarray(page.colormap) >> 8).astype(np.uint8).T[pixels]
            return Picture(pixels, False)
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
