"""Everything that the package does with a file, tried on a damaged image."""

import re
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from fuzz import guard
from fuzz.oracle import REFUSED, Judge, Wrong
from hdseg_gpu import InvalidInput, Window, open_image, refine_file
from hdseg_gpu.cli import main
from hdseg_gpu.core.memory import Budget
from hdseg_gpu.io import read_coarse, read_image, read_labels
from hdseg_gpu.io.formats import format_of
from hdseg_gpu.io.paths import is_zarr

_WHOLE = 1 << 20  # pixels read at once
_IN_MEMORY = 32 << 20  # pixels up to which the command reads a whole image
_BLENDED = 64  # of 255, tolerance at the borders of windows
_SHAPE, _GRID = (48, 74), (12, 18)  # of clean images and coarse maps
_ARGUMENTS = "coarse|image|boundary|labels|level|max_memory|PRED|TRUTH"
_KEYS = (None, None, None, "labels/cells", "image", "probabilities", "0", "../outside", "")


class Place:
    """The folders of a worker, and its memory limit in bytes."""

    def __init__(self, root: Path, memory: int) -> None:
        self.root, self.memory = root, memory
        self.budget = Budget(memory, True)
        self.case, self.out, self.tmp, self.outside = (
            root / name for name in ("case", "out", "tmp", "outside")
        )


def try_everything(rng: Random, path: Path, place: Place) -> Judge:
    """Read an image in all ways, and sometimes refine with it."""
    judge = Judge(re.compile(re.escape(path.name) + "|" + _ARGUMENTS))
    size = _windows(rng, judge, path, place)
    if size is None or size[0] * size[1] <= _IN_MEMORY:
        _whole(rng, judge, path, size, place.budget)
    small = size is None or size[0] * size[1] <= 1 << 16
    turn = rng.random()
    if turn < 0.05 and small:
        _refine_it(rng, judge, path, place, size)
    elif turn < 0.09 and small:
        _refine_by_it(rng, judge, path, place, size)
    elif turn < 0.11 and small:
        _command(rng, judge, path, place)
    return judge


def _windows(rng: Random, judge: Judge, path: Path, place: Place) -> tuple[int, int] | None:
    """Open an image twice and read the same windows; return its shape if it can be opened."""
    level = rng.choice((0, 0, 0, 0, 1, 2, -1))
    key = rng.choice(_KEYS) if is_zarr(path) or rng.random() < 0.02 else None
    how = {"level": level, "key": key, "max_memory": place.memory}
    guard.fill_memory_with(0x55)
    first = judge.attempt("open_image", _described, path, how)
    plain = first
    if level != 0 or key is not None:
        plain = judge.attempt("open_image", _described, path, {"max_memory": place.memory})
    size = plain[0] if plain else None
    if not first:
        return size
    shape, channels, dtype = first
    windows = _choice(rng, shape, channels * dtype.itemsize)
    found = judge.attempt("read", _read, path, how, windows)
    guard.fill_memory_with(0xAA)
    again = judge.attempt("read", _read, path, how, windows)
    if found is REFUSED or again is REFUSED:
        return size
    for window, one, other in zip(windows, found, again, strict=True):
        _check_window(judge, window, one, channels, dtype)
        if one is not None and other is not None:
            # If a damaged block decompresses to less, GDAL's HFA leaves the rest uninitialised.
            same = path.suffix == ".img" or one.tobytes() == other.tobytes()
            judge.require(same, "read", "two reads of one window differ")
        else:
            judge.require(one is other, "read", "one window is read, and then refused")
    if windows[0] == Window(0, 0, *shape) and found[0] is not None:
        for window, one in zip(windows[1:], found[1:], strict=True):
            if one is not None:
                part = found[0][window.slices]
                same = part.tobytes() == one.tobytes()
                if _is_slide(path) and level > 0:
                    # If a level's factor is no integer, OpenSlide blends its pixels.
                    same = same or np.abs(part.astype(int) - one).max() <= _BLENDED
                judge.require(same, "read", "a window differs from all")
    if rng.random() < 0.1:
        judge.attempt("read outside", _outside, rng, path, how)
    return size


def _is_slide(path: Path) -> bool:
    found = format_of(path)
    return found is not None and found.extra == "wsi"


def _described(path: Path, how: dict[str, Any]) -> tuple[Any, ...]:
    level = how.get("level", 0)
    with open_image(path, **how) as source:
        shape, channels, dtype = source.shape, source.channels, source.dtype
        if not (len(shape) == 2 and min(*shape, channels) >= 1):
            raise Wrong(f"shape {shape} and {channels} channels")
        if dtype.kind not in "buif" or not dtype.isnative:
            raise Wrong(f"dtype {dtype}")
        if source.levels[level] != shape:
            raise Wrong(f"level {level} of {source.levels} has the shape {shape}")
        if not all(isinstance(n, int) for n in (*shape, channels, *source.storage)):
            raise Wrong(f"sizes that are no int: {shape}, {channels}, {source.storage}")
    return shape, channels, dtype


def _choice(rng: Random, shape: tuple[int, int], pixel: int) -> list[Window]:
    """Return windows of an image: all of it if it is small, its corners, and some inside."""
    height, width = shape
    most = max(1, (1 << 24) // pixel)  # 16 MiB
    found = [Window(0, 0, height, width)] if height * width <= min(_WHOLE, most) else []
    for _ in range(rng.choice((1, 2, 3))):
        h = min(height, rng.choice((1, 2, 7, 16, 40)))
        w = max(1, min(width, rng.choice((1, 3, 16, 17, 200)), most // h))
        top = rng.choice((0, height - h, rng.randint(0, height - h)))
        left = rng.choice((0, width - w, rng.randint(0, width - w)))
        found.append(Window(top, left, h, w))
    return found


def _read(path: Path, how: dict[str, Any], windows: list[Window]) -> list[Any]:
    """Return the pixels of windows, None for those refused."""
    found: list[Any] = []
    with open_image(path, **how) as source:
        for window in windows:
            try:
                found.append(source.read(window))
            except InvalidInput as error:
                if path.name not in str(error) or "\n" in str(error):
                    raise
                found.append(None)
    return found


def _check_window(judge: Judge, window: Window, found: Any, channels: int, dtype: Any) -> None:
    if found is None:
        return
    expected = (*window.shape, channels)
    judge.require(found.shape == expected, "read", f"shape {found.shape}, not {expected}")
    judge.require(found.dtype == dtype, "read", f"dtype {found.dtype}, not {dtype}")
    judge.require(found.flags.c_contiguous, "read", "not C-contiguous")


def _outside(rng: Random, path: Path, how: dict[str, Any]) -> None:
    """Read a window outside the image, which must be refused."""
    with open_image(path, **how) as source:
        height, width = source.shape
        window = rng.choice((
            Window(0, 0, height + 1, 1), Window(0, 0, 1, width + 1), Window(-1, 0, 1, 1),
            Window(0, -1, 1, 1), Window(height, 0, 1, 1), Window(0, width, 1, 1),
            Window(0, 0, 0, 1), Window(0, 0, 1, -1), Window(1 << 62, 0, 1, 1),
        ))  # fmt: skip
        try:
            found = source.read(window)
        except InvalidInput:
            return
    raise Wrong(f"a window outside the image is read, shape {found.shape}")


def _whole(
    rng: Random, judge: Judge, path: Path, size: tuple[int, int] | None, budget: Budget
) -> None:
    """Read a whole image, label map and coarse map."""
    key = rng.choice((None, None, "image", "probabilities")) if path.suffix == ".npz" else None
    guard.fill_memory_with(0x55)
    found = judge.attempt("read_image", _shape_and_digest, path, key, budget)
    guard.fill_memory_with(0xAA)
    again = judge.attempt("read_image", _shape_and_digest, path, key, budget)
    if found is not REFUSED and again is not REFUSED:
        judge.require(found == again, "read_image", "two reads differ")
        if size is not None and path.suffix != ".npy":
            shape = found[0][:2]
            judge.require(shape == size, "read_image", f"shape {shape}, the file has {size}")
    labels = judge.attempt("read_labels", read_labels, path, key, budget)
    if labels is not REFUSED:
        judge.require(labels.ndim == 2, "read_labels", f"{labels.ndim} dimensions")
    if rng.random() < 0.3:
        judge.attempt("read_coarse", read_coarse, path, key, budget)


def _shape_and_digest(path: Path, key: str | None, budget: Budget) -> tuple[tuple[int, ...], str]:
    """Read an image and return shape and digest, so that its pixels are freed."""
    pixels = read_image(path, key, budget).pixels
    return pixels.shape, sha256(np.ascontiguousarray(pixels)).hexdigest()


def _refine_it(
    rng: Random, judge: Judge, path: Path, place: Place, size: tuple[int, int] | None
) -> None:
    """Refine a coarse map at the mutant's resolution."""
    height, width = size or _SHAPE
    grid = max(1, height // 4), max(1, width // 4)
    coarse = _patches(grid)
    _refine(rng, judge, "refine_file(image)", path, coarse, place, size, np.unique(coarse))


def _refine_by_it(
    rng: Random, judge: Judge, path: Path, place: Place, size: tuple[int, int] | None
) -> None:
    """Refine a clean image with the mutant as coarse map or boundary map."""
    if rng.random() < 0.2:
        shape = size or _SHAPE
        image, coarse = _ramp(shape), _patches((max(1, shape[0] // 4), max(1, shape[1] // 4)))
        options = {"boundary": path, "edges": "boundary"}
        _refine(rng, judge, "refine_file(boundary)", image, coarse, place, shape, None, **options)
        return
    height, width = size or _GRID
    shape = height * 2, width * 2
    _refine(rng, judge, "refine_file(coarse)", _ramp(shape), path, place, shape, None)


def _refine(
    rng: Random, judge: Judge, step: str, image: Any, coarse: Any, place: Place,
    size: tuple[int, int] | None, labels: Any, **options: Any,
) -> None:  # fmt: skip
    target = place.out / f"labels{rng.choice(('.tif', '.png', '.npy', '.npy', '.npy'))}"
    report = judge.attempt(
        step, refine_file, image, coarse, target, workers=1, backend="cpu", max_memory=place.memory,
        on_error=rng.choice(("fail", "skip")), **options,
    )  # fmt: skip
    if report is REFUSED:
        judge.require(not target.exists(), step, "an output in spite of a refusal")
        return
    judge.require([p.name for p in place.out.iterdir()] == [target.name], step, "left something")
    with judge.watching(step), open_image(target) as source:
        if size is not None and source.shape != size:
            raise Wrong(f"labels {source.shape} of an image {size}")
        if source.shape[0] * source.shape[1] <= _WHOLE and labels is not None:
            pixels = source.read(Window(0, 0, *source.shape))
            if not np.isin(pixels, labels).all():
                raise Wrong("labels that the coarse map does not have")


def _command(rng: Random, judge: Judge, path: Path, place: Place) -> None:
    """Run a command line in this process; it ends with 0, or with 2 and one line."""
    other = place.out.parent / "inputs"
    line = rng.choice((
        ["refine", path, other / "coarse.npy", "-o", place.out / "labels.png"],
        ["refine", other / "image.npy", path, "-o", place.out / "labels.tif"],
        ["seeds", path, "-o", place.out / "seeds.png", "--scale", "2"],
        ["evaluate", path, other / "labels.npy"],
        ["evaluate", other / "labels.npy", path],
    ))  # fmt: skip
    code = judge.attempt(f"hdseg {line[0]}", main, [*map(str, line), "--json"])
    if code is not REFUSED:
        judge.require(code in (0, 2), f"hdseg {line[0]}", f"exit code {code}")


def write_inputs(folder: Path) -> None:
    """Write the clean files that commands read beside a mutant."""
    folder.mkdir()
    np.save(folder / "image.npy", _ramp(_SHAPE))
    np.save(folder / "coarse.npy", _patches(_GRID))
    np.save(folder / "labels.npy", _patches(_SHAPE))


def _ramp(shape: tuple[int, int]) -> Any:
    y, x = np.mgrid[: shape[0], : shape[1]]
    return (5 * y + 3 * x).astype(np.uint8)


def _patches(shape: tuple[int, int]) -> Any:
    y, x = np.mgrid[: shape[0], : shape[1]]
    return ((y // 4 + x // 4) % 3).astype(np.uint8)
