"""What is allowed to happen: a right result, or one line of refusal that says of what."""

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
    """A result that breaks a promise."""


@dataclass(frozen=True)
class Finding:
    """Something that may not happen. `where` and `kind` tell equal findings apart from others."""

    kind: str  # "raw error", "memory", "wrong", "message", "signal", "hang", "outside", ...
    what: str  # the exception's type, or what was watched
    where: str  # the innermost function of the package
    message: str
    step: str  # what was tried
    trace: str = ""
    case: str = ""
    origin: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """Return what findings with one cause have in common."""
        general = re.sub(r"\W*\d[\w.]*", " n", self.message) if self.kind in _BY_MESSAGE else ""
        return self.kind, self.what, self.where, general[:60]

    @property
    def minor(self) -> bool:
        """Return whether it is told, but no reason to fail."""
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
    """Tries steps, and keeps what may not have happened."""

    names: re.Pattern[str]  # one of which a refusal must contain
    findings: list[Finding] = field(default_factory=list)

    def attempt(self, step: str, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """Return what a function returns, or REFUSED."""
        with self.watching(step):
            return function(*args, **named)
        return REFUSED

    @contextmanager
    def watching(self, step: str) -> Iterator[None]:
        """Judge what the body raises, and what it warns of."""
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
            except Exception as error:  # the rule is: nothing else
                self._add("raw error", step, error)
        for each in caught:
            self._warned(step, each)

    def require(self, condition: Any, step: str, message: str) -> None:
        """Keep a finding unless a condition holds."""
        if not condition:
            self.add(Finding("wrong", "result", "", message, step))

    def add(self, finding: Finding) -> None:
        """Keep a finding."""
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
        """Keep what Python would print of an error that it cannot raise."""
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
    """Return the file and function of ours that was entered last before an error."""
    frames = [
        f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(PACKAGE)
    ]
    return f"{frames[-1].filename.removeprefix(PACKAGE)}:{frames[-1].name}" if frames else ""


def innermost_of_text(trace: str) -> str:
    """Return the same from what faulthandler writes, whose first line is the innermost."""
    lines = trace.splitlines()
    at = next((i for i, line in enumerate(lines) if line.startswith("Current thread")), 0)
    for line in lines[at:]:
        found = re.search(r'File "(.*?)", line \d+ in (\S+)', line)
        if found and found[1].startswith(PACKAGE):
            return f"{found[1].removeprefix(PACKAGE)}:{found[2]}"
    return ""


def one_line(error: BaseException) -> str:
    """Return an error's words on one line."""
    return " ".join(f"{error}".split())[:300]
