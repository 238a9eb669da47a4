"""Calls of all public functions with random arguments."""

import json
import re
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np

import hdseg_gpu
from fuzz import guard, values
from fuzz.oracle import REFUSED, Finding, Judge, Wrong
from fuzz.reads import Place
from hdseg_gpu import Window, metrics

_REFINE = ("method", "scale", "passes", "elements", "unsure", "prune", "beta", "gamma",
           "interpolation", "majority", "ignore_index", "alpha", "backend", "solver", "tol",
           "class_axis", "channel_axis", "max_device_memory", "return_probabilities",
           "return_report")  # fmt: skip
_FILE = (*(n for n in _REFINE if n not in ("channel_axis", "return_probabilities",
                                           "return_report")),
         "max_memory", "workers", "tile", "sigma", "on_error", "level")  # fmt: skip
_NAMES = re.compile(
    "image|coarse|mask|boundary|Window|prediction|truth|label|output|shape|path|dtype|window|element|axis|"
    "backend|does not exist|is not a file|" + "|".join(values.OPTIONS)
)


def try_one(rng: Random, place: Place) -> tuple[list[Finding], str]:
    """Make one call, most often of refine; return the findings and a description of the call."""
    judge = Judge(_NAMES)
    name = rng.choices(tuple(_CALLS), [weight for weight, _ in _CALLS.values()])[0]
    call = _CALLS[name][1](rng, judge, place)
    return judge.findings, f"{name}: {call}"


def _refine(rng: Random, judge: Judge, place: Place) -> str:
    size = values.shape(rng)
    image, coarse = values.image(rng, size), values.coarse(rng, size)
    options = values.options(rng, _REFINE)
    if rng.random() < 0.15:
        options |= {"boundary": _boundary(rng, size), "edges": "boundary"}
    if options.get("elements") is None and rng.random() < 0.05:
        options["elements"] = _elements(rng)
    if rng.random() < 0.02:
        image = values.nasty(rng)
    if rng.random() < 0.02:
        coarse = values.nasty(rng)
    found = _twice(rng, judge, "refine", hdseg_gpu.refine, image, coarse, **options)
    if found is not REFUSED:
        with judge.watching("refine"):
            _check_refined(found, image, coarse, options)
    return _described(options, image, coarse)


def _check_refined(found: Any, image: Any, coarse: Any, options: dict[str, Any]) -> None:
    """Check the results of refine against its documentation."""
    parts = list(found) if isinstance(found, tuple) else [found]
    labels = parts.pop(0)
    image, coarse = np.asarray(image), np.asarray(coarse)
    axis = int(options.get("channel_axis", -1))
    shape = image.shape if image.ndim == 2 else tuple(np.delete(image.shape, axis))
    if labels.shape != shape:
        raise Wrong(f"labels of another shape: {labels.shape}, not {shape}")
    if coarse.ndim == 2:
        if labels.dtype != coarse.dtype.newbyteorder("="):
            raise Wrong(f"labels of another dtype: {labels.dtype}, not {coarse.dtype}")
        if not np.isin(labels, coarse).all():
            raise Wrong("labels that the coarse map does not have")
        count = None
    else:
        count = coarse.shape[int(options.get("class_axis", 0))]
        if labels.min() < 0 or labels.max() >= count:
            raise Wrong("labels that are no class")
    if options.get("return_probabilities"):
        _check_probabilities(parts.pop(0), shape, count, int(options.get("class_axis", 0)))
    if options.get("return_report"):
        report = parts.pop(0)
        json.dumps(report.to_dict(), allow_nan=False)
        if report.shape != shape:
            raise Wrong(f"a report of the shape {report.shape}")
    if parts:
        raise Wrong("more came out than was asked for")


def _check_probabilities(found: Any, shape: tuple[int, ...], count: int | None, axis: int) -> None:
    planes = np.moveaxis(found, axis, 0)
    if planes.dtype != np.float32 or planes.shape[1:] != shape or count not in (None, len(planes)):
        raise Wrong(f"probabilities of the shape {found.shape} and dtype {found.dtype}")
    if not np.isfinite(planes).all() or planes.min() < -1e-3 or planes.max() > 1 + 1e-3:
        raise Wrong("probabilities that are no number from 0 to 1")
    total = planes.sum(axis=0, dtype=np.float64)
    if not ((abs(total - 1) < 0.02 * len(planes)) | (total == 0)).all():
        raise Wrong(f"probabilities whose sums go from {total.min():.3g} to {total.max():.3g}")


def _seeds(rng: Random, judge: Judge, place: Place) -> str:
    mask = values.labels(rng, values.shape(rng))
    options = values.options(rng, ("elements", "passes", "scale", "backend"))
    found = _twice(rng, judge, "seeds", hdseg_gpu.seeds, mask, **options)
    if found is not REFUSED:
        with judge.watching("seeds"):
            labels = np.asarray(mask)
            if found.shape != labels.shape or found.dtype.name not in ("int32", "int64"):
                raise Wrong(f"seeds of the shape {found.shape} and dtype {found.dtype}")
            unsure = found == 0
            if not (unsure | (found == np.where(unsure, 0, labels.astype(np.int64) + 1))).all():
                raise Wrong("a seed of another label than its pixel's")
    return _described(options, mask)


def _thinning(rng: Random, judge: Judge, place: Place) -> str:
    size = values.shape(rng)
    mask, options = values.mask(rng, size), values.options(rng, ("backend",))
    elements = rng.choice(("9x9", "3x3", "3x3", _elements(rng)))
    passes = rng.choice((0, 1, 3, 1 << 62, values.nasty(rng)))
    packed = rng.random() < 0.3
    if packed:
        mask = np.packbits(np.asarray(mask) != 0, axis=1, bitorder="little")
        options["packed_width"] = size[1] if rng.random() < 0.8 else values.nasty(rng)
    found = _twice(rng, judge, "thinning", hdseg_gpu.thinning, mask, elements, passes, **options)
    if found is not REFUSED:
        with judge.watching("thinning"):
            before = np.asarray(mask)
            if found.shape != before.shape or found.dtype != before.dtype:
                raise Wrong(f"thinned to the shape {found.shape} and dtype {found.dtype}")
            grown = (found & ~before).any() if packed else ((found != 0) & (found != before)).any()
            if grown:
                raise Wrong("thinning added pixels")
    return _described({**options, "elements": elements, "passes": passes}, mask)


def _metrics(rng: Random, judge: Judge, place: Place) -> str:
    size = values.shape(rng)
    kind = rng.random()
    first, second = (
        values.labels(rng, size) if kind < 0.7 else values.mask(rng, size) for _ in range(2)
    )
    options = values.options(rng, ("label", "ignore"))
    if kind < 0.7:
        options.setdefault("label", 1)
    function = rng.choice((metrics.iou, metrics.mean_boundary_accuracy))
    found = _twice(rng, judge, function.__name__, function, first, second, **options)
    if found is not REFUSED:
        valid = isinstance(found, float) and (np.isnan(found) or 0 <= found <= 1)
        judge.require(valid, function.__name__, f"a score of {found!r}")
    return _described(options, first, second)


def _structuring(rng: Random, judge: Judge, place: Place) -> str:
    name = rng.choice(("9x9", "3x3", values.nasty(rng)))
    found = judge.attempt("structuring_elements", hdseg_gpu.structuring_elements, name)
    if found is not REFUSED:
        valid = found.dtype == np.int8 and found.ndim == 3 and len(found) == 8
        judge.require(valid, "structuring_elements", f"{found.dtype} {found.shape}")
    return repr(name)


def _array(rng: Random, judge: Judge, place: Place) -> str:
    """Read windows of an array, inside and outside of it."""
    size = values.shape(rng)
    image = values.image(rng, size) if rng.random() < 0.9 else values.nasty(rng)
    if isinstance(image, str):
        image = [image]
    options = values.options(rng, ("level",), 1)
    source = judge.attempt("open_image(array)", hdseg_gpu.open_image, image, **options)
    window = tuple(rng.choice((0, 1, 2, size[i % 2], -1, rng.randint(0, 70))) for i in range(4))
    if rng.random() < 0.1:
        window = (*window[:3], values.nasty(rng))
    if source is not REFUSED:
        found = judge.attempt("read(array)", source.read, Window(*window))
        if found is not REFUSED:
            expected = (*window[2:], source.channels)
            judge.require(found.shape == expected, "read(array)", f"shape {found.shape}")
            inside = 0 <= window[0] <= window[0] + window[2] <= source.shape[0]
            inside &= 0 <= window[1] <= window[1] + window[3] <= source.shape[1]
            judge.require(inside and min(window[2:]) > 0, "read(array)", "a window outside is read")
        source.close()
    return _described({"window": window, **options}, image)


def _refine_file(rng: Random, judge: Judge, place: Place) -> str:
    size = values.shape(rng)
    image, coarse = values.image(rng, size), values.coarse(rng, size)
    options = values.options(rng, _FILE, 3)
    if rng.random() < 0.1:
        options |= {"boundary": _boundary(rng, size), "edges": "boundary"}
    target = place.out / f"labels{rng.choice(('.npy', '.npy', '.png', '.tif', '.zarr', '.x'))}"
    report = judge.attempt("refine_file(arrays)", hdseg_gpu.refine_file, image, coarse, target,
                           **options)  # fmt: skip
    if report is REFUSED:
        judge.require(not target.exists(), "refine_file(arrays)", "an output though refused")
        return _described(options, image, coarse)
    with judge.watching("refine_file(arrays)"), hdseg_gpu.open_image(target) as written:
        shape = np.asarray(image).shape[:2]
        if written.shape != shape:
            raise Wrong(f"labels {written.shape} of an image {shape}")
        found = written.read(Window(0, 0, *shape))[..., 0]
        same = _in_memory(image, coarse, options)
        if same is not None and not (found == same).all():
            raise Wrong("labels that differ from those of refine()")
    names = [each.name for each in place.out.iterdir()]
    judge.require(names == [target.name], "refine_file(arrays)", f"left {names}")
    return _described(options, image, coarse)


def _in_memory(image: Any, coarse: Any, options: dict[str, Any]) -> Any:
    """Return the labels of refine(), None if it does not have the same options."""
    if "sigma" in options:
        return None
    shared = {k: v for k, v in options.items() if k in (*_REFINE, "boundary", "edges")}
    return hdseg_gpu.refine(image, coarse, **shared)


def _create(rng: Random, judge: Judge, place: Place) -> str:
    """Write a label map tile by tile, and read it back."""
    size = values.shape(rng)
    target = place.out / f"made{rng.choice(('.npy', '.png', '.tif', '.zarr', '.x'))}"
    options: dict[str, Any] = {"shape": size}
    if rng.random() < 0.2:
        options["shape"] = rng.choice((values.nasty(rng), (size[0], values.nasty(rng)), (3,)))
    if rng.random() < 0.4:
        dtype = rng.choice(("u1", "u2", "i4", "?", "f4", "O", "x", values.nasty(rng)))
        options["dtype"] = dtype
    output = judge.attempt("create_output", hdseg_gpu.create_output, target, **options)
    if output is REFUSED:
        return repr(options)
    labels = np.zeros(size, output.dtype) if rng.random() < 0.8 else values.labels(rng, size)
    window = Window(0, 0, *size) if rng.random() < 0.8 else Window(1, 0, 3, 2)
    with judge.watching("Output.write"):
        try:
            output.write(window, labels)
        finally:
            judge.attempt("Output.close", output.close)
    return repr(options)


def _elements(rng: Random) -> Any:
    side = rng.choice((1, 3, 5, 9, 2, 11))
    array = np.array([rng.choice((-1, 0, 0, 1)) for _ in range(2 * side * side)], np.int8)
    return array.reshape(2, side, side)


def _boundary(rng: Random, size: tuple[int, int]) -> Any:
    strengths = np.random.default_rng(rng.getrandbits(64)).random(size)
    if rng.random() < 0.1:
        return values.nasty(rng)
    kind = rng.choice(("f4", "f8", "u1", "u2"))
    return values.laid_out(rng, (strengths * (200 if kind[0] == "u" else 1)).astype(kind))


def _twice(
    rng: Random, judge: Judge, step: str, function: Callable[..., Any], *args: Any, **named: Any
) -> Any:
    """Call a function, sometimes twice with different memory fill: results must be equal.

    Input arrays must be unchanged.
    """
    before = [_bytes(each) for each in (*args, *named.values())]
    guard.fill_memory_with(0x55)
    found = judge.attempt(step, function, *args, **named)
    after = [_bytes(each) for each in (*args, *named.values())]
    judge.require(before == after, step, "an input was changed")
    if rng.random() < 0.25:
        guard.fill_memory_with(0xAA)
        again = judge.attempt(step, function, *args, **named)
        same = [_bytes(each) for each in _parts(found)] == [_bytes(each) for each in _parts(again)]
        judge.require(same, step, "two equal calls differ")
    return found


def _parts(found: Any) -> tuple[Any, ...]:
    return found if isinstance(found, tuple) else (found,)


def _bytes(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.dtype.kind != "O":
        return value.shape, str(value.dtype), np.asarray(value).tobytes()
    return repr(value) if isinstance(value, list | float | int) else None


def _described(options: dict[str, Any], *arrays: Any) -> str:
    """Return the arguments of a call as text, arrays by shape and dtype."""
    named = {k: _brief(v) for k, v in options.items()}
    return f"{', '.join(map(_brief, arrays))}, {named}"[:500]


def _brief(value: Any) -> str:
    if isinstance(value, np.ndarray) and value.size > 1:
        return f"{value.dtype}{list(value.shape)}"
    return f"{value!r:.60}"


_CALLS: dict[str, tuple[float, Callable[[Random, Judge, Place], str]]] = {
    "refine": (10, _refine),
    "seeds": (2, _seeds),
    "thinning": (2, _thinning),
    "metrics": (3, _metrics),
    "structuring_elements": (0.2, _structuring),
    "open_image": (2, _array),
    "refine_file": (2, _refine_file),
    "create_output": (1, _create),
}
