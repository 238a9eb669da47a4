"""Validation of task records; an invalid record is treated as missing.

Records are files, which may be stale, damaged or forged, and their values become indices and sums.
So each is checked first: every value must be one that the phase's task can return.
"""

import re
from collections.abc import Callable
from itertools import pairwise
from math import isfinite
from typing import Any

from hdseg_gpu.core.plain import restored
from hdseg_gpu.core.report import Tally
from hdseg_gpu.core.tiles import BLOCK
from hdseg_gpu.core.windows import Window
from hdseg_gpu.engine.disk_store import DiskStore
from hdseg_gpu.engine.names import kind_of, number_of
from hdseg_gpu.engine.store import Result
from hdseg_gpu.io.inputs import source_of
from hdseg_gpu.pipeline.doubt import patch_at, patches_of
from hdseg_gpu.pipeline.rounds import WIDE


def is_possible(store: DiskStore, phase: str, index: int, result: Result) -> bool:
    """Return whether a task of a phase could have returned this result."""
    check, own = _CHECKS[kind_of(phase)], dict(result)
    try:
        _envelope(own.pop("seconds"), own.pop("fallback", ""))
        check(store, phase, index, own)
    except (ValueError, TypeError, KeyError, OverflowError):
        return False
    return True


def _envelope(seconds: Any, fallback: Any) -> None:
    """Check what the store adds to the results of all tasks."""
    _true(isinstance(seconds, dict) and isinstance(fallback, str))
    _true(all(isfinite(_number(spent)) and spent >= 0 for spent in seconds.values()))


def _statistics(store: DiskStore, phase: str, index: int, result: Result) -> None:
    """Check the statistics of a tile's blocks, or of one patch if sigma was passed."""
    whole = store.tiles.core(index) if store.sigma is None else patch_at(store.shape, index)
    _only(result, "blocks", "pixels")
    _equal(result["pixels"], _pixels(whole))
    blocks = list(whole.divided(BLOCK)) if store.sigma is None else [whole]
    places = {(b.top, b.left): _pixels(b) for b in blocks}
    channels = 1 if phase == "edges" else source_of(store.image).channels - store.image.alpha
    found = _list(result["blocks"])
    _true(len(found) == len(blocks) or (store.skip and len(found) < len(blocks)))
    for block in found:
        top, left, pixels, means, squares = _list(block)
        _equal(places.pop((_whole(top), _whole(left))), _whole(pixels))
        _true(len(_list(means)) == channels and all(isfinite(_number(m)) for m in means))
        _true(isfinite(_number(squares)) and squares >= 0)


def _seeds(store: DiskStore, phase: str, index: int, result: Result) -> None:
    core = store.seed_tiles.core(index)
    occurring = result.keys() & {"before", "after"}
    _only(result, "patches", "unknown", "pixels", "planes", *occurring)
    _true(("after" in occurring) == (phase == f"seeds{len(WIDE)}"))
    _true("before" in occurring or phase != "seeds0")
    _equal(result["pixels"], _pixels(core))
    *cells, known = _list(result["planes"])
    _equal(known, f"known{number_of(phase)}")
    _true(len(cells) <= 1)
    _true(all(re.fullmatch(r"cells\d+", c) is not None for c in cells))
    patches, unknown = _ascending(result["patches"]), _list(result["unknown"])
    _true(len(patches) == len(unknown))
    columns = patches_of(store.shape)[1]
    for patch, count in zip(patches, unknown, strict=True):
        _true(patch < columns * patches_of(store.shape)[0])
        common = patch_at(store.shape, patch).intersection(core)
        _true(common is not None and 0 < _whole(count) <= _pixels(common))
    for name in occurring:
        classes = _ascending(result[name])
        _true(not classes or classes[-1] < store.coarse.count)
    _true("before" not in occurring or len(result["before"]) > 0)


def _measure(store: DiskStore, phase: str, index: int, result: Result) -> None:
    _only(result, "counts", "pixels")
    size = store.shape[0] * store.shape[1]
    _true(0 <= _whole(result["pixels"]) <= size and (result["pixels"] > 0 or store.skip))
    total, wrong = (_list(counts) for counts in _list(result["counts"]))
    _true(len(total) == len(wrong) == store.coarse.count)
    _true(all(0 <= _whole(w) <= _whole(t) for t, w in zip(total, wrong, strict=True)))
    _true(sum(total) <= result["pixels"])


def _redraw(store: DiskStore, phase: str, index: int, result: Result) -> None:
    _equal(result["pixels"], _pixels(store.tiles.core(index)))
    if "skipped" in result:
        _only(result, "skipped", "pixels")
        _skipped(store, result)
    else:
        _only(result, "planes", "pixels")
        _equal(result["planes"], [f"classes{number_of(phase) + 1}"])


def _tiles(store: DiskStore, phase: str, index: int, result: Result) -> None:
    more = ("skipped",) if "skipped" in result else ()
    _only(result, "planes", "pixels", "tally", *more)
    if more:
        _skipped(store, result)
    size = _pixels(store.tiles.core(index))
    _equal(result["pixels"], size)
    _equal(result["planes"], ["labels"])
    tally = restored(Tally, result["tally"])
    _true(0 <= tally.unknown_pixels <= size and tally.refined_pixels >= 0)
    _true(0 <= (tally.uncertified_pixels or 0) <= size)
    _true(min(tally.systems, tally.right_hand_sides, tally.iterations) >= 0)


# For each phase in ``names.PHASES``.
_CHECKS: dict[str, Callable[[DiskStore, str, int, Result], None]] = {
    "statistics": _statistics,
    "edges": _statistics,
    "seeds": _seeds,
    "measure": _measure,
    "redraw": _redraw,
    "tiles": _tiles,
}


def _true(holds: bool) -> None:
    if not holds:
        raise ValueError


def _equal(value: Any, expected: Any) -> None:
    _true(type(value) is type(expected) and value == expected)


def _only(result: Result, *names: str) -> None:
    _true(result.keys() == set(names))


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _whole(value: Any) -> int:
    if type(value) is not int:  # bools are none
        raise TypeError
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        raise TypeError
    return float(value)


def _ascending(value: Any) -> list[int]:
    found = [_whole(v) for v in _list(value)]
    _true(not found or found[0] >= 0)
    _true(all(a < b for a, b in pairwise(found)))
    return found


def _skipped(store: DiskStore, result: Result) -> None:
    _true(store.skip and isinstance(result["skipped"], str))


def _pixels(window: Window) -> int:
    return window.height * window.width
