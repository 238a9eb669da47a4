"""Progress reports of a run."""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

from hdseg_gpu.core.memory import MiB, resident


@dataclass(frozen=True)
class TileProgress:
    """The progress of ``refine_file``, reported after each tile; as text it is one line.

    Attributes
    ----------
    phase : str
        Name of the current phase.
    done, tiles : int
        Finished tiles of the phase, and all its tiles; `tiles` is 0 if the image is refined as a
        whole.
    pixels_per_second : float
        Speed in this phase, not counting tiles of a resumed run that were finished before.
    seconds_left : float or None
        Estimated time until the end of the phase; None if it is unknown.
    memory : int
        Resident memory of this process in bytes; 0 if it is unknown.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import hdseg_gpu
    >>> image = np.zeros((64, 64), np.uint8)
    >>> image[:, 30:] = 200
    >>> coarse = image[4::8, 4::8] > 100
    >>> reports = []
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = hdseg_gpu.refine_file(
    ...         image, coarse, f"{folder}/mask.npy", scale=8, tile=2048, progress=reports.append
    ...     )
    >>> reports[0].phase, reports[0].done, reports[0].tiles
    ('statistics', 0, 1)
    >>> reports[-1].phase, reports[-1].done, reports[-1].tiles
    ('tiles', 1, 1)
    """

    phase: str
    done: int
    tiles: int
    pixels_per_second: float
    seconds_left: float | None
    memory: int

    def __str__(self) -> str:
        """Return one line."""
        if self.tiles == 0:
            return f"{self.phase}: {self.memory // MiB} MiB"
        left = "" if self.seconds_left is None else f", {self.seconds_left:.0f} s left"
        return (
            f"{self.phase}: {self.done} of {self.tiles} tiles, "
            f"{self.pixels_per_second / 1e6:.1f} Mpx/s{left}, {self.memory // MiB} MiB"
        )


class Meter:
    """Counts the tiles of a phase and reports progress to a callback."""

    def __init__(self, tell: Callable[[TileProgress], None] | None) -> None:
        self._tell = tell

    def begin(self, phase: str, tiles: int, done: int) -> None:
        """Start a phase, of which `done` tiles are already finished."""
        self._phase, self._tiles, self._done, self._before = phase, tiles, done, done
        self._pixels, self._start = 0, perf_counter()
        self._say()

    def done(self, pixels: int) -> None:
        """Count a finished tile, and report."""
        self._done += 1
        self._pixels += pixels
        self._say()

    def _say(self) -> None:
        if self._tell is None:
            return
        seconds, now = perf_counter() - self._start, self._done - self._before
        left = seconds / now * (self._tiles - self._done) if now else None
        rate = self._pixels / seconds if seconds > 0 else 0.0
        self._tell(TileProgress(self._phase, self._done, self._tiles, rate, left, resident()))
