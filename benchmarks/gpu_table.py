"""The rows of benchmarks.gpu, measured or skipped for a reason, and their table."""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.gpu_lost import EXIT, LOST, TRIES, lost
from benchmarks.report import table

_DASH = "-"


class Skip(Exception):
    """Raised by a measurement that is impossible here; the text is the reason."""


@dataclass
class Row:
    """One measurement."""

    section: str
    name: str
    mpx: float | None = None
    seconds: float | None = None  # median
    shortest: float | None = None
    longest: float | None = None
    rounds: int | None = None
    rate: float | None = None
    unit: str = ""
    share: float | None = None  # of the card's copy bandwidth, by the simple count of bytes
    memory: int | None = None  # peak device memory of the call in bytes, without its input
    remarks: dict[str, Any] = field(default_factory=dict)
    kernels: list[dict[str, Any]] = field(default_factory=list)  # by gpu_kernels.py
    skipped: str | None = None
    unfinished: int = 0  # how many runs ended during this measurement

    @property
    def measured(self) -> bool:
        """Return whether the row has figures."""
        return self.seconds is not None

    @property
    def failed(self) -> bool:
        """Return whether the measurement failed unexpectedly."""
        return (self.skipped or "").startswith((_FAILED, _ENDED, LOST))


_FAILED = "failed: "
_ENDED = "the run ended while this was measured"


@dataclass
class Timing:
    """Seconds of several rounds."""

    seconds: float  # median
    shortest: float
    longest: float
    rounds: int


class Rows:
    """All rows so far. A measurement that fails becomes a row with the reason; others continue.

    Rows of an earlier run with figures are kept, unless all are to be measured `again`; those
    without are measured. `changed` is called before and after each measurement, so that a killed
    run leaves all its results. While `deferring`, measurements that ended an earlier run are
    skipped. A measurement that loses the device ends the process with `EXIT`.
    """

    def __init__(self, earlier: Sequence[Row] = (), again: bool = False) -> None:
        self.rows = list(earlier)
        self.stale = list(earlier) if again else []
        self.changed: Callable[[], None] = lambda: None
        self.end: Callable[[], object] = lambda: os._exit(EXIT)
        self.deferring = False
        self.deferred = False  # whether any measurement was skipped

    def measure(
        self,
        section: str,
        name: str,
        mpx: float | None,
        function: Callable[[], tuple[Timing, dict[str, Any]]],
    ) -> Row:
        """Add the result of `function`: the time, and fields of the row or remarks by name."""
        place, row = self._place(section, name, mpx)
        stale = any(row is old for old in self.stale)
        if not stale and (row.measured or row.unfinished >= TRIES):
            return row
        if self._defers(row):
            return row
        unfinished = 0 if stale else row.unfinished
        row = Row(section, name, mpx, skipped=_ENDED, unfinished=unfinished + 1)
        self.rows[place] = row
        self.changed()
        try:
            timing, facts = function()
        except Skip as reason:
            row.skipped = str(reason)
        except Exception as error:  # whatever a library raises, continue with the other rows
            row.skipped = _failure(error)
            self._end_if_lost(row)
        else:
            row.skipped = None
            row.seconds, row.shortest = timing.seconds, timing.shortest
            row.longest, row.rounds = timing.longest, timing.rounds
            for key, value in facts.items():
                if key in ("rate", "unit", "share", "memory", "kernels"):
                    setattr(row, key, value)
                else:
                    row.remarks[key] = value
        row.unfinished = unfinished
        self.changed()
        print(_line(row), file=sys.stderr, flush=True)
        return row

    def guard(self, section: str, mpx: float, function: Callable[[], None]) -> None:
        """Run a function that adds several rows; if it fails before, add a row with the reason."""
        of_this = (section, "preparation", mpx)
        old = [row for row in self.rows if (row.section, row.name, row.mpx) == of_this]
        unfinished = old[0].unfinished if old else 0
        if unfinished >= TRIES or (old and self._defers(old[0])):
            return
        self.rows = [row for row in self.rows if (row.section, row.name, row.mpx) != of_this]
        try:
            function()
        except Exception as error:
            row = Row(*of_this, skipped=_failure(error), unfinished=unfinished + 1)
            self.rows.append(row)
            self._end_if_lost(row)
            row.unfinished = unfinished
            self.changed()
            print(_line(self.rows[-1]), file=sys.stderr, flush=True)

    def _defers(self, row: Row) -> bool:
        """Return whether to postpone a row until all others have been measured."""
        waits = self.deferring and row.unfinished > 0
        self.deferred |= waits
        return waits

    def _end_if_lost(self, row: Row) -> None:
        if lost():
            row.skipped = f"{LOST}: {row.skipped}"
            self.changed()
            self.end()

    def _place(self, section: str, name: str, mpx: float | None) -> tuple[int, Row]:
        """Return the index of a row, and the row, which is new if there was none."""
        for i, row in enumerate(self.rows):
            if (row.section, row.name, row.mpx) == (section, name, mpx):
                return i, row
        self.rows.append(Row(section, name, mpx))
        return len(self.rows) - 1, self.rows[-1]

    def plain(self) -> list[dict[str, Any]]:
        """Return the rows as plain values."""
        return [asdict(row) for row in self.rows]

    def markdown(self) -> str:
        """Return the table."""
        head = ["what", "", "Mpx", "median [s]", "min - max", "rate", "of copy bandwidth",
                "memory [MiB]", "remarks"]  # fmt: skip
        return table(head, [_cells(row) for row in self.rows])


def _failure(error: Exception) -> str:
    return f"{_FAILED}{type(error).__name__}: {str(error).strip()[:300]}"


def number(value: float, digits: int = 3) -> str:
    """Format a number with a number of digits, without an exponent."""
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e" in text and 1 <= abs(value) < 1e9 else text


def _cells(row: Row) -> list[str]:
    cells = [row.section, row.name, _DASH if row.mpx is None else f"{row.mpx:g}"]
    if row.skipped is not None:
        reason = " ".join(row.skipped.replace("|", "/").split())
        return [*cells, *[_DASH] * 5, f"skipped: {reason}"]
    assert row.seconds is not None
    spread = _DASH
    if (row.rounds or 0) > 1:
        spread = f"{number(row.shortest or 0)} - {number(row.longest or 0)}"
    remarks = [f"{key} {_said(value)}" for key, value in row.remarks.items()]
    return [
        *cells,
        number(row.seconds),
        spread,
        _DASH if row.rate is None else f"{number(row.rate)} {row.unit}",
        _DASH if row.share is None else f"{100 * row.share:.0f} %",
        _DASH if row.memory is None else f"{row.memory / 2**20:.0f}",
        "; ".join(remarks).replace("|", "/"),
    ]


def _said(value: Any) -> str:
    if isinstance(value, float):
        return number(value)
    if isinstance(value, dict):
        return ", ".join(f"{k} {_said(v)}" for k, v in value.items())
    return str(value)


def _line(row: Row) -> str:
    return " | ".join(cell for cell in _cells(row) if cell != _DASH)
