"""Starts workers, kills those that hang, and attributes deaths to cases."""

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from time import monotonic

from fuzz.oracle import Finding, innermost_of_text

_PORT = 48293  # the port in fuzz.formats.xml
_PER_WORKER = 1000
_START_SECONDS = 120.0
_ROOM = 4 << 30  # bytes


@dataclass(frozen=True)
class Settings:
    """Limits and seed of a run."""

    seed: int = 2718
    seconds: float = 30.0  # per case
    memory: int = 1 << 30  # limit of a worker in bytes
    plant: str | None = None  # a fault planted by the tests


@dataclass
class Tally:
    """The cases and findings of a run."""

    cases: dict[str, int] = field(default_factory=dict)
    found: list[Finding] = field(default_factory=list)


class Monitor:
    """Runs cases, one worker at a time; several monitors may run in parallel."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.tally = settings, Tally()
        self._folder = Path(tempfile.mkdtemp(prefix="hdseg-fuzz-", dir=_fast_folder()))
        self._workers = 0
        self._listener: socket.socket | None = None
        with suppress(OSError):  # another run listens there
            self._listener = socket.create_server(("127.0.0.1", _PORT))
            self._listener.setblocking(False)

    def run(self, cases: Iterator[str], until: float | None = None) -> Iterator[str]:
        """Yield each case after it has been tried, until none is left or the time is over."""
        waiting: list[str] = []
        while until is None or monotonic() < until:
            waiting += islice(cases, _PER_WORKER - len(waiting))
            if not waiting:
                return
            for case in self._served(tuple(waiting), until):
                waiting.remove(case)
                name = case.partition(":")[0]
                self.tally.cases[name] = self.tally.cases.get(name, 0) + 1
                yield case

    def close(self) -> None:
        """Remove the folders of all workers."""
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._listener is not None:
            self._listener.close()

    def _served(self, cases: tuple[str, ...], until: float | None) -> Iterator[str]:
        """Yield the cases that one worker tries until it ends for any reason."""
        self._workers += 1
        root = self._folder / f"worker{self._workers}"
        log = self._folder / "log"
        source, sink = os.pipe()
        spec = {
            "pipe": sink, "root": str(root), "seed": self.settings.seed, "cases": cases,
            "memory": self.settings.memory, "plant": self.settings.plant,
        }  # fmt: skip
        with log.open("w+b") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "fuzz.worker", json.dumps(spec)], pass_fds=(sink,),
                stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=_environment(),
                cwd=Path(__file__).parents[1],
            )  # fmt: skip
            os.close(sink)
            try:
                yield from self._followed(process, source, log, until)
            finally:
                os.close(source)
                process.kill()
                process.wait()
                shutil.rmtree(root, ignore_errors=True)

    def _followed(
        self, process: subprocess.Popen[bytes], source: int, log: Path, until: float | None
    ) -> Iterator[str]:
        """Read a worker's messages; a case that hangs or kills the worker is a finding."""
        begun: str | None = None
        deadline, rest = monotonic() + _START_SECONDS, b""
        while True:
            ready, _, _ = select.select([source], [], [], max(0.0, deadline - monotonic()))
            data = os.read(source, 1 << 20) if ready else None
            if data is None:
                process.send_signal(signal.SIGABRT)  # faulthandler prints the stack
                with suppress(subprocess.TimeoutExpired):
                    process.wait(5)
                process.kill()
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                message = json.loads(line)
                if "begin" in message:
                    begun = message["begin"]
                elif "end" in message:
                    begun = None
                    self._keep([Finding(**each) for each in message["found"]], message["end"])
                    yield message["end"]
                    if until is not None and monotonic() >= until:
                        return
                elif "done" in message:
                    return
                deadline = monotonic() + self.settings.seconds
        process.wait()
        trace = log.read_text(errors="replace")[-20_000:]
        if begun is None:
            raise RuntimeError(f"a worker ended before it tried anything:\n{trace}")
        self._keep([self._death(process.returncode, data is None, trace)], begun)
        yield begun

    def _death(self, code: int, hung: bool, trace: str) -> Finding:
        where = innermost_of_text(trace)
        if hung:
            said = f"not done after {self.settings.seconds:g} s"
            return Finding("hang", "time", where, said, "whole case", trace)
        if code >= 0:
            last = trace.strip().rpartition("\n")[2]
            return Finding("fuzzer", f"exit code {code}", where, last, "whole case", trace)
        name = signal.Signals(-code).name
        return Finding("signal", name, where, "the process ended", "whole case", trace)

    def _keep(self, found: list[Finding], case: str) -> None:
        self.tally.found += [Finding(**{**each.to_dict(), "case": case}) for each in found]
        if self._listener is not None:
            with suppress(BlockingIOError):
                while True:
                    self._listener.accept()[0].close()
                    said = "a connection to a listening port"
                    self.tally.found.append(
                        Finding("outside", "network", "", said, "whole case", case=case)
                    )


def _fast_folder() -> str | None:
    """Return a folder in memory, if one has room, because files are often written and synced."""
    folder = "/dev/shm"
    roomy = os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > _ROOM
    return folder if roomy else None


def _environment() -> dict[str, str]:
    """Return an environment in which a case has one thread and no proxies."""
    kept = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    return {**kept, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "GDAL_NUM_THREADS": "1",
            "PYTHONFAULTHANDLER": "1"}  # fmt: skip


def numbered(campaign: str, start: int, count: int | None) -> Iterator[str]:
    """Yield names of cases."""
    number = start
    while count is None or number < start + count:
        yield f"{campaign}:{number}"
        number += 1
