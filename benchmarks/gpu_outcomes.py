"""A plugin for pytest: ``-p benchmarks.gpu_outcomes --outcomes FILE`` saves each test's outcome.

A line of JSON for each test when it ends, whatever becomes of the run. A run that finds lines of
the same sources leaves out the tests that passed; with ``--outcomes-again`` all run. A test
that was under way when a run ended has a line that says so. It runs last the next time, and at most
twice, as does a test that lost the device: the process ends there with `EXIT`.

On the executor (on_executor.py) each test function runs with the first parameters that the executor
can take, and for some seconds at most: this is to meet every name once.
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
# Tests and fixtures that ask for a card by what they measure, not by a name that nobody else has.
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
    """Begin to listen, if there is a file to write to."""
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
        # What passed before stays; the rest will have a new line.
        kept = [t for t in self.known.values() if t["outcome"] in ("passed", BEGUN, LOST)]
        self.tries = {t["test"]: t["tries"] for t in kept if t["outcome"] != "passed"}
        file.write_text("".join(json.dumps(test) + "\n" for test in kept))

    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Leave out what passed or has ended two runs; what ended one comes last."""
        out = {name for name, test in self.known.items() if test["outcome"] == "passed"}
        out |= {name for name, tries in self.tries.items() if tries >= TRIES}
        left_out = [item for item in items if item.nodeid in out]
        items[:] = [item for item in items if item.nodeid not in out]
        items.sort(key=lambda item: item.nodeid in self.tries)
        config.hook.pytest_deselected(items=left_out)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Write that a test has begun: it may be the last that is heard of this process."""
        self.tries[nodeid] = self.tries.get(nodeid, 0) + 1
        self._write(nodeid, BEGUN, 0.0, "the run ended while this test was under way")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write what became of it."""
        if report.when == "call" or report.outcome != "passed":
            reason = _reason(report)
            outcome = LEFT_OUT if reason == _WALKED else report.outcome
            gone = report.outcome == "failed" and lost()
            self._write(report.nodeid, LOST if gone else outcome, report.duration, reason)
            if gone:  # without teardown, which could wait for the device for good
                os._exit(EXIT)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Take it for success that all tests have passed before."""
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
    """Return the last outcome of each test; a line that was cut short does not count."""
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
    """On the executor: each function until it has run with some parameters."""

    def __init__(self) -> None:
        self.done: set[str] = set()
        # An import that is ended half way cannot be repeated.
        with suppress(ImportError):
            import_module("torch")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Make pictures smaller."""
        for module in {item.module for item in items if isinstance(item, pytest.Function)}:
            if min(getattr(module, "SHAPE", SMALL)) > 3 * max(SMALL):
                module.SHAPE = SMALL

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Skip what has run with other parameters, and what only a card can show."""
        if _function(item) in self.done:
            pytest.skip(_WALKED)
        for name, reason in CARD_ONLY.items():
            if name in (*getattr(item, "fixturenames", ()), getattr(item, "originalname", "")):
                pytest.skip(reason)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """End what takes long: it has met its names."""

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
        """Take what the executor lacks for a reason to skip."""
        outcome: Any = yield
        report = outcome.get_result()
        if call.excinfo is not None and isinstance(call.excinfo.value, stand_in.NotOnExecutor):
            place = str(item.path), item.location[1] or 0, f"Skipped: {call.excinfo.value}"
            report.outcome, report.longrepr = "skipped", place
        if report.when == "call" and (report.outcome != "skipped" or "enough" in str(call.excinfo)):
            self.done.add(_function(item))


def _function(item: pytest.Item) -> str:
    return item.nodeid.partition("[")[0]
