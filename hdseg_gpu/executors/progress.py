"""Progress reports of a run."""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

from hdseg_gpu.core.memory import MiB, resident


@dataclass(frozen=True)
class TileProgress:
    """The progress of a run, reported after each tile."""

    phase: str
    done: int  # finished tiles of the phase
    tiles: int  # tiles of the phase; 0 if the image is refined as a whole
    pixels_per_second: float  # in this phase, without tiles of an earlier attempt
    seconds_left: float | None  # in this phase; None if not known yet
    memory: int  # resident memory of this process in bytes; 0 if unknown

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
