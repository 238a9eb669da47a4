"""Gigapixel images with ground truth, built in bounded memory.

A mosaic of the 16 fundus images of the HRF data set with their expert vessel masks (CC BY 4.0;
HDSEG_DATA/large/hrf_grid), rotated and mirrored, or of generated images if these are missing.
Vessels are foreground in a fraction of the mosaic's fields only, which varies the length of
boundaries but not the image. The coarse map is the mask averaged over 8 x 8 pixels.
"""

import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu import Window
from hdseg_gpu.io import create_output, read_image

SCALE = 8
# Percentage of unknown pixels, about -> fraction of the fields with vessels.
SHARES = {"1": 0.043, "2.5": 0.114, "5": 0.214, "10": 0.38}
SOURCES = 16
FIELD = (1168, 876)  # pixels: a fundus image has 2 x 4 such fields
_TILE = 512


class Source(NamedTuple):
    """One field: an image and its mask."""

    image: NDArray[np.uint8]  # (H, W, 3)
    mask: NDArray[np.bool_]  # (H, W)


def load_sources(folder: Path | None) -> list[Source]:
    """Return the fundus images in HDSEG_DATA, or generated ones."""
    names = [] if folder is None else sorted((folder / "large" / "hrf_grid").glob("*_mask.png"))
    if not names:
        return [generated(i) for i in range(SOURCES)]
    found = []
    for name in names:
        image = read_image(name.with_name(name.name.replace("_mask.png", ".jpg"))).pixels
        mask = read_image(name).pixels > 0
        for top in range(0, mask.shape[0] - FIELD[0] + 1, FIELD[0]):
            for left in range(0, mask.shape[1] - FIELD[1] + 1, FIELD[1]):
                part = Window(top, left, *FIELD).slices
                found.append(Source(image[part], mask[part]))
    return found


def generated(seed: int, shape: tuple[int, int] = FIELD) -> Source:
    """Return an image with branching bright lines, and their mask."""
    rng = np.random.default_rng(1000 + seed)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    mask = np.zeros(shape, np.bool_)
    for _ in range(12):
        angle, phase = rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi)
        along, across = (x * np.cos(angle) + y * np.sin(angle),
                         y * np.cos(angle) - x * np.sin(angle))  # fmt: skip
        middle = rng.uniform(across.min(), across.max())
        bent = middle + rng.uniform(10, 60) * np.sin(along / rng.uniform(60, 300) + phase)
        mask |= np.abs(across - bent) < rng.uniform(3, 14)
    shade = 90 + 40 * np.sin(x / 311 + seed) * np.cos(y / 257)
    image = shade[..., None] + mask[..., None] * np.array([60, -25, 15], np.float32)
    image = image + rng.normal(0, 9, (*shape, 3))
    return Source(image.clip(0, 255).astype(np.uint8), mask)


class Mosaic:
    """A square image of fields, whose windows are made on demand."""

    def __init__(self, sources: list[Source], side: int, share: float) -> None:
        self.sources, self.side, self.share = sources, side, share
        self.field = sources[0].mask.shape

    def image(self, window: Window) -> NDArray[np.uint8]:
        """Return a window of the image, (height, width, 3)."""
        return self._assembled(window, lambda source, _: source.image, (3,), np.uint8)

    def mask(self, window: Window) -> NDArray[np.bool_]:
        """Return a window of the true mask."""
        empty = np.zeros(self.field, np.bool_)

        def of(source: Source, chance: float) -> NDArray[np.bool_]:
            return source.mask if chance < self.share else empty

        return self._assembled(window, of, (), np.bool_)

    def coarse(self, window: Window) -> NDArray[np.uint8]:
        """Return a window of the coarse map, which is ceil(side / 8) pixels wide."""
        fine = Window(*(SCALE * n for n in window))
        mask = self.mask(fine).reshape(window.height, SCALE, window.width, SCALE)
        return (2 * np.count_nonzero(mask, axis=(1, 3)) >= SCALE**2).astype(np.uint8)

    def _assembled(
        self,
        window: Window,
        of: Callable[[Source, float], NDArray[Any]],
        more: tuple[int, ...],
        dtype: Any,
    ) -> NDArray[Any]:
        found = np.empty((*window.shape, *more), dtype)
        height, width = self.field
        for i in range(window.top // height, -(-window.bottom // height)):
            for j in range(window.left // width, -(-window.right // width)):
                field = Window(i * height, j * width, height, width)
                common = field.intersection(window)
                if common is None:
                    continue
                number, chance = _scattered(i, j)
                values = of(self.sources[number % len(self.sources)], chance)
                turned = values[:: 1 - 2 * (i % 2), :: 1 - 2 * (j % 2)]
                found[common.relative_to(window).slices] = turned[common.relative_to(field).slices]
        return found


@cache
def _scattered(i: int, j: int) -> tuple[int, float]:
    """Return the source of a field, and a fixed pseudo-random number in [0, 1)."""
    rng = np.random.default_rng([i, j, 7])
    return int(rng.integers(1 << 30)), float(rng.random())


class Files(NamedTuple):
    """The files of a benchmark."""

    image: Path
    truth: Path
    coarse: Path


def build(folder: Path, mosaic: Mosaic, density: str, *, kind: str = "tif") -> Files:
    """Write image, truth and coarse map unless they exist; return their paths.

    kind: "tif" (tiled BigTIFF), "deflate.tif" or "zarr".
    """
    side = mosaic.side
    image = folder / f"image_{side}.{kind}"
    files = Files(
        image, folder / f"truth_{side}_{density}.tif", folder / f"coarse_{side}_{density}.png"
    )
    if not image.exists():
        _check_space(folder, 3 * side**2 + side**2 // 4)
        partial = image.with_name(f"partial_{image.name}")
        _write_zarr(partial, mosaic) if kind == "zarr" else _write_tiff(partial, mosaic, kind)
        partial.rename(image)
    for path, shape, of in (
        (files.truth, (side, side), mosaic.mask),
        (files.coarse, (side // SCALE, side // SCALE), mosaic.coarse),
    ):
        if not path.exists():
            with create_output(path, shape=shape) as output:
                for window in _tiles(shape, output.tile):
                    output.write(window, of(window).astype(np.uint8))
    return files


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise SystemExit(
            f"{folder} has {free >> 20} MiB free, {needed >> 20} MiB are needed; pass --folder."
        )


def _tiles(shape: tuple[int, int], tile: int) -> Iterator[Window]:
    for top in range(0, shape[0], tile):
        for left in range(0, shape[1], tile):
            yield Window(top, left, min(tile, shape[0] - top), min(tile, shape[1] - left))


def _padded_tiles(mosaic: Mosaic) -> Iterator[NDArray[np.uint8]]:
    """Yield complete tiles of the image, padded beyond its border."""
    for top in range(0, mosaic.side, _TILE):
        strip = mosaic.image(Window(top, 0, _TILE, -(-mosaic.side // _TILE) * _TILE))
        for left in range(0, mosaic.side, _TILE):
            yield np.ascontiguousarray(strip[:, left : left + _TILE])


def _write_tiff(path: Path, mosaic: Mosaic, kind: str) -> None:
    import tifffile

    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        writer.write(
            _padded_tiles(mosaic), shape=(mosaic.side, mosaic.side, 3), dtype=np.uint8,
            tile=(_TILE, _TILE), photometric="rgb", metadata=None,
            compression="zlib" if kind.startswith("deflate") else None,
        )  # fmt: skip


def _write_zarr(path: Path, mosaic: Mosaic) -> None:
    import zarr

    shape = (mosaic.side, mosaic.side, 3)
    array = zarr.create_array(path, shape=shape, chunks=(_TILE, _TILE, 3), dtype="uint8")
    for window in _tiles((mosaic.side, mosaic.side), 4 * _TILE):
        array[window.slices] = mosaic.image(window)
