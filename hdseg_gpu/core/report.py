"""What a refinement did: the report, and the stages that fill it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import Any

from hdseg_gpu.core.params import CoarseSummary, Params
from hdseg_gpu.core.windows import Shape

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
    majority: int
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


@dataclass(frozen=True)
class FileReport(Report):
    """What one call of ``refine_file`` did."""

    tile: int  # side, pixels
    tiles: int
    decided_tiles: int  # that have unknown pixels; of the others the image was not needed
    workers: int  # tiles at once
    bytes_read: int  # of the image, as it is stored, by this process
    peak_memory: int  # bytes that this process ever occupied; 0 where that cannot be told
    skipped: dict[str, str]  # where the image could not be read -> why


# Sentences kept of those that each part of a picture may have.
_MOST_FALLBACKS = 20


@dataclass(frozen=True)
class Tally:
    """What it took to decide a part of a picture; those of several parts add up."""

    unknown_pixels: int = 0
    uncertified_pixels: int | None = 0  # None where the solver proves nothing
    refined_pixels: int = 0
    systems: int = 0
    right_hand_sides: int = 0
    iterations: int = 0
    error: float = 0.0
    solvers: tuple[str, ...] = ()
    fallbacks: tuple[str, ...] = ()

    def __add__(self, other: "Tally") -> "Tally":
        """Return the tally of both parts."""
        uncertified = None
        if self.uncertified_pixels is not None and other.uncertified_pixels is not None:
            uncertified = self.uncertified_pixels + other.uncertified_pixels
        fallbacks = tuple(dict.fromkeys(self.fallbacks + other.fallbacks))
        return Tally(
            self.unknown_pixels + other.unknown_pixels,
            uncertified,
            self.refined_pixels + other.refined_pixels,
            self.systems + other.systems,
            self.right_hand_sides + other.right_hand_sides,
            max(self.iterations, other.iterations),
            max(self.error, other.error),
            tuple(sorted(set(self.solvers + other.solvers), reverse=True)),
            fallbacks[:_MOST_FALLBACKS],
        )

    @property
    def solver(self) -> str:
        """Return the names of the solvers that gave the answer."""
        return "+".join(self.solvers) or "none"


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


def note_precision(tally: Tally, tolerance: float, stages: Stages) -> None:
    """Say so where the tolerance could not be kept."""
    if tally.error > tolerance * (1 + 1e-9):
        stages.notes.append(
            f"tol={tolerance:g} is less than float32 can promise for so many classes that "
            f"meet: the proven bound is {tally.error:.1e}."
        )


def report_of(
    backend: str,
    shape: Shape,
    coarse: CoarseSummary,
    params: Params,
    sigma: float,
    passes: int,
    doubt: float | None,
    tally: Tally,
    stages: Stages,
) -> Report:
    """Return the report of a refinement."""
    return Report(
        shape=shape,
        coarse_shape=coarse.shape,
        labels=tuple(coarse.values.tolist()),
        ignore_index=coarse.ignore_index,
        method=params.method,
        backend=backend,
        solver=tally.solver,
        scale=params.scale,
        passes=passes,
        doubt=doubt,
        interpolation=params.interpolation,
        edges=params.edges,
        beta=params.beta,
        gamma=params.gamma,
        sigma=sigma,
        unsure=params.unsure,
        prune=params.prune,
        majority=params.majority,
        tolerance=params.tolerance,
        unknown_pixels=tally.unknown_pixels,
        uncertified_pixels=tally.uncertified_pixels,
        refined_pixels=tally.refined_pixels,
        systems=tally.systems,
        right_hand_sides=tally.right_hand_sides,
        iterations=tally.iterations,
        error_estimate=tally.error,
        fallbacks=(*stages.fallbacks, *tally.fallbacks),
        notes=tuple(stages.notes),
        seconds={**stages.seconds, "total": sum(stages.seconds.values())},
    )
