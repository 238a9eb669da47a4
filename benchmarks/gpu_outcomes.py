"""A plugin for pytest: ``-p benchmarks.gpu_outcomes --outcomes FILE`` saves each test's outcome.

One line of JSON is written as each test ends, so that nothing is lost if the run dies. A run that
finds lines of the same sources skips the tests that passed; with ``--outcomes-again`` all run. A
test during which a run ended has a line that says so. It runs last the next time, and at most
twice, as does a test that lost the device: the process then ends with `EXIT`.

On the executor (on_executor.py) each test function runs only with the first parameters that the
executor supports, and for a few seconds: the aim is to use every name once.
"""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from benchmarks import stand_in
from benchmarks.gpu_card import source_digest
from benchmarks.gpu_lost import EXIT, LOST, TRIES, lost

BEGUN = "begun"
LEFT_OUT = "left out"
_WALKED = "walked with other parameters"
# Tests and fixtures that need a card for what they measure, although the executor has all names.
CARD_ONLY = {
    "pool": "the executor's memory is not that of a pool",
    "test_results_are_where_the_image_is": "tables are not small beside a small picture",
    "test_the_readmes_example": "torch sees no device",
}
SMALL = 140, 180  # instead of a module's SHAPE that is far larger
PATIENCE = 1.5  # seconds of the processor


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add both options."""
    parser.addoption("--outcomes", type=Path, metavar="FILE", help="JSON, a line for each test")
    parser.addoption("--outcomes-again", action="store_true", help="run what passed, too")


def pytest_configure(config: pytest.Config) -> None:
    """Register the plugin if there is a file to write to."""
    if config.option.outcomes is not None:
        config.pluginmanager.register(
            Outcomes(config.option.outcomes, config.option.outcomes_again)
        )
    if stand_in.installed:
        config.pluginmanager.register(Once())


class Outcomes:
    """Writes the file."""

    def __init__(self, file: Path, again: bool) -> None:
        self.file, self.digest = file, source_digest()
        self.known: dict[str, dict[str, Any]] = {}
        if not again:
            self.known = {t["test"]: t for t in read(file) if t["source"] == self.digest}
        file.parent.mkdir(parents=True, exist_ok=True)
        # Keep the lines of tests that passed; the others will get a new one.
        kept = [t for t in self.known.values() if t["outcome"] in ("passed", BEGUN, LOST)]
        self.tries = {t["test"]: t["tries"] for t in kept if t["outcome"] != "passed"}
        file.write_text("".join(json.dumps(test) + "\n" for test in kept))

    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Skip tests that passed or have ended two runs; those that ended one run come last."""
        out = {name for name, test in self.known.items() if test["outcome"] == "passed"}
        out |= {name for name, tries in self.tries.items() if tries >= TRIES}
        left_out = [item for item in items if item.nodeid in out]
        items[:] = [item for item in items if item.nodeid not in out]
        items.sort(key=lambda item: item.nodeid in self.tries)
        config.hook.pytest_deselected(items=left_out)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Write that a test has started, as the process may die in it."""
        self.tries[nodeid] = self.tries.get(nodeid, 0) + 1
        self._write(nodeid, BEGUN, 0.0, "the run ended while this test was under way")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write the outcome of a test."""
        if report.when == "call" or report.outcome != "passed":
            reason = _reason(report)
            outcome = LEFT_OUT if reason == _WALKED else report.outcome
            gone = report.outcome == "failed" and lost()
            self._write(report.nodeid, LOST if gone else outcome, report.duration, reason)
            if gone:  # without teardown, which could wait for the device for good
                os._exit(EXIT)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Report success if no test was left to run because all have passed before."""
        if session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and self.known:
            session.exitstatus = pytest.ExitCode.OK
        gave_up = {t["test"] for t in read(self.file) if t["outcome"] in (BEGUN, LOST)}
        if gave_up and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _write(self, test: str, outcome: str, seconds: float, reason: str) -> None:
        line = {"test": test, "outcome": outcome, "seconds": round(seconds, 3), "reason": reason,
                "source": self.digest, "tries": self.tries.get(test, 0)}  # fmt: skip
        with self.file.open("a") as file:
            file.write(json.dumps(line) + "\n")


def _reason(report: pytest.TestReport) -> str:
    if report.outcome == "passed":
        return ""
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    said = crash.message if crash else str(report.longrepr)
    return str(said).strip().partition("\n")[0][:300]


def read(file: Path) -> list[dict[str, Any]]:
    """Return the last outcome of each test; incomplete lines are ignored."""
    found: dict[str, dict[str, Any]] = {}
    if file.exists():
        for line in file.read_text().splitlines():
            try:
                test = json.loads(line)
                found[test["test"]] = test
            except (ValueError, KeyError):
                continue
    return list(found.values())


class Once:
    """On the executor: runs each test function with one set of parameters."""

    def __init__(self) -> None:
        self.done: set[str] = set()
        # An import that is interrupted cannot be repeated.
        with suppress(ImportError):
            import_module("torch")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Make images smaller."""
        for module in {item.module for item in items if isinstance(item, pytest.Function)}:
            if min(getattr(module, "SHAPE", SMALL)) > 3 * max(SMALL):
                module.SHAPE = SMALL

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Skip tests that ran with other parameters, and those that need a card."""
        if _function(item) in self.done:
            pytest.skip(_WALKED)
        for name, reason in CARD_ONLY.items():
            if name in (*getattr(item, "fixturenames", ()), getattr(item, "originalname", "")):
                pytest.skip(reason)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """Stop a test that takes long: it has used its names."""

        def enough(*_: object) -> None:
            raise stand_in.NotOnExecutor(f"{PATIENCE:g} seconds of it are enough")

        before = signal.signal(signal.SIGPROF, enough)
        signal.setitimer(signal.ITIMER_PROF, PATIENCE)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, before)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Iterator[None]:
        """Report tests that need what the executor lacks as skipped."""
        outcome: Any = yield
        report = outcome.get_result()
        if call.excinfo is not None and isinstance(call.excinfo.value, stand_in.NotOnExecutor):
            place = str(item.path), item.location[1] or 0, f"Skipped: {call.excinfo.value}"
            report.outcome, report.longrepr = "skipped", place
        if report.when == "call" and (report.outcome != "skipped" or "enough" in str(call.excinfo)):
            self.done.add(_function(item))


def _function(item: pytest.Item) -> str:
    return item.nodeid.partition("[")[0]
