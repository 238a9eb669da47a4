"""What can go wrong, by whose fault."""

from collections.abc import Sequence
from typing import Any

_MOST_LISTED = 10  # values that a message names one by one
_SHOWN = 80  # letters of a value in a message


class HdsegError(Exception):
    """Base of all errors this package raises on purpose."""

    def __str__(self) -> str:
        """Return the message on one line, whatever names of files have in them."""
        return super().__str__().replace("\n", "\\n")


class InvalidInput(HdsegError, ValueError):
    """An argument or a file cannot be used; the message names it, its value and the remedy."""


class BackendUnavailable(HdsegError, RuntimeError):
    """The backend that was asked for cannot run here; the message says why."""


class OutOfDeviceMemory(HdsegError, MemoryError):
    """The device's memory, or the share of it that may be used, is not enough."""


class NotConverged(HdsegError, RuntimeError):
    """The solver that was asked for did not reach the tolerance."""


class Unfinished(HdsegError, RuntimeError):
    """A run over a file stopped before its end; what is done is kept, and it can be resumed."""


class NotWritten(HdsegError, OSError):
    """An output could not be written, for want of space, say; nothing has its name."""

    def __init__(self, message: str, reason: str = "", number: int | None = None) -> None:
        super().__init__(message)
        self.reason, self.errno = reason, number


class RefinementWarning(UserWarning):
    """Something was assumed, ignored or replaced; the same sentence is in ``Report.notes``."""


def listed(values: Sequence[Any]) -> str:
    """Return values as messages show them: all of a few, the first of many and their number."""
    if len(values) <= _MOST_LISTED:
        return str(list(values))
    first = ", ".join(map(str, values[:_MOST_LISTED]))
    return f"[{first}, ... {len(values)} in all]"


def shown(value: object) -> str:
    """Return a value as messages have it: on one line, and short, whatever it is."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # an integer of many thousand digits, or what somebody else has written
        text = f"<{type(value).__name__}>"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
