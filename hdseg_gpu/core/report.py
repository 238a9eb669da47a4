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

    Attributes
    ----------
    shape, coarse_shape : (int, int)
        Rows and columns of the image and of the coarse map.
    labels : tuple of int or bool
        The label of each class.
    ignore_index : int or None
        The label of ignored pixels; None if there were none.
    method, backend : str
        The method and the backend used.
    solver : str
        The solvers used, joined by "+"; "none" if there was nothing to solve.
    scale : float
        Image pixels per pixel that the network decided.
    passes : int
        Passes of the last thinning, which gives the seeds.
    doubt : float or None
        How far the coarse map was distrusted near its boundaries, 0 to 1; None without evidence.
    interpolation, edges, beta, gamma, sigma, unsure, prune, majority
        Options of ``refine``, with the values used.
    tolerance : float
        The requested bound on the error of the potentials, the option `tol`.
    unknown_pixels : int
        Pixels without a seed, which were solved for.
    uncertified_pixels : int or None
        Pixels whose two largest potentials differ by less than the proven bound on their errors;
        None if the solver only estimates its error.
    refined_pixels : int
        Pixels solved again by a direct solver, because the bound was too large.
    systems : int
        Linear systems with a matrix of their own.
    right_hand_sides : int
        Right-hand sides of all systems.
    iterations : int
        Iterations of an iterative solver, the largest number over all right-hand sides.
    error_estimate : float
        Error of the potentials, the largest over all systems; a bound if certified.
    fallbacks : tuple of str
        One sentence for each fallback of an option "auto".
    notes : tuple of str
        What was assumed, ignored or replaced.
    seconds : dict
        Run time of each stage, in order, and "total". CUDA devices work asynchronously: the total
        is exact, but part of a stage's time may be counted in a later one.

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
    ignore_index: int | None
    method: str
    backend: str
    solver: str
    scale: float
    passes: int
    doubt: float | None
    interpolation: str
    edges: str
    beta: float
    gamma: float
    sigma: float
    unsure: float
    prune: bool
    majority: int
    tolerance: float
    unknown_pixels: int
    uncertified_pixels: int | None
    refined_pixels: int
    systems: int
    right_hand_sides: int
    iterations: int
    error_estimate: float
    fallbacks: tuple[str, ...]
    notes: tuple[str, ...]
    seconds: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values that ``json.dumps`` accepts."""
        return asdict(self)


@dataclass(frozen=True)
class FileReport(Report):
    """Settings, counts and times of one call of ``refine_file``: a ``Report`` with more fields.

    Attributes
    ----------
    tile : int
        Side of a tile in pixels.
    tiles : int
        Number of tiles; 1 if the image was refined as a whole.
    decided_tiles : int
        Tiles with unknown pixels; the others did not need the image.
    workers : int
        Tiles processed at a time.
    bytes_read : int
        Bytes of the image, as stored, that this process read.
    peak_memory : int
        Peak resident memory of this process in bytes; 0 where unavailable.
    skipped : dict
        Where the image could not be read, and why.

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

    tile: int
    tiles: int
    decided_tiles: int
    workers: int
    bytes_read: int
    peak_memory: int
    skipped: dict[str, str]


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
