"""The pixels of an image file."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True)
class Picture:
    """Pixels, channels last, and whether the last channel is alpha according to the file."""

    pixels: NDArray[Any]  # (H, W) or (H, W, C)
    alpha: bool | None  # None: not known from the file
