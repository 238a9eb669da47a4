"""What a refinement did: the report, and the stages that fill it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import Any

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Report:
    """What one call of ``refine`` did, with which settings, and how long it took.

    ``solver`` is the solver that gave the answer: "multigrid", "cg", "amg", "direct", several
    joined by "+" when some systems or components needed another, or "none" when there was nothing
    to solve.
    """

    shape: tuple[int, int]
    coarse_shape: tuple[int, int]
    labels: tuple[int | bool, ...]
    ignore_index: int | None  # the label that passed through, if there was one
    method: str
    backend: str
    solver: str
    scale: float
    passes: int  # of the last thinning, which the seeds come from
    doubt: float | None  # of the coarse map near its boundaries, 0 to 1; None without evidence
    interpolation: str
    edges: str
    beta: float
    gamma: float
    sigma: float
    unsure: float
    prune: bool
    median: int
    tolerance: float  # bound asked for on the error of the potentials
    unknown_pixels: int
    # Labels whose potentials lie so close together that the proven bound on their errors does not
    # decide between them; None for "amg", which only estimates its error.
    uncertified_pixels: int | None
    refined_pixels: int  # handed by "multigrid" to the direct solver, for want of a proof
    systems: int  # linear systems with a matrix of their own
    right_hand_sides: int  # over all systems
    iterations: int  # of the conjugate gradients, the largest over systems and classes
    error_estimate: float  # of the potentials, the largest over systems; a bound where certified
    fallbacks: tuple[str, ...]  # one sentence for each time "auto" changed its mind
    notes: tuple[str, ...]  # what was assumed, ignored or replaced
    # Per stage, in order, and "total". A CUDA device works while the next stage begins: there the
    # total is right, and some of a stage's time is told as that of a later one.
    seconds: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values that ``json.dumps`` accepts."""
        return asdict(self)


@dataclass
class Stages:
    """Times the stages, tells a progress callback, and collects notes, once for each call."""

    progress: Progress | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    fallbacks: list[str] = field(default_factory=list)  # to another backend
    reached: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Announce stage `name`, and time the body as part of it."""
        self.advance(name, 0.0)
        with self.timed(name):
            yield
        self.advance(name, 1.0)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Time the body as part of stage `name`."""
        start = perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - start

    def advance(self, name: str, fraction: float) -> None:
        """Tell the callback that a fraction (0..1) of stage `name` is done, or what was before."""
        if self.progress is not None:
            self.reached[name] = max(fraction, self.reached.get(name, 0.0))
            self.progress(name, self.reached[name])
