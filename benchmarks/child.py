"""Runs a contestant in a fresh process; measures seconds and the growth of peak memory there.

The child first imports the contestant's module and loads its arrays, so that neither counts; then
every request runs it once. A contestant is a function of arrays, loaded from .npy files named like
its parameters, and of keyword options. It returns an array and a dictionary of remarks; the remark
"unmeasured" gives seconds to add for passes that were not run.
"""

import gc
import inspect
import os
import pickle
import resource
import subprocess
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any, BinaryIO, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Contestant = Callable[..., tuple[NDArray[Any], dict[str, Any]]]
ROOT = Path(__file__).resolve().parent.parent


class Run(NamedTuple):
    """One run of a contestant."""

    seconds: float
    peak_mib: float  # growth of peak resident memory during the run
    remarks: dict[str, Any]


class Clock:
    """A timer for pytest-benchmark that advances by the seconds measured in children."""

    __name__ = "clock"

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return the seconds measured so far."""
        return self.now


clock = Clock()


class Child:
    """The parent's side; ``with Child(...) as child: child.run(...)``."""

    def __init__(self, contestant: Contestant, folder: Path, threads: int | None = None) -> None:
        environment = {"OPENBLAS_NUM_THREADS": "1", **os.environ}
        if threads is not None:
            environment["OMP_NUM_THREADS"] = str(threads)
        name = f"{contestant.__module__}:{contestant.__name__}"
        self._process = subprocess.Popen(
            # -P: import the installed package, not the source folder beside this file.
            [sys.executable, "-P", __file__, name, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=environment,
        )

    def run(self, **options: Any) -> Run:
        """Run the contestant once."""
        return Run(*self._ask(options))

    def result(self) -> NDArray[Any]:
        """Return the array of the last run."""
        array: NDArray[Any] = self._ask(None)
        return array

    def _ask(self, request: dict[str, Any] | None) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        pickle.dump(request, self._process.stdin)
        self._process.stdin.flush()
        try:
            return pickle.load(self._process.stdout)
        except EOFError:
            raise RuntimeError(f"the child ended with {self._process.wait()}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # closes its input, which ends it


def main(name: str, folder: Path, requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until there are no more."""
    module, _, function = name.partition(":")
    contestant = getattr(import_module(module), function)
    parameters = inspect.signature(contestant).parameters.values()
    arrays = {p.name: np.load(folder / f"{p.name}.npy")
              for p in parameters if p.kind is not p.KEYWORD_ONLY}  # fmt: skip
    array: NDArray[Any] | None = None
    while True:
        try:
            request = pickle.load(requests)
        except EOFError:
            return
        if request is not None:
            array = None
            answer, array = _measure(contestant, arrays, request)
        pickle.dump(array if request is None else tuple(answer), answers, protocol=5)
        answers.flush()


def _measure(
    contestant: Contestant, arrays: dict[str, NDArray[Any]], options: dict[str, Any]
) -> tuple[Run, NDArray[Any]]:
    gc.collect()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        before = _reset_peak()
        start = perf_counter()
        array, remarks = contestant(**arrays, **options)
        seconds = perf_counter() - start
        peak = (_peak() - before) / 1024
    said = {str(w.message).partition(". ")[0] for w in caught if w.category is UserWarning}
    if said:
        remarks["warnings"] = sorted(said)
    return Run(seconds + remarks.pop("unmeasured", 0.0), peak, remarks), array


def _reset_peak() -> int:
    """Reset peak memory if permitted; return the memory in KiB from which growth is measured."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return _peak()
    return _status("VmRSS")


def _peak() -> int:
    return _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _status(key: str) -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(key)), 0)


if __name__ == "__main__":
    sys.path.append(str(ROOT))
    # Output printed by libraries must not mix with the answers.
    with os.fdopen(os.dup(1), "wb") as _answers:
        os.dup2(2, 1)
        main(sys.argv[1], Path(sys.argv[2]), sys.stdin.buffer, _answers)
