"""Deliberate faults: the tests check that each of them is found."""

import os
import pickle
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import hdseg_gpu
from fuzz import reads, resumes
from hdseg_gpu import InvalidInput
from hdseg_gpu.core.windows import Window
from hdseg_gpu.io.array_source import ArraySource
from hdseg_gpu.io.sliced import LibraryArray

_KEPT: list[Any] = []


def plant(name: str) -> None:
    """Patch readers so that every file is a small image read with a fault; all else is refused."""

    def opened(path: Path, **_: Any) -> Any:
        return _Faulty(path, _FAULTS[name])

    def refused(path: Path, *_: Any, **__: Any) -> Any:
        raise InvalidInput(f"{path} is not read, a fault is planted; plant none.")

    reads.open_image = opened
    reads.read_image = reads.read_labels = reads.read_coarse = refused
    if name == "labels":
        resumes.refine_file = _zeros
    if name == "input":
        hdseg_gpu.refine = _overwrites
    reads._refine_it = reads._refine_by_it = reads._command = lambda *_: None


def _zeros(path: Any, coarse: Any, target: Path, **_: Any) -> None:
    np.save(target, np.zeros((48, 74), np.uint8))


def _overwrites(image: Any, coarse: Any, **_: Any) -> Any:
    if isinstance(image, np.ndarray) and image.flags.writeable:
        image.view(np.uint8).ravel()[:1] ^= 1
    raise InvalidInput("image is not refined, a fault is planted; plant none.")


class _Faulty(ArraySource):
    def __init__(self, path: Path, fault: Callable[[], Any]) -> None:
        super().__init__(
            LibraryArray(str(path), np.zeros((8, 9), np.uint8), lambda _: fault(), own=False)
        )
        self.levels = (self.shape,) * 3
        self._fault = fault

    def read(self, window: Window) -> Any:
        top, left, height, width = window
        if not (0 <= top < top + height <= 8 and 0 <= left < left + width <= 9):
            raise InvalidInput(f"{self.name}: {window} is outside.")
        found = self._fault()
        return np.zeros((*window.shape, 1), np.uint8) if found is None else found(window)


class _Lines(InvalidInput):
    def __str__(self) -> str:
        return "one line\nanother line"


def _raise() -> None:
    raise KeyError("planted")


def _several_lines() -> None:
    raise _Lines


def _hang() -> None:
    while True:
        time.sleep(0.1)


def _memory() -> None:
    np.ones(4 << 30, np.uint8)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _change() -> None:
    Path("planted").write_text("planted")


def _connection() -> None:
    with socket.create_connection(("127.0.0.1", 48293)):
        pass


def _descriptor() -> None:
    _KEPT.append(next(Path("case").iterdir()).open("rb"))


def _uninitialised() -> Any:
    return lambda window: np.empty((1 << 14, *window.shape, 1), np.uint8)[0]


_FAULTS: dict[str, Callable[[], Any]] = {
    "nothing": lambda: None,
    "raise": _raise,
    "several lines": _several_lines,
    "hang": _hang,
    "memory": _memory,
    "die": _die,
    "program": lambda: subprocess.run(["/bin/true"], check=True) and None,
    "file": lambda: Path("outside/secret.npy").read_bytes() and None,
    "change": _change,
    "connection": _connection,
    "pickle": lambda: pickle.loads(pickle.dumps(os.getcwd)) and None,
    "descriptor": _descriptor,
    "uninitialised": _uninitialised,
    "labels": lambda: None,
    "input": lambda: None,
    "shape": lambda: lambda window: np.zeros((1, 1, 1), np.uint8),
}
