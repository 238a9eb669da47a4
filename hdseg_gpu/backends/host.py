"""The primitives that NumPy is good enough for, wherever arrays are in host memory."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core import values as in_numpy
from hdseg_gpu.core.ops import Band, Classes, Evidence, Level, Ops
from hdseg_gpu.core.values import StackExtremes


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

    def extremes(self, values: NDArray[Any]) -> tuple[Any, Any]:
        return in_numpy.extremes(values)

    def stack_extremes(self, stack: NDArray[Any]) -> StackExtremes:
        return in_numpy.stack_extremes(stack)

    def shares(
        self, stack: NDArray[Any], softmax: bool, out: NDArray[np.float32], first: int
    ) -> None:
        in_numpy.shares(stack, softmax, out, first)

    def occurring(self, labels: NDArray[Any], low: int, span: int) -> NDArray[np.bool_]:
        return in_numpy.occurring(labels, low, span)

    def recoded(self, labels: NDArray[Any], low: int, table: NDArray[Any]) -> NDArray[Any]:
        return in_numpy.recoded(labels, low, table)

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

    def dominance(self, level: Level) -> float:
        return float((self.row_sums(level) / self.diagonal(level)).min(initial=1.0))

    def lagging(self, level: Level, r: NDArray[Any], least: float, mask: NDArray[np.bool_]) -> int:
        np.greater(self.body(r)[0] / self.diagonal(level), least, out=mask)
        return int(np.count_nonzero(mask))

    def doubtful(
        self,
        level: Level,
        v: NDArray[np.float64],
        longest: float,
        least: float,
        mask: NDArray[np.bool_],
    ) -> tuple[int, float]:
        time = self.body(v)[0]
        good = (time > 0) & (time <= longest)
        good &= self._product(level, v) >= least * self.diagonal(level)
        mask |= ~good
        return int(np.count_nonzero(mask)), float(time.max(initial=0.0))

    def factor(
        self,
        level: Level,
        v: NDArray[np.float64],
        w: NDArray[np.float64],
        r: NDArray[Any],
        mask: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        ahead, rest = self._product(level, v)[~mask], self._rest(r) - self._product(level, w)
        if not (ahead > 0).all():
            return np.array([np.nan if np.isnan(ahead).any() else np.inf])
        return np.array([(rest[~mask] / ahead).max(initial=0.0)])

    def bound(
        self,
        level: Level,
        v: NDArray[np.float64],
        w: NDArray[np.float64],
        r: NDArray[Any],
        factor: float,
    ) -> tuple[NDArray[np.float64], float] | None:
        # 1e-12: of the division that gave the factor.
        most = (1 + 1e-12) * factor * self._product(level, v) + self._product(level, w)
        if not (most >= self._rest(r)).all():
            return None
        found: NDArray[np.float64] = np.clip(factor * self.body(v)[0] + self.body(w)[0], 0.0, 1.0)
        return found, float(found.max(initial=0.0))

    def _rest(self, r: NDArray[Any]) -> NDArray[np.float64]:
        """Return max_j abs(r_ij)."""
        found: NDArray[np.float64] = abs(self.body(r)).max(axis=0).astype(np.float64)
        return found

    def _product(self, level: Level, v: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return A v of one column, (n,), computed in float64."""
        nothing, out = (self.zeros(level.size, 1) for _ in range(2))
        self.residual(level, nothing, v, out)
        product: NDArray[np.float64] = -self.body(out)[0].astype(np.float64)
        return product

    def inverse(self, level: Level) -> NDArray[np.float64]:
        """By Gauss & Jordan: an M-matrix needs no pivots."""
        rows = self.submatrix(level, np.arange(level.size))
        inverse = np.zeros((level.size, level.size))
        inverse[np.repeat(np.arange(level.size), np.diff(rows.indptr)), rows.indices] = rows.data
        for k in range(len(inverse)):
            pivot = inverse[k, k]
            row, column = inverse[k] / pivot, inverse[:, k].copy()
            inverse -= column[:, np.newaxis] * row
            inverse[k], inverse[:, k], inverse[k, k] = row, -column / pivot, 1 / pivot
        return inverse

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
