"""The contract of primitives: what every backend can do.

The pipeline is written against these verbs alone. Arguments have been checked at the door
(``core.validate``); here shapes and dtypes are promises. (H, W) is the image, n the number of
pixels in a band, K the number of classes. Class indices and seeds are uint8 up to 255 classes, else
uint16 (``class_dtype``): a seed K fits too. A band is the ascending array of the flat indices of
its pixels. The four neighbours of a pixel come in the order north, west, east, south.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, int]


Classes = NDArray[np.uint8] | NDArray[np.uint16]
Mask = NDArray[np.bool_] | NDArray[np.uint8]


def class_dtype(count: int) -> type[np.uint8] | type[np.uint16]:
    """Return the dtype of the class indices 0..K-1, and of the seeds 0..K."""
    return np.uint8 if count <= np.iinfo(np.uint8).max else np.uint16


class CsrMatrix(NamedTuple):
    """A square matrix in compressed sparse rows, columns ascending."""

    data: NDArray[np.float64]
    indices: NDArray[np.int32]
    indptr: NDArray[np.int32]


class Ops(ABC):
    """All primitives of one backend, without any state."""

    name: ClassVar[str]

    @abstractmethod
    def thinning(self, mask: Mask, elements: NDArray[np.int8], passes: int) -> Mask:
        """Thin (H, W) by all elements in order, `passes` times; the border repeats its pixels.

        The set is where the mask is not 0; pixels that survive keep their value.
        """

    @abstractmethod
    def thinning_packed(
        self, mask: NDArray[np.uint8], width: int, elements: NDArray[np.int8], passes: int
    ) -> NDArray[np.uint8]:
        """Thin a mask of bits, (H, ceil(width / 8)), the lowest bit leftmost; unused bits are 0."""

    @abstractmethod
    def seeds(
        self, classes: Classes, count: int, elements: NDArray[np.int8], passes: int
    ) -> Classes:
        """Return k + 1 where a pixel survives in the thinned mask of its class k, else 0."""

    @abstractmethod
    def histogram(self, values: Classes, count: int) -> NDArray[np.int64]:
        """Return how often each of 0..count-1 occurs, (count,); no value is larger."""

    @abstractmethod
    def upsample_labels(self, coarse: Classes, shape: Shape) -> Classes:
        """Enlarge (h, w) to `shape` by nearest neighbour: row i takes floor((i + 1/2) h / H)."""

    @abstractmethod
    def upsample_argmax(
        self, planes: NDArray[np.float32], shape: Shape, interpolation: str
    ) -> Classes:
        """Return the first largest of the (K, h, w) planes interpolated to `shape`."""

    @abstractmethod
    def sample_planes(
        self,
        planes: NDArray[np.float32],
        shape: Shape,
        pixels: NDArray[np.int64],
        interpolation: str,
    ) -> NDArray[np.float64]:
        """Return the (K, h, w) planes interpolated at some pixels of `shape`: (n, K)."""

    @abstractmethod
    def standard_deviation(self, values: NDArray[Any]) -> float:
        """Return the standard deviation of all values, in their own units, summed in float64."""

    @abstractmethod
    def band(self, seeds: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return the band: the indices of the pixels with seed 0, ascending."""

    @abstractmethod
    def edge_weights(
        self, features: NDArray[Any], pixels: NDArray[np.int64], rule: str, strength: float
    ) -> NDArray[np.float64]:
        """Return the (n, 4) edge weights, 0 for edges that leave the image.

        features is (H, W, C). Rule "intensity": exp(-strength sum_c (I_i - I_j)^2) + 1e-10.
        Rule "boundary": exp(-strength sum_c (g_i + g_j)^2) + 1e-10.
        """

    @abstractmethod
    def neighbours(self, pixels: NDArray[np.int64], shape: Shape) -> NDArray[np.int32]:
        """Return the (n, 4) positions of the neighbours in `pixels`, -1 where they are not."""

    @abstractmethod
    def components(self, neighbours: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the 4-connected component of each pixel, numbered by their first pixel: (n,)."""

    @abstractmethod
    def contacts(
        self,
        pixels: NDArray[np.int64],
        seeds: NDArray[np.int32],
        component: NDArray[np.int32],
        count: int,
    ) -> NDArray[np.bool_]:
        """Return (components, K): whether a seed of the class adjoins the component."""

    @abstractmethod
    def laplacian(
        self, weights: NDArray[np.float64], neighbours: NDArray[np.int32], gamma: float
    ) -> CsrMatrix:
        """Return L_UU + gamma I for whole components of the band."""

    @abstractmethod
    def flux_from_seeds(
        self,
        weights: NDArray[np.float64],
        pixels: NDArray[np.int64],
        seeds: NDArray[np.int32],
        label: NDArray[np.int32],
    ) -> NDArray[np.float64]:
        """Return -L_US m: for each pixel, the weights of its edges to seeds with its label."""
