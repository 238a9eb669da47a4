"""Flexible preconditioned conjugate gradients, step by step.

Sources: Hestenes & Stiefel 1952; Notay, Flexible conjugate gradients, SIAM J. Sci. Comput. 2000.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.ops import Level, Ops

CORRECTIONS = 3
# Iterations before the first error check: without evidence at least 9 were always needed
# (docs/decisions/0005-solver.md).
FIRST_LOOK = 8
Columns = NDArray[Any]
Precondition = Callable[[Columns, Columns], None]


def most(values: NDArray[Any], least: float = 0.0) -> float:
    """Return the largest of the values and `least`; NaN if any value is NaN."""
    largest = float(values.max()) if values.size else least
    return least if largest < least else largest


def correct(
    ops: Ops,
    level: Level,
    b: Columns,
    x: NDArray[np.float64],
    chosen: NDArray[np.int64],
    solve: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> float:
    """Make the residual vanish at the chosen entries; the other entries of x stay fixed.

    `solve` is exact on the chosen entries up to rounding; each correction reduces the error by the
    1e-7 of float32. Returns the size of the last correction; the remaining error is far smaller.
    """
    r, last = ops.zeros(level.size, len(b)), 0.0
    place: NDArray[Any] | None = None  # x at the chosen entries
    for _ in range(CORRECTIONS):
        ops.residual(level, b, x, r)
        rest = ops.body(r)[:, chosen]
        if place is None:
            rest, place = ops.fetched(rest, ops.body(x)[:, chosen])
        else:
            rest = ops.host(rest)
        change = solve(rest.T.astype(np.float64)).T
        place = place + change
        ops.body(x)[:, chosen] = ops.xp.asarray(place)
        last = most(np.abs(change))
    return last


class Iteration:
    """Flexible conjugate gradients for S x = b: x in float64, the other vectors in float32.

    r is the residual updated in each step; rounding makes it drift away from b - S x, which
    ``refresh`` recomputes.
    """

    def __init__(
        self, ops: Ops, level: Level, b: Columns, precondition: Precondition, first: int = 0
    ) -> None:
        """first: steps before the first error check, on backends where a check is expensive."""
        self.ops, self.level, self.b = ops, level, b
        self._first = max(first, ops.check_interval) if ops.check_interval > 1 else 1
        self._precondition = precondition
        columns, size = len(b), level.size
        self.x = ops.zeros(size, columns, np.float64)
        self.r = ops.xp.empty_like(b)
        self.r[...] = b  # not copy(), for which CuPy compiles a kernel
        room = ops.zeros(size, 3 * columns)
        self._z, self._p, self._q = (room[i * columns : (i + 1) * columns] for i in range(3))
        self._energy: NDArray[np.float64] = ops.xp.zeros(columns)  # p . S p of the last step
        self._prepared = False  # whether z = M^-1 r is up to date
        self.rest = np.inf  # max abs(D^-1 r) of the residual last recomputed, D the diagonal
        self.count = 0
        self.before = 0  # how many of these another solver made

    def start(self, x: NDArray[np.float64], count: int) -> None:
        """Continue from x, (m, n), which another solver computed in `count` steps."""
        self.ops.body(self.x)[:] = x
        self.ops.residual(self.level, self.b, self.x, self.r)
        self.count = self.before = count

    def correction(self) -> float:
        """Return max abs(M^-1 r) over all columns, which approximates the error."""
        return self.ops.largest(self.level, self.corrections())

    def corrections(self) -> Columns:
        """Return M^-1 r, which approximates the error; valid until the next call."""
        self._prepare()
        return self._z

    def relative_residuals(self) -> Columns:
        """Return D^-1 r, D the diagonal; valid until the next call."""
        self.ops.apply_inverse_diagonal(self.level, self.r, self._z)
        self._prepared = False
        return self._z

    def step(self) -> None:
        """Do one iteration: 1 preconditioner, 1 product, 3 dot products, 3 axpys."""
        self._prepare()
        self.ops.conjugate(self.level, self._z, self._q, self._energy, self._p)
        self.ops.step(self.level, self._p, self._q, self._energy, self.x, self.r)
        self._prepared = False
        self.count += 1

    def advance(self) -> None:
        """Step until the next error check."""
        for _ in range(self.ops.check_interval if self.count else self._first):
            self.step()

    def restart(self) -> None:
        """Drop the search direction, after x was changed."""
        self._energy.fill(0)
        self._prepared = False

    def renew(self) -> None:
        """Recompute the residual and restart, after x was changed."""
        self.ops.residual(self.level, self.b, self.x, self.r)
        self.restart()

    def refresh(self) -> bool:
        """Recompute the residual from x; restart if it had drifted, and return whether it had."""
        before, after, worst = self.ops.refresh(self.level, self.b, self.x, self.r)
        self.rest = most(worst)
        if bool((after <= 1.2 * before).all()):
            return False
        self.restart()
        return True

    def _prepare(self) -> None:
        if not self._prepared:
            self._precondition(self.r, self._z)
            self._prepared = True
