"""Runs resumed from a tampered folder: files damaged, swapped, linked or forged."""

import os
import re
import shutil
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from fuzz import blind
from fuzz.formats import json_text
from fuzz.oracle import REFUSED, Finding, Judge, Wrong
from fuzz.reads import Place
from hdseg_gpu import HdsegError, refine_file

_NAME = "labels.npy"
_FOLDER = f".{_NAME}.hdseg"
_Files = dict[str, bytes]


class _Stop(HdsegError):
    """Interrupts a run."""


def prepared(rng: Random, place: Place) -> Callable[[], tuple[list[Finding], str]]:
    """Write a changed folder; return a function that resumes its run and returns the findings."""
    expected, snapshots = begun(place)
    files = dict(rng.choice(snapshots))
    how, forged = [], False
    folder = place.out / _FOLDER
    for _ in range(rng.choice((1, 1, 2))):
        name, change, resealed = _change(rng, files, rng.choice(snapshots))
        how.append(f"{change} {name}")
        forged |= resealed
    _write(folder, files)
    if rng.random() < 0.2:
        how.append(_link(rng, place, folder))
    options = rng.choice((*({"resume": True},) * 3, {"overwrite": True}))

    def act() -> tuple[list[Finding], str]:
        judge = Judge(re.compile("hdseg|labels|image|coarse|output"))
        _resume(judge, place, options, expected, forged)
        return judge.findings, f"{next(iter(options))}: {', '.join(how)}"

    return act


def _resume(
    judge: Judge, place: Place, options: dict[str, Any], expected: Any, forged: bool
) -> None:
    """Resume and compare; after forgery any labels of the coarse map are allowed."""
    report = judge.attempt("refine_file(resume)", _refine, place, options)
    target = place.out / _NAME
    if report is REFUSED:
        judge.require(not target.exists(), "refine_file(resume)", "an output though refused")
    else:
        with judge.watching("refine_file(resume)"):
            found = np.load(target)
            if found.shape != expected.shape or found.dtype != expected.dtype:
                raise Wrong(f"labels of the shape {found.shape} and dtype {found.dtype}")
            if not forged and not (found == expected).all():
                raise Wrong("labels that differ from those of a run that was not interrupted")
            if not np.isin(found, expected).all():
                raise Wrong("labels that the coarse map does not have")


def _refine(place: Place, options: dict[str, Any]) -> Any:
    inputs = place.root / "inputs"
    return refine_file(
        inputs / "image.npy", inputs / "coarse.npy", place.out / _NAME, workers=1, backend="cpu",
        max_memory=place.memory, **options,
    )  # fmt: skip


@cache
def begun(place: Place) -> tuple[Any, list[_Files]]:
    """Return the labels of an uninterrupted run, and the folders of some interrupted ones."""
    steps = 0

    def count(_: Any) -> None:
        nonlocal steps
        steps += 1

    _refine(place, {"progress": count})
    expected = np.load(place.out / _NAME)
    (place.out / _NAME).unlink()
    snapshots = []
    for last in range(2, steps + 1, max(1, steps // 6)):
        left = last

        def stop(_: Any) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise _Stop("stopped")

        try:
            _refine(place, {"progress": stop, "overwrite": True})
        except HdsegError:
            found = _read(place.out / _FOLDER)
            if found:
                snapshots.append(found)
        (place.out / _NAME).unlink(missing_ok=True)
    shutil.rmtree(place.out / _FOLDER, ignore_errors=True)
    return expected, snapshots


def _read(folder: Path) -> _Files:
    paths = sorted(each for each in folder.rglob("*") if each.is_file())
    return {str(each.relative_to(folder)): each.read_bytes() for each in paths}


def _write(folder: Path, files: _Files) -> None:
    """Write files for this user alone, as runs do."""
    folder.mkdir(mode=0o700)
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o600)


def _change(rng: Random, files: _Files, others: _Files) -> tuple[str, str, bool]:
    """Change one file; return its name, the change, and whether its checksum is right."""
    name = rng.choice(sorted(files) or ["run.json"])
    kind = rng.randrange(8)
    data = files.get(name, b"")
    if kind == 0:
        files.pop(name, None)
        return name, "without", False
    if kind == 1:
        files[name] = files.get(rng.choice(sorted(files) or [name]), b"")
        return name, "another", True
    if kind == 2:
        files[name] = others.get(name, b"")
        return name, "of another run", True
    if kind == 3:
        new = rng.choice(("x", "tiles/x", "tiles/00000009.json", ".hdseg-x", "output.npy"))
        files.setdefault(new, data)
        return new, "added", True
    seal, space, text = data.partition(b" ")
    if kind <= 5 and space and len(seal) == 8:
        text = json_text.changed(rng, text)
        files[name] = b"%08x %s" % (zlib.crc32(text), text)
        return name, "forged", True
    files[name] = blind.changed(rng, data)
    return name, "damaged", False


def _link(rng: Random, place: Place, folder: Path) -> str:
    """Replace a file in the folder, or the folder itself, by a link."""
    names = sorted(str(each.relative_to(folder)) for each in folder.rglob("*"))
    name = rng.choice([*names, "lock", "run.json", "."])
    target = rng.choice(("secret.tif", "secret.npy", "", "fifo", "nothing"))
    if name == ".":
        shutil.rmtree(folder)
        folder.symlink_to(place.outside)
        return "the folder is a link"
    path = folder / name
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    kind = rng.randrange(3)
    if kind == 0 or not target:
        path.symlink_to(place.outside / target)
    elif kind == 1 and (place.outside / target).is_file():
        os.link(place.outside / target, path)
    else:
        os.mkfifo(path)
    return f"{name} leads to {target or 'a folder'}"
