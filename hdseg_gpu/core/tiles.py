"""The division of an image into tiles."""

from dataclasses import dataclass

from hdseg_gpu.core.windows import Shape, Window, between

# Side in pixels of the unit that is solved together. Part of the definition of the labels:
# changing it changes some of them.
BLOCK = 2048


@dataclass(frozen=True)
class TileGrid:
    """An image divided into squares, numbered row by row; the last ones are clipped."""

    shape: Shape
    tile: int  # side of the core windows

    @property
    def rows(self) -> int:
        """Return the number of rows of tiles."""
        return -(-self.shape[0] // self.tile)

    @property
    def columns(self) -> int:
        """Return the number of columns of tiles."""
        return -(-self.shape[1] // self.tile)

    def __len__(self) -> int:
        """Return the number of tiles."""
        return self.rows * self.columns

    def core(self, index: int) -> Window:
        """Return the core window of a tile; core windows partition the image."""
        top, left = (n * self.tile for n in divmod(index, self.columns))
        return between(top, left, top + self.tile, left + self.tile, self.shape)

    def meeting(self, window: Window) -> list[int]:
        """Return the tiles whose core windows intersect a window."""
        rows = range(window.top // self.tile, -(-window.bottom // self.tile))
        columns = range(window.left // self.tile, -(-window.right // self.tile))
        return [i * self.columns + j for i in rows for j in columns]
