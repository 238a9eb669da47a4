"""What every reader of images returns."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True)
class Picture:
    """Pixels, channels last, and whether the file says that the last channel is alpha."""

    pixels: NDArray[Any]  # (H, W) or (H, W, C)
    alpha: bool | None  # None: the file cannot tell
