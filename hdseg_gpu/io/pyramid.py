"""Pyramid levels of a label map, each with every second row and column of the one before.

Labels are never averaged: there is no class between two classes.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.windows import Shape, Window
from hdseg_gpu.io.source import LabelSource

SMALLEST = 512  # pixels: the last level is the first whose longer side is at most this


def level_shapes(shape: Shape) -> list[Shape]:
    """Return the shapes of all levels, full resolution first."""
    shapes = [shape]
    while max(shapes[-1]) > SMALLEST:
        shapes.append((-(-shapes[-1][0] // 2), -(-shapes[-1][1] // 2)))
    return shapes


def strips(labels: LabelSource, rows: int) -> Iterator[NDArray[Any]]:
    """Yield full-width strips of `rows` rows, from the top."""
    height, width = labels.shape
    for top in range(0, height, rows):
        yield labels.read(Window(top, 0, min(rows, height - top), width))


class Spool:
    """A level in a temporary file: rows are appended from the top, windows are read afterwards."""

    def __init__(self, path: Path, shape: Shape, dtype: np.dtype[Any]) -> None:
        self.path, self.shape, self.dtype = path, shape, dtype
        self._file: BinaryIO = path.open("x+b")
        self._first = 0  # of the full level's next row, modulo 2

    def add(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Append every second row and column of a strip of the level above; return them."""
        half = np.ascontiguousarray(rows[self._first :: 2, ::2])
        self._first = (self._first - len(rows)) % 2
        self._file.write(half.data)
        return half

    def read(self, window: Window) -> NDArray[Any]:
        """Return rows; the window must be as wide as the level."""
        self._file.flush()
        start = window.top * self.shape[1] * self.dtype.itemsize
        count = window.height * self.shape[1]
        values = np.fromfile(self.path, self.dtype, count, offset=start)
        return values.reshape(window.height, self.shape[1])

    def close(self) -> None:
        """Remove the file."""
        self._file.close()
        self.path.unlink(missing_ok=True)
