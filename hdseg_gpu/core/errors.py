"""The package's errors and warning, and how messages show values."""

from collections.abc import Sequence
from typing import Any

_MOST_LISTED = 10  # values that a message lists
_SHOWN = 80  # characters of a value in a message


class HdsegError(Exception):
    """Base of all errors that this package raises deliberately."""

    def __str__(self) -> str:
        """Return the message on one line, even if a file name contains line breaks."""
        return super().__str__().replace("\n", "\\n")


class InvalidInput(HdsegError, ValueError):
    """An argument or a file is invalid; the message names it, its value and the remedy."""


class BackendUnavailable(HdsegError, RuntimeError):
    """The requested backend cannot run here; the message says why."""


class OutOfDeviceMemory(HdsegError, MemoryError):
    """The device, or the part of its memory that may be used, does not have enough memory."""


class NotConverged(HdsegError, RuntimeError):
    """The requested solver did not reach the tolerance."""


class Unfinished(HdsegError, RuntimeError):
    """A file run stopped before its end; finished work is kept, and the run can be resumed."""


class NotWritten(HdsegError, OSError):
    """An output could not be written, for example for lack of space; no partial file exists."""

    def __init__(self, message: str, reason: str = "", number: int | None = None) -> None:
        super().__init__(message)
        self.reason, self.errno = reason, number


class RefinementWarning(UserWarning):
    """Something was assumed, ignored or replaced; the same sentence is in ``Report.notes``."""


def listed(values: Sequence[Any]) -> str:
    """Return values as text for a message: all of a few, or the first of many and their number."""
    if len(values) <= _MOST_LISTED:
        return str(list(values))
    first = ", ".join(map(str, values[:_MOST_LISTED]))
    return f"[{first}, ... {len(values)} in all]"


def shown(value: object) -> str:
    """Return the repr of any value for a message, on one line and at most 80 characters."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # an integer of many thousand digits, or a faulty __repr__
        text = f"<{type(value).__name__}>"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
