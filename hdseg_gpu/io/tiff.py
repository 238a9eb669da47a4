"""TIFF, by tifffile."""

import warnings
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput, RefinementWarning
from hdseg_gpu.io.paths import decoding
from hdseg_gpu.io.picture import Picture

# Series of these kinds come with pictures of the slide and its label, which nobody misses.
_SLIDES = ("svs", "ndpi", "bif", "scn", "philips", "qpi", "avs")


def read_tiff(path: Path, as_labels: bool = False) -> Picture:
    """Return the first page, channels last; `as_labels` returns a palette's indices."""
    import tifffile

    with decoding(path), tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        pixels = np.asarray(page.asarray())
        warn_of_more_pages(path, tiff)
        colours = None if as_labels else palette(page)
        if colours is not None:
            return Picture(colours[pixels], False)
        axes, alpha = page.axes, has_alpha(page)
    if axes == "SYX":  # planar samples
        pixels = np.moveaxis(pixels, 0, -1)
    elif axes not in ("YX", "YXS"):
        raise InvalidInput(f"{path}: the first page has the axes {axes}; expected YX or YXS.")
    return Picture(pixels, alpha)


def warn_of_more_pages(path: Path, tiff: Any) -> None:
    """Warn where a file holds more than its first page and that page's reduced resolutions."""
    try:
        found = tiff.series
        others = len(found) > 1 and found[0].kind not in _SLIDES
        more = others or found[0].shape != tiff.pages.first.shape
    except Exception:  # what is behind the first page is damaged, and not read
        return
    if more:
        warnings.warn(
            f"{path} has more than one page: only the first one is read.",
            RefinementWarning,
            stacklevel=3,
        )


def palette(page: Any) -> NDArray[np.uint8] | None:
    """Return a page's colours (2^depth, 3), None where its pixels are no indices."""
    import tifffile

    if page.photometric != tifffile.PHOTOMETRIC.PALETTE:
        return None
    # colours of 16 bits, (3, 2^depth)
    return np.ascontiguousarray((np.asarray(page.colormap) >> 8).astype(np.uint8).T)


def has_alpha(page: Any) -> bool:
    """Return whether a page has alpha: 1 associated, 2 not; 0 is data of another kind."""
    return any(int(e) in (1, 2) for e in page.extrasamples)


def write_tiff(stream: BinaryIO, labels: NDArray[Any]) -> None:
    """Write a label map, losslessly compressed; TIFF has no bools."""
    import tifffile

    if labels.dtype.kind == "b":
        labels = labels.astype(np.uint8)
    tifffile.imwrite(stream, labels, compression="zlib", bigtiff=labels.nbytes > 2**31)
