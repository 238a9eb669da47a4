"""The oracle: allowed are a correct result, or an error of one line that names its subject."""

import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import hdseg_gpu
from hdseg_gpu import HdsegError, RefinementWarning

PACKAGE = str(Path(hdseg_gpu.__file__).parent) + "/"
MINOR = ("warning",)


class Wrong(AssertionError):
    """A result that contradicts the documentation."""


@dataclass(frozen=True)
class Finding:
    """A forbidden outcome. Findings with the same ``key`` are the same."""

    kind: str  # "raw error", "memory", "wrong", "message", "signal", "hang", "outside", ...
    what: str  # the exception's type, or the observed event
    where: str  # the innermost function of the package
    message: str
    step: str  # the operation tried
    trace: str = ""
    case: str = ""
    origin: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """Return the values that findings with the same cause share."""
        general = re.sub(r"\W*\d[\w.]*", " n", self.message) if self.kind in _BY_MESSAGE else ""
        return self.kind, self.what, self.where, general[:60]

    @property
    def minor(self) -> bool:
        """Return whether it is reported without failing the run."""
        return self.kind in MINOR

    def to_dict(self) -> dict[str, str]:
        """Return plain values."""
        return asdict(self)


_BY_MESSAGE = ("wrong", "message")


class _Refused:
    def __bool__(self) -> bool:
        return False


REFUSED: Any = _Refused()


@dataclass
class Judge:
    """Tries steps, and collects findings."""

    names: re.Pattern[str]  # an error message must contain one
    findings: list[Finding] = field(default_factory=list)

    def attempt(self, step: str, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """Return what a function returns, or REFUSED."""
        with self.watching(step):
            return function(*args, **named)
        return REFUSED

    @contextmanager
    def watching(self, step: str) -> Iterator[None]:
        """Judge exceptions and warnings of the body."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            sys.unraisablehook = lambda what: self._printed(step, what)
            try:
                yield
            except HdsegError as error:
                self._refusal(step, error)
            except MemoryError as error:
                self._add("memory", step, error)
            except Wrong as error:
                self._add("wrong", step, error)
            except Exception as error:  # nothing else is allowed
                self._add("raw error", step, error)
        for each in caught:
            self._warned(step, each)

    def require(self, condition: Any, step: str, message: str) -> None:
        """Add a finding unless a condition holds."""
        if not condition:
            self.add(Finding("wrong", "result", "", message, step))

    def add(self, finding: Finding) -> None:
        """Add a finding."""
        self.findings.append(finding)

    def _add(self, kind: str, step: str, error: BaseException) -> None:
        self.add(
            Finding(kind, type(error).__name__, innermost(error), one_line(error), step,
                    "".join(traceback.format_exception(error)))
        )  # fmt: skip

    def _refusal(self, step: str, error: HdsegError) -> None:
        said = str(error)
        wrong = ""
        if "\n" in said or "\r" in said or not said.strip():
            wrong = "not one line"
        elif len(said) > 2000:
            wrong = "longer than 2000 characters"
        elif not self.names.search(said):
            wrong = "names neither file nor argument"
        if wrong:
            trace = "".join(traceback.format_exception(error))
            message = f"{wrong}: {said[:300]!r}"
            self.add(
                Finding("message", type(error).__name__, innermost(error), message, step, trace)
            )

    def _printed(self, step: str, what: Any) -> None:
        """Record an unraisable error instead of printing it."""
        name = getattr(what.exc_type, "__name__", "")
        self.add(Finding("warning", f"unraisable {name}", f"{what.object!r:.60}", "", step))

    def _warned(self, step: str, warning: warnings.WarningMessage) -> None:
        said = str(warning.message)
        if not issubclass(warning.category, RefinementWarning):
            where = "/".join(Path(warning.filename).parts[-2:])
            self.add(Finding("warning", warning.category.__name__, where, said[:300], step))
        elif "\n" in said:
            self.add(Finding("message", "RefinementWarning", "", f"not one line: {said!r}", step))


def innermost(error: BaseException) -> str:
    """Return the file and innermost function of the package in a traceback."""
    frames = [
        f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(PACKAGE)
    ]
    return f"{frames[-1].filename.removeprefix(PACKAGE)}:{frames[-1].name}" if frames else ""


def innermost_of_text(trace: str) -> str:
    """Return the same from faulthandler's output, which begins with the innermost frame."""
    lines = trace.splitlines()
    at = next((i for i, line in enumerate(lines) if line.startswith("Current thread")), 0)
    for line in lines[at:]:
        found = re.search(r'File "(.*?)", line \d+ in (\S+)', line)
        if found and found[1].startswith(PACKAGE):
            return f"{found[1].removeprefix(PACKAGE)}:{found[2]}"
    return ""


def one_line(error: BaseException) -> str:
    """Return the text of an error on one line, at most 300 characters."""
    return " ".join(f"{error}".split())[:300]
