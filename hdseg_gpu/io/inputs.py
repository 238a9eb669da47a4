"""The images that a process has open, each tied to the files that its run began with.

A worker may outlive a run, and a file may be replaced by another under its name. So before and
after each read the files are compared with those that the run began with. A few images stay open;
each is closed when the last run that reads it has ended.
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

_MOST = 4  # images that stay open; a run reads two at most


@dataclass(frozen=True)
class Input:
    """An image, or a boundary map: its path, or the open source of an array."""

    where: Path | ImageSource
    level: int = 0
    key: str | None = None
    alpha: bool = False  # whether the last channel is to be ignored
    identity: Identity | None = None  # of its files when the run began; None for an array
    content: str | None = None  # hash of an array's values; None if they are not in memory
    mapped: Path | None = None  # the file of an array that is a memory map
    trust_vrt: bool = False  # whether a virtual mosaic may read whatever it names
    channel_axis: int = -1  # of a file of arrays
    budget: Budget | None = field(default=None, compare=False)  # of the process that reads

    def plain(self) -> dict[str, Any]:
        """Return the plain values by which a resumed run recognises it."""
        if self.identity is None:
            return {"content": self.content, "alpha": self.alpha}
        known = self.identity.plain()
        more = {"level": self.level, "key": self.key, "channel_axis": self.channel_axis}
        return known | more | {"alpha": self.alpha}


def input_of(
    image: Any,
    budget: Budget | None = None,
    level: int = 0,
    key: str | None = None,
    trust_vrt: bool = False,
    channel_axis: int = -1,
    *,
    name: str = "image",
) -> Input:
    """Return an image, given by its path or as an array, with its identity or a hash of its values.

    name: what messages call an array.
    """
    if isinstance(image, str | os.PathLike):
        identity = identity_of(Path(image), key, trusted=trust_vrt)
        return Input(
            Path(image), level, key, identity=identity, trust_vrt=trust_vrt,
            channel_axis=channel_axis, budget=budget,
        )  # fmt: skip
    if name == "image":
        source = open_image(image, level=level, key=key, channel_axis=channel_axis)
    else:
        source = open_array(image, name)
    mapped = getattr(image, "filename", None) if isinstance(image, np.memmap) else None
    given = Input(source, mapped=None if mapped is None else Path(mapped))
    if is_lazy(image):  # not hashed
        return given
    return replace(given, content=_content_of(given))


def _content_of(given: Input) -> str:
    assert isinstance(given.where, ArraySource)
    return content_of(given.where, given.mapped)


def watch_of(where: Any, key: str | None) -> Watch | None:
    """Return the ``Watch`` of a file, which later finds changes of it; None for an array."""
    if not isinstance(where, str | os.PathLike):
        return None
    return Watch(Path(where), key, identity_of(Path(where), key))


def check_values(**inputs: Input | None) -> None:
    """Raise Changed if the values of an array have changed since the run began."""
    for name, given in inputs.items():
        if given is None or given.content is None or not isinstance(given.where, ImageSource):
            continue
        if _content_of(given) != given.content:
            raise Changed(
                f"{name}: the array was changed while the run read it; start over with "
                "overwrite=True."
            )


def check_same(output: Path, plan: dict[str, Any], **inputs: Input | None) -> None:
    """Raise InvalidInput, with what differs, if a run cannot be resumed with these inputs.

    plan: of that run.
    """
    for name, given in inputs.items():
        before = plan.get(name)
        if given is None or not isinstance(before, dict):
            continue  # an input that only one of the runs has is a difference of their plans
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
    users: int = 0  # threads that are reading it
    runs: set[str] = field(default_factory=set)  # that have read it; "": callers without a run
    leaving: bool = False  # whether the last thread that reads it closes it


_open: OrderedDict[Input, _Opened] = OrderedDict()
_ended: deque[str] = deque(maxlen=256)  # runs that are over, or were given up
_lock = Lock()


def source_of(given: Input) -> ImageSource:
    """Return the source of an image; a process opens it once.

    It stays open until ``closed`` is called. Raises Changed if its files are no longer those that
    the run began with.
    """
    if isinstance(given.where, ImageSource):
        return given.where
    with _reserved(given, "") as opened:
        return opened.source


@contextmanager
def reading(given: Input, run: str) -> Iterator[ImageSource]:
    """Keep the source of an image open during the body, and return it.

    Raises Changed if its files, before or after the body, are not those that the run began with,
    and Unfinished if the run has ended.
    """
    if isinstance(given.where, ImageSource):
        yield given.where
        return
    with _reserved(given, run) as opened:
        yield opened.source


def check_unchanged(given: Input | None) -> None:
    """Raise Changed if an image's files are not those that the run began with."""
    if given is not None and isinstance(given.where, Path):
        with _reserved(given, "") as opened:
            opened.watch.check(thoroughly=True)


def check_going_on(run: str) -> None:
    """Raise Unfinished if a run has ended, so that this process stops working for it."""
    if run in _ended:
        raise Unfinished("the run that this tile belongs to was stopped.")


def closed(given: Input) -> None:
    """Close the source of an image, if this process has opened it by its path."""
    with _lock:
        opened = _open.pop(_key(given), None)
        if opened is not None:
            _leave(opened)


def end(run: str) -> None:
    """Close the sources that only this run has read; work that goes on for it stops."""
    with _lock:
        _ended.append(run)
        for key, opened in list(_open.items()):
            opened.runs.discard(run)
            if not opened.runs:
                del _open[key]
                _leave(opened)


@contextmanager
def _reserved(given: Input, run: str) -> Iterator[_Opened]:
    """Keep a source open during the body, and check its files before and after."""
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
            opened.watch.check()  # also after an error, which a change may have caused
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
    """Return an open source; beyond ``_MOST`` of them, those used longest ago are closed."""
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
        channel_axis=given.channel_axis, trust_vrt=given.trust_vrt, later=True,
    )  # fmt: skip
    try:
        watch.check()
    except BaseException:
        source.close()
        raise
    return _Opened(source, watch)


def _leave(opened: _Opened) -> None:
    """Close a source as soon as no thread reads it."""
    opened.leaving = True
    if opened.users == 0:
        opened.source.close()


def _key(given: Input) -> Input:
    return replace(given, alpha=False)  # which makes no difference to how it is read
