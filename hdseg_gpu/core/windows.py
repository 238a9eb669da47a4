"""Windows: rectangles of pixels, and how to cut them out of arrays."""

from collections.abc import Iterator
from numbers import Integral
from typing import Any, NamedTuple

Shape = tuple[int, int]


class Window(NamedTuple):
    """A rectangle of pixels: rows top .. bottom - 1 and columns left .. right - 1 of an image.

    Parameters
    ----------
    top, left : int
        The first row and column.
    height, width : int
        The number of rows and columns.

    Examples
    --------
    >>> import numpy as np
    >>> import hdseg_gpu
    >>> window = hdseg_gpu.Window(top=1, left=0, height=2, width=3)
    >>> window.bottom, window.right, window.shape
    (3, 3, (2, 3))
    >>> np.arange(12).reshape(3, 4)[window.slices]
    array([[ 4,  5,  6],
           [ 8,  9, 10]])
    """

    top: int
    left: int
    height: int
    width: int

    @property
    def bottom(self) -> int:
        """Return the last row + 1."""
        return self.top + self.height

    @property
    def right(self) -> int:
        """Return the last column + 1."""
        return self.left + self.width

    @property
    def shape(self) -> Shape:
        """Return (height, width)."""
        return self.height, self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """Return the slices that cut the window out of the image's array."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def padded(self, halo: int, shape: Shape) -> "Window":
        """Return the window padded by a halo on all sides, clipped to an image of `shape`."""
        return between(self.top - halo, self.left - halo, self.bottom + halo, self.right + halo,
                       shape)  # fmt: skip

    def aligned(self, step: int, shape: Shape) -> "Window":
        """Return the smallest enclosing window that begins and ends at multiples of `step`.

        It is clipped to an image of `shape`.
        """
        bottom, right = -(-self.bottom // step) * step, -(-self.right // step) * step
        return between(self.top // step * step, self.left // step * step, bottom, right, shape)

    def divided(self, side: int) -> "Iterator[Window]":
        """Yield the squares of a side that partition it, row by row; the last are clipped."""
        for top in range(self.top, self.bottom, side):
            for left in range(self.left, self.right, side):
                height, width = min(side, self.bottom - top), min(side, self.right - left)
                yield Window(top, left, height, width)

    def relative_to(self, outer: "Window") -> "Window":
        """Return the window relative to the origin of an enclosing window."""
        return Window(self.top - outer.top, self.left - outer.left, self.height, self.width)

    def intersection(self, other: "Window") -> "Window | None":
        """Return the intersection, None if it is empty."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        bottom, right = min(self.bottom, other.bottom), min(self.right, other.right)
        if bottom <= top or right <= left:
            return None
        return Window(top, left, bottom - top, right - left)


def cut(xp: Any, array: Any, window: Window, outer: Window) -> Any:
    """Return the contiguous part of `array` in a window; `array` covers the window `outer`.

    xp: the array's module. The result may share memory with `array`.
    """
    if window == outer:
        return array
    return xp.ascontiguousarray(array[window.relative_to(outer).slices])


def is_inside(window: Any, shape: Shape) -> bool:
    """Return whether a value is a non-empty window of integers inside an image of `shape`."""
    if not isinstance(window, Window) or not all(isinstance(n, Integral) for n in window):
        return False
    top, left, height, width = window
    return (
        top >= 0 and left >= 0 and height >= 1 and width >= 1
        and top + height <= shape[0] and left + width <= shape[1]
    )  # fmt: skip


def whole(shape: Shape) -> Window:
    """Return the window of a whole image."""
    return Window(0, 0, *shape)


def between(top: int, left: int, bottom: int, right: int, shape: Shape) -> Window:
    """Return the window between two corners, clipped to an image of `shape`."""
    top, left = max(top, 0), max(left, 0)
    return Window(top, left, min(bottom, shape[0]) - top, min(right, shape[1]) - left)


class GridMapping(NamedTuple):
    """Position of a window in the whole image, and of a part of the coarse map in the whole map.

    Row i of the image (H, W) is at row (i + 1/2) h / H - 1/2 of the coarse map (h, w), whatever
    the window and the part.
    """

    shape: Shape  # (H, W) of the whole image
    window: Window  # requested window of the image
    grid: Shape  # (h, w) of the whole coarse map
    part: Window  # available part of the coarse map


# Coarse pixels that cubic interpolation reads beyond those in which a window begins and ends.
_TAPS = 2


def placed(window: Window, shape: Shape, grid: Shape) -> GridMapping:
    """Return the grid mapping of a window with the part of the coarse map it needs."""
    top, left, bottom, right = (
        edge * n // size
        for edge, n, size in (
            (window.top, grid[0], shape[0]),
            (window.left, grid[1], shape[1]),
            (window.bottom, grid[0], shape[0]),
            (window.right, grid[1], shape[1]),
        )
    )
    part = between(top - _TAPS, left - _TAPS, bottom + 1 + _TAPS, right + 1 + _TAPS, grid)
    return GridMapping(shape, window, grid, part)


def all_of(shape: Shape, grid: Shape) -> GridMapping:
    """Return the grid mapping of the whole coarse map in the whole image."""
    return GridMapping(shape, whole(shape), grid, whole(grid))
