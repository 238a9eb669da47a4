"""Flexible preconditioned conjugate gradients, step by step.

Sources: Hestenes & Stiefel 1952; Notay, Flexible conjugate gradients, SIAM J. Sci. Comput. 2000.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.ops import Level, Ops

CORRECTIONS = 3
# Without evidence at least 9 iterations have been needed (docs/decisions/0005-solver.md).
FIRST_LOOK = 8
Columns = NDArray[Any]
Precondition = Callable[[Columns, Columns], None]


def most(values: NDArray[Any], least: float = 0.0) -> float:
    """Return the largest value, NaN if there is one; `least` if none is larger."""
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
    """Make the residual vanish at the chosen entries, all others of x as they are.

    `solve` is exact on them but for rounding, which each correction makes smaller by the 1e-7 of
    float32. Returns how much the last one changed; what error is left is far smaller.
    """
    r, last = ops.zeros(level.size, len(b)), 0.0
    place: NDArray[Any] | None = None  # x there
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
    """Flexible conjugate gradients for S x = b: x in float64, everything else as columns.

    r is the residual; by rounding it drifts away from b - S x, which ``refresh`` computes anew.
    """

    def __init__(
        self, ops: Ops, level: Level, b: Columns, precondition: Precondition, first: int = 0
    ) -> None:
        """first: where looks are dear, the steps until the first one."""
        self.ops, self.level, self.b = ops, level, b
        self._first = max(first, ops.check_interval) if ops.check_interval > 1 else 1
        self._precondition = precondition
        columns, size = len(b), level.size
        self.x = ops.zeros(size, columns, np.float64)
        self.r = ops.xp.empty_like(b)
        self.r[...] = b  # for copy() CuPy compiles a kernel, for this it has none
        room = ops.zeros(size, 3 * columns)
        self._z, self._p, self._q = (room[i * columns : (i + 1) * columns] for i in range(3))
        self._energy: NDArray[np.float64] = ops.xp.zeros(columns)  # p . S p of the last step
        self._prepared = False  # z = M^-1 r
        self.rest = np.inf  # max abs(D^-1 r), of the residual computed anew
        self.count = 0
        self.before = 0  # of these, steps that somebody else made

    def start(self, x: NDArray[np.float64], count: int) -> None:
        """Go on from the entries x, (m, n), that somebody has found in so many steps."""
        self.ops.body(self.x)[:] = x
        self.ops.residual(self.level, self.b, self.x, self.r)
        self.count = self.before = count

    def correction(self) -> float:
        """Return max abs(M^-1 r) over all columns, which is about the error."""
        return self.ops.largest(self.level, self.corrections())

    def corrections(self) -> Columns:
        """Return M^-1 r, which is about the error; valid until the next call."""
        self._prepare()
        return self._z

    def relative_residuals(self) -> Columns:
        """Return D^-1 r, D the diagonal; valid until the next call."""
        self.ops.apply_inverse_diagonal(self.level, self.r, self._z)
        self._prepared = False
        return self._z

    def step(self) -> None:
        """Go one step. 1 precondition, 1 product, 3 sums, 3 axpys."""
        self._prepare()
        self.ops.conjugate(self.level, self._z, self._q, self._energy, self._p)
        self.ops.step(self.level, self._p, self._q, self._energy, self.x, self.r)
        self._prepared = False
        self.count += 1

    def advance(self) -> None:
        """Step until it is worth looking at the error again."""
        for _ in range(self.ops.check_interval if self.count else self._first):
            self.step()

    def restart(self) -> None:
        """Forget the direction, because x was changed."""
        self._energy.fill(0)
        self._prepared = False

    def renew(self) -> None:
        """Start anew from x, which was changed."""
        self.ops.residual(self.level, self.b, self.x, self.r)
        self.restart()

    def refresh(self) -> bool:
        """Compute the residual from x; return whether it had drifted, and if so start anew."""
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
