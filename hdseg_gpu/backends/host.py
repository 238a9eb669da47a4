"""The primitives that NumPy is good enough for, wherever arrays are in host memory."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.ops import Band, Classes, Evidence, Ops


class HostOps(Ops):
    """What the backends of the host have in common."""

    xp = np

    def __reduce__(self) -> tuple[Any, ...]:
        return reloaded, (self.name,)  # it travels as its name

    def here(self, budget: int | None = None) -> AbstractContextManager[None]:
        return nullcontext()

    def threads(self, count: int) -> AbstractContextManager[None]:
        return nullcontext()

    def prepare(self, image: NDArray[Any], count: int) -> None:
        pass

    def picture(self, image: NDArray[Any], smaller: int = 0) -> NDArray[Any]:
        return image

    def host(self, array: Any) -> NDArray[Any]:
        found: NDArray[Any] = array
        return found

    def fetched(self, *arrays: Any) -> tuple[NDArray[Any], ...]:
        return arrays

    def sparse(self) -> tuple[Any, Any]:
        from scipy import sparse
        from scipy.sparse import linalg

        return sparse, linalg

    def pixels(self, band: Band) -> NDArray[np.int64]:
        return band.pixels()

    def of_pixels(self, band: Band, values: NDArray[Any]) -> NDArray[Any]:
        repeated: NDArray[Any] = np.repeat(values, np.diff(band.start), axis=0)
        return repeated

    def put(self, band: Band, values: Classes, picture: Classes, less: int = 0) -> None:
        first = values if values.ndim == 1 else values[:, 0]
        picture.reshape(-1)[band.pixels()] = first - less if less else first

    def mark_present(self, values: Classes, found: NDArray[np.uint8]) -> None:
        found[self.histogram(values, len(found)) > 0] = 1

    def part(
        self, band: Band, component: NDArray[np.int32], row: NDArray[np.int32]
    ) -> tuple[Band, NDArray[np.int32], NDArray[np.int32]]:
        rows = row[component]
        runs = rows >= 0
        position = np.flatnonzero(self.of_pixels(band, runs)).astype(np.int32)
        return self.select(band, runs), rows[runs], position

    def select(self, band: Band, runs: NDArray[np.bool_]) -> Band:
        lengths = np.diff(band.start)[runs]
        start = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        return Band(band.shape, band.pixel[runs], start, int(start[-1]))

    def ratio(self, a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.divide(a, b, out=np.zeros_like(a), where=b > 0)

    def certainty(
        self, distance: NDArray[np.float32], log: float, linear: float, cell: float
    ) -> NDArray[np.float32]:
        far = np.maximum(np.minimum(distance, 1e6) - 0.5, 0) * cell
        certainty: NDArray[np.float32] = np.tanh(log * np.log1p(far) + linear * far)
        return certainty

    def contradictions(
        self,
        band: Band,
        by_colour: Evidence,
        classes: Classes,
        distance: NDArray[np.float32],
        cell: int,
        origin: tuple[int, int],
        near: tuple[float, float],
        count: int,
    ) -> NDArray[np.int64]:
        pixels = band.pixels()
        rows, columns = np.divmod(pixels, band.shape[1])
        away = (distance[(rows + origin[0]) // cell, (columns + origin[1]) // cell] - 0.5) * cell
        own = classes.reshape(-1)[pixels].astype(np.int64)
        close = (away >= near[0]) & (away < near[1])
        wrong = close & (by_colour.label[:, 0].astype(np.int64) - 1 != own)
        found = [np.bincount(own[those], minlength=count) for those in (close, wrong)]
        return np.array(found, np.int64)


def reloaded(name: str, device: int = 0) -> Ops:
    """Return a backend where it is not loaded yet."""
    from hdseg_gpu.backends import load

    return load(name, device)
