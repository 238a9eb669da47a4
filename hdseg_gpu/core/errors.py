"""The package's errors and warning, and how messages show values."""

from collections.abc import Sequence
from typing import Any

_MOST_LISTED = 10  # values that a message lists
_SHOWN = 80  # characters of a value in a message


class HdsegError(Exception):
    """Base of all errors that this package raises deliberately.

    Examples
    --------
    >>> import hdseg_gpu
    >>> issubclass(hdseg_gpu.Unfinished, hdseg_gpu.HdsegError)
    True
    """

    def __str__(self) -> str:
        """Return the message on one line, even if a file name contains line breaks."""
        return super().__str__().replace("\n", "\\n")


class InvalidInput(HdsegError, ValueError):
    """An argument or a file is invalid; the message names it, its value and the remedy.

    It is a ``ValueError``.

    Examples
    --------
    >>> import hdseg_gpu
    >>> try:
    ...     hdseg_gpu.structuring_elements("5x5")
    ... except hdseg_gpu.InvalidInput as error:
    ...     print(error)
    elements='5x5' is not an element set; choose one of ('9x9', '3x3').
    """


class BackendUnavailable(HdsegError, RuntimeError):
    """The requested backend cannot run here; the message says why.

    It is a ``RuntimeError``. ``available_backends`` lists those that can run.

    Examples
    --------
    >>> import numpy as np
    >>> import hdseg_gpu
    >>> mask = np.eye(9, dtype=np.uint8)
    >>> try:
    ...     thinned = hdseg_gpu.thinning(mask, "3x3", 1, backend="cuda")
    ... except hdseg_gpu.BackendUnavailable:
    ...     thinned = hdseg_gpu.thinning(mask, "3x3", 1)
    >>> thinned.shape
    (9, 9)
    """


class OutOfDeviceMemory(HdsegError, MemoryError):
    """The device, or the part of its memory that may be used, does not have enough memory.

    It is a ``MemoryError``. With ``backend="auto"`` the host takes over instead.

    Examples
    --------
    >>> import hdseg_gpu
    >>> issubclass(hdseg_gpu.OutOfDeviceMemory, MemoryError)
    True
    """


class NotConverged(HdsegError, RuntimeError):
    """The requested solver did not reach the tolerance `tol`.

    It is a ``RuntimeError``. ``solver="auto"`` hands such systems to the direct solver instead.

    Examples
    --------
    >>> import hdseg_gpu
    >>> issubclass(hdseg_gpu.NotConverged, RuntimeError)
    True
    """


class Unfinished(HdsegError, RuntimeError):
    """A run of ``refine_file`` stopped before its end; finished tiles are kept.

    It is a ``RuntimeError``. ``resume=True`` continues the run.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import hdseg_gpu
    >>> image = np.zeros((64, 64), np.uint8)
    >>> image[:, 30:] = 200
    >>> coarse = image[4::8, 4::8] > 100
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     output = f"{folder}/mask.npy"
    ...     try:
    ...         report = hdseg_gpu.refine_file(image, coarse, output, scale=8)
    ...     except hdseg_gpu.Unfinished:  # for example, the disk was full
    ...         report = hdseg_gpu.refine_file(image, coarse, output, scale=8, resume=True)
    ...     labels = np.load(output)
    >>> np.array_equal(labels, image > 100)
    True
    """


class NotWritten(HdsegError, OSError):
    """An output could not be written, for example for lack of space; no partial file exists."""

    def __init__(self, message: str, reason: str = "", number: int | None = None) -> None:
        super().__init__(message)
        self.reason, self.errno = reason, number


class RefinementWarning(UserWarning):
    """Something was assumed, ignored or replaced; the same sentence is in ``Report.notes``.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> import hdseg_gpu
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always", hdseg_gpu.RefinementWarning)
    ...     seeds = hdseg_gpu.seeds(np.arange(60) // 30 * np.ones((60, 1), int))
    >>> print(caught[0].message)
    The mask is as large as the image: scale=8 is assumed (pass scale= or passes=).
    """


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
