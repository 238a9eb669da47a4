"""The coarse map, enlarged."""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.classes import Classes
from hdseg_gpu.core.windows import GridMapping


class UpsamplingOps(ABC):
    """Windows of the enlarged map.

    A window, from a part of the coarse map that has all it needs, is the same to the last bit as it
    would be from the whole; `GridMapping` holds the positions of both.
    """

    @abstractmethod
    def upsample_labels(self, coarse: Classes, place: GridMapping) -> Classes:
        """Return a window, of a part enlarged by nearest neighbour.

        Row i of the image takes row floor((i + 1/2) h / H) of the coarse map.
        """

    @abstractmethod
    def upsample_argmax(
        self, planes: NDArray[np.float32], place: GridMapping, interpolation: str
    ) -> Classes:
        """Return in a window the first largest of K planes of a part, interpolated."""

    @abstractmethod
    def upsample_classes(self, coarse: Classes, place: GridMapping, interpolation: str) -> Classes:
        """Return in a window the class whose plane is the largest when it is interpolated.

        The plane of a class is 1 where a pixel of the part has it, else 0: this is
        ``upsample_argmax`` of the planes of all classes, the lowest of which wins a tie.
        """

    @abstractmethod
    def sample_planes(
        self,
        planes: NDArray[np.float32],
        place: GridMapping,
        pixels: NDArray[np.int64],
        interpolation: str,
    ) -> NDArray[np.float64]:
        """Return K planes of a part, interpolated at some pixels of a window: (n, K).

        pixels are flat indices in the window.
        """
