"""The pictures that this process has open, each tied to the files that its run began with.

Workers outlive runs, and paths outlive files: whoever reads asks first, and afterwards, whether the
files are still the same. What is open is bounded, and is closed when the runs that read it end.
"""

import os
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from hdseg_gpu.core.errors import InvalidInput, Unfinished
from hdseg_gpu.core.locks import Lock
from hdseg_gpu.core.memory import Budget, budget_of
from hdseg_gpu.io import open_image
from hdseg_gpu.io.array_source import ArraySource, open_array
from hdseg_gpu.io.identity import Changed, Identity, Watch, content_of, difference, identity_of
from hdseg_gpu.io.open import open_within
from hdseg_gpu.io.sliced import is_lazy
from hdseg_gpu.io.source import ImageSource

_MOST = 4  # that stay open: a run has two at most


@dataclass(frozen=True)
class Input:
    """A picture: where it is, or the open source itself where it has no path."""

    where: Path | ImageSource
    level: int = 0
    key: str | None = None
    alpha: bool = False  # whether the last channel is to be ignored
    identity: Identity | None = None  # of its files when the run began
    content: str | None = None  # hash of an array's values, None where they are not in memory
    mapped: Path | None = None  # the file that an array shows, if it is a memory map
    trust_vrt: bool = False  # whether a virtual mosaic may read whatever it names
    budget: Budget | None = field(default=None, compare=False)  # of the process that reads

    def plain(self) -> dict[str, Any]:
        """Return what tells it from another picture, for the plan of a run."""
        if self.identity is None:
            return {"content": self.content, "alpha": self.alpha}
        known = self.identity.plain()
        return known | {"level": self.level, "key": self.key, "alpha": self.alpha}


def input_of(
    image: Any,
    budget: Budget | None = None,
    level: int = 0,
    key: str | None = None,
    trust_vrt: bool = False,
    *,
    name: str = "image",
) -> Input:
    """Return a picture, by its path or as an array, with what it is now.

    name: what messages call an array.
    """
    if isinstance(image, str | os.PathLike):
        identity = identity_of(Path(image), key, trusted=trust_vrt)
        return Input(Path(image), level, key, identity=identity, trust_vrt=trust_vrt, budget=budget)
    is_image = name == "image"
    source = open_image(image, level=level, key=key) if is_image else open_array(image, name)
    mapped = getattr(image, "filename", None) if isinstance(image, np.memmap) else None
    given = Input(source, mapped=None if mapped is None else Path(mapped))
    if is_lazy(image):  # not hashed
        return given
    return replace(given, content=_content_of(given))


def _content_of(given: Input) -> str:
    assert isinstance(given.where, ArraySource)
    return content_of(given.where, given.mapped)


def watch_of(where: Any, key: str | None) -> Watch | None:
    """Return what later shows whether a file has changed; None for an array."""
    if not isinstance(where, str | os.PathLike):
        return None
    return Watch(Path(where), key, identity_of(Path(where), key))


def check_values(**inputs: Input | None) -> None:
    """Raise Changed where an array does not have the values that the run began with."""
    for name, given in inputs.items():
        if given is None or given.content is None or not isinstance(given.where, ImageSource):
            continue
        if _content_of(given) != given.content:
            raise Changed(
                f"{name}: the array was changed while the run read it; start over with "
                "overwrite=True."
            )


def check_same(output: Path, plan: dict[str, Any], **inputs: Input | None) -> None:
    """Refuse to resume a run with such a plan with other pictures, and say what differs."""
    for name, given in inputs.items():
        before = plan.get(name)
        if given is None or not isinstance(before, dict):
            continue  # the plans differ, if there is one
        why = _why_another(before, given.plain())
        if why:
            raise InvalidInput(
                f"output {output} cannot be resumed: {name} {why}; resume with the same, or start "
                "over with overwrite=True."
            )


def _why_another(before: dict[str, Any], now: dict[str, Any]) -> str:
    if "content" not in before and "content" not in now:
        differs = difference(before, now)
        return differs and f"was another ({now['path']}: {differs})"
    if "content" not in before or "content" not in now:
        return "was {} and is {} now".format(
            *("an array" if "content" in each else "a file" for each in (before, now))
        )
    if now["content"] is None or before["content"] is None:
        return "is an array that is read lazily, and cannot be told from another one"
    return "" if before["content"] == now["content"] else "was an array with other values"


@dataclass
class _Opened:
    source: ImageSource
    watch: Watch
    users: int = 0  # threads that read just now
    runs: set[str] = field(default_factory=set)  # "": whoever opened it without a run
    leaving: bool = False  # to be closed by its last user


_open: OrderedDict[Input, _Opened] = OrderedDict()
_ended: deque[str] = deque(maxlen=256)  # runs that are over, or were given up
_lock = Lock()


def source_of(given: Input) -> ImageSource:
    """Return an open source of the files that the run began with; a process opens it once.

    It stays open until it is `closed`. Raises Changed where other files are there now.
    """
    if isinstance(given.where, ImageSource):
        return given.where
    with _reserved(given, "") as opened:
        return opened.source


@contextmanager
def reading(given: Input, run: str) -> Iterator[ImageSource]:
    """Return a source for the body; what was read there is of the files that the run began with.

    Raises Changed if it is not, and Unfinished if the run is over.
    """
    if isinstance(given.where, ImageSource):
        yield given.where
        return
    with _reserved(given, run) as opened:
        yield opened.source


def check_unchanged(given: Input | None) -> None:
    """Raise Changed if a picture's files are not those that the run began with."""
    if given is not None and isinstance(given.where, Path):
        with _reserved(given, "") as opened:
            opened.watch.check(thoroughly=True)


def check_going_on(run: str) -> None:
    """Raise Unfinished if a run was given up: what this process does for it is in vain."""
    if run in _ended:
        raise Unfinished("the run that this tile belongs to was stopped.")


def closed(given: Input) -> None:
    """Close a source that this process has opened by its path."""
    with _lock:
        opened = _open.pop(_key(given), None)
        if opened is not None:
            _leave(opened)


def end(run: str) -> None:
    """Close what only this run has read, and stop what is still done for it."""
    with _lock:
        _ended.append(run)
        for key, opened in list(_open.items()):
            opened.runs.discard(run)
            if not opened.runs:
                del _open[key]
                _leave(opened)


@contextmanager
def _reserved(given: Input, run: str) -> Iterator[_Opened]:
    """Keep a source open for the body, before and after which its files are looked at."""
    check_going_on(run)
    with _lock:
        opened = _taken(given)
        opened.users += 1
        opened.runs.add(run)
    try:
        opened.watch.check()
        try:
            yield opened
        finally:
            opened.watch.check()  # also of what failed: it may be due to the change
    except Changed:
        with _lock:
            if _open.get(_key(given)) is opened:
                del _open[_key(given)]
            opened.leaving = True
        raise
    finally:
        with _lock:
            opened.users -= 1
            if opened.leaving:
                _leave(opened)


def _taken(given: Input) -> _Opened:
    """Return what is open, or open it and close what was used longest ago."""
    key = _key(given)
    if key not in _open:
        _open[key] = _opened(given)
    _open.move_to_end(key)
    for other, opened in list(_open.items())[:-_MOST]:
        if "" not in opened.runs:
            del _open[other]
            _leave(opened)
    return _open[key]


def _opened(given: Input) -> _Opened:
    path = Path(str(given.where))
    trusted = given.trust_vrt
    known = given.identity or identity_of(path, given.key, trusted=trusted)
    watch = Watch(path, given.key, known, trusted=trusted)
    source = open_within(
        given.budget or budget_of(None), path, level=given.level, key=given.key,
        trust_vrt=given.trust_vrt, later=True,
    )  # fmt: skip
    try:
        watch.check()
    except BaseException:
        source.close()
        raise
    return _Opened(source, watch)


def _leave(opened: _Opened) -> None:
    """Close a source as soon as nobody reads it."""
    opened.leaving = True
    if opened.users == 0:
        opened.source.close()


def _key(given: Input) -> Input:
    return replace(given, alpha=False)  # which is for those who have read it
