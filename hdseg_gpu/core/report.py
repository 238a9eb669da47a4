"""The report of a refinement, and the stages that fill it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import Any

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Report:
    """Settings, counts and times of one call of ``refine``.

    Options have the values that were used. ``solver`` is the name of the solver, several joined by
    "+" if some systems or components needed another, or "none" if there was nothing to solve.

    Examples
    --------
    >>> import numpy as np
    >>> import hdseg_gpu
    >>> image = np.zeros((64, 64), np.uint8)
    >>> image[:, 30:] = 200
    >>> coarse = image[4::8, 4::8] > 100
    >>> labels, report = hdseg_gpu.refine(image, coarse, scale=8, return_report=True)
    >>> report.shape, report.coarse_shape, report.labels
    ((64, 64), (8, 8), (False, True))
    >>> report.unknown_pixels, report.uncertified_pixels
    (2048, 0)
    >>> sorted(report.to_dict())[:3]
    ['backend', 'beta', 'coarse_shape']
    """

    shape: tuple[int, int]
    coarse_shape: tuple[int, int]
    labels: tuple[int | bool, ...]
    ignore_index: int | None  # the label of ignored pixels, if there were any
    method: str
    backend: str
    solver: str
    scale: float
    passes: int  # of the last thinning, which gives the seeds
    doubt: float | None  # in the coarse map near its boundaries, 0 to 1; None without evidence
    interpolation: str
    edges: str
    beta: float
    gamma: float
    sigma: float
    unsure: float
    prune: bool
    majority: int
    tolerance: float  # requested bound on the error of the potentials
    unknown_pixels: int
    # Labels whose two largest potentials are closer than the proven bound on their errors; None
    # for "amg", which only estimates its error.
    uncertified_pixels: int | None
    refined_pixels: int  # passed by "multigrid" to the direct solver, for lack of a tight bound
    systems: int  # linear systems with a matrix of their own
    right_hand_sides: int  # over all systems
    iterations: int  # of the conjugate gradients, the largest over systems and classes
    error_estimate: float  # of the potentials, the largest over systems; a bound if certified
    fallbacks: tuple[str, ...]  # one sentence for each fallback of "auto"
    notes: tuple[str, ...]  # what was assumed, ignored or replaced
    # Per stage, in order, and "total". CUDA devices work asynchronously: the total is right, but
    # some of a stage's time is counted in a later one.
    seconds: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values that ``json.dumps`` accepts."""
        return asdict(self)


@dataclass(frozen=True)
class FileReport(Report):
    """Settings, counts and times of one call of ``refine_file``; more than ``Report`` has.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import hdseg_gpu
    >>> image = np.zeros((64, 64), np.uint8)
    >>> image[:, 30:] = 200
    >>> coarse = image[4::8, 4::8] > 100
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = hdseg_gpu.refine_file(image, coarse, f"{folder}/mask.npy", scale=8)
    >>> report.tiles, report.decided_tiles, report.skipped
    (1, 1, {})
    """

    tile: int  # side, pixels
    tiles: int
    decided_tiles: int  # with unknown pixels; the others did not need the image
    workers: int  # tiles at once
    bytes_read: int  # of the image as stored, by this process
    peak_memory: int  # peak resident memory of this process in bytes; 0 where unavailable
    skipped: dict[str, str]  # where the image could not be read -> why


# Fallback sentences kept over all parts of an image.
_MOST_FALLBACKS = 20


@dataclass(frozen=True)
class Tally:
    """Counts of solving a part of an image; tallies of several parts add up."""

    unknown_pixels: int = 0
    uncertified_pixels: int | None = 0  # None if the solver does not bound its error
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
        """Return the names of the solvers used, joined by "+"."""
        return "+".join(self.solvers) or "none"


@dataclass
class Stages:
    """Times the stages of one call, reports progress to a callback, and collects notes."""

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

    def fall_back(self, sentence: str) -> None:
        """Record a fallback, unless it is recorded already, or too many are."""
        if sentence not in self.fallbacks and len(self.fallbacks) < _MOST_FALLBACKS:
            self.fallbacks.append(sentence)

    def advance(self, name: str, fraction: float) -> None:
        """Report the fraction (0..1) done of stage `name`; it never decreases."""
        if self.progress is not None:
            self.reached[name] = max(fraction, self.reached.get(name, 0.0))
            self.progress(name, self.reached[name])
