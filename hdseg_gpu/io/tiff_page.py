"""Properties of a TIFF page beside its layout: levels, palette, alpha, further pages."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.io.tiff_head import Directory, TiffHead

_LEAST_STEP = 1.2  # smallest factor between resolutions
_IMAGES = re.compile(r"^ImageJ=[\s\S]{0,500}?^images=(\d+)", re.MULTILINE)
_PIXELS = re.compile(r"<(?:\w+:)?Pixels\b[^>]*>")
_SIZE = re.compile(r"\bSize([CZT])\s*=\s*[\"'](\d+)[\"']")
_SHAPE = re.compile(r'^\{"shape": \[([0-9, ]+)\]')
_SLIDE = "Aperio"  # its files also contain photos of the slide and its label, left out silently


def levels_of(head: TiffHead) -> list[Directory]:
    """Return the first page and its reduced resolutions, each smaller than the one before.

    These are SubIFDs of the first page, or pages after it with its aspect ratio and layout.
    """
    first = head.pages[0]
    levels = [first]
    for page in head.children or head.pages[1:]:
        if _is_level(page, first, levels[-1]):
            levels.append(page)
    return levels


def _is_level(page: Directory, first: Directory, last: Directory) -> bool:
    if page.mask or page.samples != first.samples or page.tiled != first.tiled:
        return False
    if not 0 < page.height * _LEAST_STEP <= last.height:
        return False
    if not 0 < page.width * _LEAST_STEP <= last.width:
        return False
    # Each side is rounded to whole pixels separately.
    apart = abs(page.width * first.height - page.height * first.width)
    return apart <= first.height + first.width


def has_more_pages(head: TiffHead, levels: list[Directory], page: Any) -> bool:
    """Return whether a file has pages beside the first and its reduced versions and mask."""
    description = page.description if isinstance(page.description, str) else ""
    if description.startswith(_SLIDE):
        return False
    known = {level.offset for level in levels}
    others = any(not (each.offset in known or each.mask or each.reduced) for each in head.pages[1:])
    return head.more or others or _planes(description, page) > 1


def _planes(description: str, page: Any) -> int:
    """Return the number of planes according to the description of the first page."""
    images = _IMAGES.match(description)
    if images is not None:
        return int(images[1][:9])
    pixels = _PIXELS.search(description)
    if pixels is not None:
        sizes = {axis: int(size[:9]) for axis, size in _SIZE.findall(pixels[0])}
        channels = -(-sizes.get("C", 1) // max(1, int(page.samplesperpixel)))
        return channels * sizes.get("Z", 1) * sizes.get("T", 1)
    shape = _SHAPE.match(description)
    if shape is not None:
        size = 1
        for length in shape[1].split(","):
            size *= int(length[:9] or 0)
        return size // max(1, int(np.prod(page.shape, dtype=np.int64)))
    return 1


def palette(page: Any, path: Path) -> NDArray[np.uint8] | None:
    """Return a page's palette (2^depth, 3), None if it has none."""
    import tifffile

    if page.photometric != tifffile.PHOTOMETRIC.PALETTE:
        return None
    found = page.colormap
    table = np.zeros((0, 3), np.uint16) if found is None else np.asarray(found, np.uint16)
    if table.ndim != 2 or table.shape[0] != 3 or page.dtype.kind != "u" or page.bitspersample > 16:
        raise InvalidInput(
            f"{path} cannot be read, it may be damaged: its pixels are palette indices, but the "
            f"palette has shape {table.shape}; save it as grey or RGB."
        )
    # 16-bit colours, (3, 2^depth); missing entries are black.
    colours = np.zeros((1 << 8 * page.dtype.itemsize, 3), np.uint8)
    colours[: table.shape[1]] = (table >> 8).astype(np.uint8).T[: len(colours)]
    return colours


def has_alpha(page: Any) -> bool:
    """Return whether a page has alpha: extra samples 1 (associated) or 2; 0 is other data."""
    return any(int(e) in (1, 2) for e in page.extrasamples)
