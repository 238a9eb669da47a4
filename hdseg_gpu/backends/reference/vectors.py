"""Columns: plain rows of float64."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.host import HostOps
from hdseg_gpu.backends.reference.layout import Matrix
from hdseg_gpu.ops import Level

_JACOBI = 0.8


class ReferenceVectorOps(HostOps):
    """The definitions, written down."""

    def zeros(self, size: int, columns: int, dtype: Any = np.float32) -> NDArray[Any]:
        return np.zeros((columns, size))

    def body(self, columns: NDArray[Any]) -> NDArray[Any]:
        return columns

    def residual(
        self, level: Level, b: NDArray[Any], x: NDArray[np.float64], out: NDArray[Any]
    ) -> None:
        assert isinstance(level, Matrix)
        out[:] = b - level.product(x)

    def refresh(
        self, level: Level, b: NDArray[Any], x: NDArray[np.float64], r: NDArray[Any]
    ) -> NDArray[np.float64]:
        before = _dot(r, r)
        self.residual(level, b, x, r)
        worst = (abs(r) / self.diagonal(level)).max(axis=1, initial=0.0)
        return np.stack([before, _dot(r, r), worst])

    def conjugate(
        self,
        level: Level,
        z: NDArray[Any],
        q: NDArray[Any],
        energy: NDArray[np.float64],
        p: NDArray[Any],
    ) -> None:
        p[:] = z - _quotients(_dot(z, q), energy) * p

    def step(
        self,
        level: Level,
        p: NDArray[Any],
        q: NDArray[Any],
        energy: NDArray[np.float64],
        x: NDArray[np.float64],
        r: NDArray[Any],
    ) -> None:
        assert isinstance(level, Matrix)
        q[:] = level.product(p)
        energy[:] = _dot(p, q)
        along = _quotients(_dot(p, r), energy)
        x += along * p
        r -= along * q

    def apply_inverse_diagonal(self, level: Level, r: NDArray[Any], out: NDArray[Any]) -> None:
        out[:] = r / self.diagonal(level)

    def restrict(
        self,
        level: Level,
        aggregate: NDArray[np.int32],
        r: NDArray[Any],
        x: NDArray[Any],
        coarse: NDArray[Any],
    ) -> None:
        assert isinstance(level, Matrix)
        x[:] = _JACOBI * r / self.diagonal(level)
        rest = r - level.product(x)
        coarse[:] = 0
        for to, row in zip(coarse, rest, strict=True):
            np.add.at(to, aggregate[aggregate >= 0], row[aggregate >= 0])

    def prolong(
        self,
        level: Level,
        aggregate: NDArray[np.int32],
        r: NDArray[Any],
        coarse: NDArray[Any],
        x: NDArray[Any],
        out: NDArray[Any],
    ) -> None:
        assert isinstance(level, Matrix)
        x[:, aggregate >= 0] += coarse[:, aggregate[aggregate >= 0]]
        out[:] = x + _JACOBI * (r - level.product(x)) / self.diagonal(level)

    def multiply(self, matrix: NDArray[np.float64], r: NDArray[Any], out: NDArray[Any]) -> None:
        out[:] = r @ matrix.T

    def largest(self, level: Level, x: NDArray[Any]) -> float:
        return float(np.abs(x).max(initial=0.0))


def _dot(x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
    product: NDArray[np.float64] = (x * y).sum(axis=1)
    return product


def _quotients(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a / b as a factor of each column, 0 where b is not above 0."""
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0)[:, np.newaxis]
