"""Reading windows in parts, for libraries that decode more than what is requested."""

from collections.abc import Iterator
from math import isqrt

from hdseg_gpu.core.windows import Shape, Window

AT_ONCE = 8 << 20  # bytes of pixels


def parts_of(window: Window, storage: Shape, pixel: int) -> Iterator[Window]:
    """Yield the parts of a window, each of whole tiles of `storage`, and some 8 MiB if they fit.

    pixel : bytes per pixel.
    """
    high, wide = _step(storage, pixel)
    for top, bottom in _cuts(window.top, window.bottom, high):
        for left, right in _cuts(window.left, window.right, wide):
            yield Window(top, left, bottom - top, right - left)


def part_bytes(storage: Shape, pixel: int) -> int:
    """Return an upper bound of a part's bytes: a tile's, if that is larger than 8 MiB."""
    high, wide = _step(storage, pixel)
    return high * wide * pixel


def _step(storage: Shape, pixel: int) -> Shape:
    """Return the rows and columns of tiles in a part, so that it is about square."""
    side = isqrt(max(1, AT_ONCE // pixel))
    high = max(1, side // storage[0]) * storage[0]
    wide = max(1, AT_ONCE // pixel // high // storage[1]) * storage[1]
    # Tiles that are wider than that come fewer below each other.
    return max(1, min(high, AT_ONCE // pixel // wide) // storage[0]) * storage[0], wide


def _cuts(start: int, end: int, step: int) -> Iterator[tuple[int, int]]:
    while start < end:
        stop = min((start // step + 1) * step, end)
        yield start, stop
        start = stop
