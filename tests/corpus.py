"""The contents of the small files of tests/data: pixels by formula, for all formats.

`python tests/data/make.py` writes the files; fuzz/ mutates them; `io/test_corpus.py` reads each of
them and compares.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent / "data"
SHAPE = (23, 37)  # no multiple of any tile
LARGE_SHAPE = (150, 140)  # of pictures with reduced resolutions
COARSE_SHAPE = (6, 9)


@dataclass(frozen=True)
class Sample:
    """One file and its pixels, (H, W) or (H, W, C); labels where these differ from the pixels."""

    name: str
    pixels: np.ndarray
    tolerance: int = 0  # of a lossy format
    labels: Any = None
    levels: tuple[tuple[int, int], ...] = ()  # of reduced resolutions
    key: str | None = None  # of the array in a .npz file or a Zarr group
    library: str | None = None  # an optional one that reads it
    warns: str | None = None  # what a reader says of it


def ramp(channels=None, *, shape=SHAPE):
    """Return smooth uint8 values that differ along each axis; (H, W) without channels."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    stretch = max(1, shape[0] // SHAPE[0])
    plane = (5 * y + 2 * x) // stretch
    if channels is None:
        return plane.astype(np.uint8)
    return np.stack([plane + 20 * c for c in range(channels)], axis=-1).astype(np.uint8)


def deep(channels=None):
    """Return uint16 whose two bytes differ."""
    return ramp(channels).astype(np.uint16) * 256 + 255 - ramp(channels)


def small(depth):
    """Return values of `depth` bits."""
    return ramp() >> (8 - depth)


def scaled(depth):
    """Return what a grey picture of `depth` bits is read as."""
    return small(depth) * (255 // (2**depth - 1))


def real(dtype, channels=None):
    """Return floats, some of them negative, that float16 holds exactly."""
    return (ramp(channels) / 8 - 3).astype(dtype)


def classes(shape=SHAPE):
    """Return labels 0 to 5 in patches."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    return ((y // 4 + 2 * (x // 5)) % 6).astype(np.uint8)


def colours(count=256):
    """Return a palette (count, 3) without a grey."""
    i = np.arange(count)
    return np.stack([i, 255 - i, (7 * i) % 256], axis=1).astype(np.uint8)


def probabilities(classes_first=True):
    """Return (3, h, w) float32 that sum to 1 exactly."""
    y, x = np.mgrid[: COARSE_SHAPE[0], : COARSE_SHAPE[1]]
    first, second = (y % 3) / 4, (x % 2) / 4
    planes = np.stack([first, second, 1 - first - second]).astype(np.float32)
    return planes if classes_first else np.moveaxis(planes, 0, -1)


def grey_of(rgb):
    """Return the luminance as Pillow has it."""
    r, g, b = (rgb[..., i].astype(np.int64) for i in range(3))
    return ((r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16).astype(np.uint8)


def samples():
    """Return all samples by name."""
    found = [*_png(), *_jpeg(), *_tiff(), *_arrays(), *_zarr(), *_rasters()]
    return {sample.name: sample for sample in found}


def _png():
    palette, coloured = colours(), classes()
    grey_palette = np.repeat(np.arange(16, dtype=np.uint8)[::-1, None] * 17, 3, axis=1)
    for depth in (1, 2, 4):
        yield Sample(f"grey{depth}.png", scaled(depth) if depth > 1 else small(1).astype(bool))
        yield Sample(f"palette{depth}.png", palette[small(depth)], labels=small(depth))
    yield Sample("palette8.png", palette[coloured], labels=coloured)
    yield Sample("greypalette4.png", grey_palette[small(4)][..., 0],
                 labels=grey_palette[small(4)][..., 0])  # fmt: skip
    yield Sample("palette8_alpha.png", palette[coloured], labels=coloured)
    yield Sample("grey8.png", ramp())
    yield Sample("grey8_transparent.png", ramp())
    yield Sample("grey8_interlaced.png", ramp())
    yield Sample("grey16.png", deep())
    yield Sample("rgb8.png", ramp(3))
    yield Sample("rgb8_interlaced.png", ramp(3))
    yield Sample("rgb8_turned.png", ramp(3), warns="EXIF orientation")
    yield Sample("rgba8.png", ramp(4))
    yield Sample("greyalpha8.png", ramp(2))
    yield Sample("rgb16.png", deep(3), library="imagecodecs")
    yield Sample("rgba16.png", deep(4), library="imagecodecs")
    yield Sample("greyalpha16.png", deep(2), library="imagecodecs")


def _jpeg():
    yield Sample("grey.jpg", ramp(), 4)
    yield Sample("rgb.jpg", ramp(3), 6)
    yield Sample("rgb_progressive.jpeg", ramp(3), 6)
    yield Sample("rgb_turned.jpg", ramp(3), 6, warns="EXIF orientation")
    yield Sample("rgb_restart.jpg", ramp(3), 6)
    yield Sample("cmyk.jpg", ramp(3), 8)
    yield Sample("two_pictures.jpg", ramp(3), 6)  # MPO


def _tiff():
    indices, palette = classes(), colours()
    yield Sample("strips.tif", ramp())
    yield Sample("strips_be.tif", deep(), labels=deep())
    yield Sample("rgb_strips.tif", ramp(3))
    yield Sample("tiles.tif", ramp(3))
    yield Sample("planar.tif", ramp(3))
    yield Sample("planar_tiles.tif", deep(4))
    yield Sample("palette.tif", palette[indices], labels=indices)
    yield Sample("miniswhite.tif", ramp())
    yield Sample("bilevel.tif", small(1).astype(bool))
    yield Sample("deflate_predictor.tif", deep(3))
    yield Sample("lzw.tif", ramp(), library="imagecodecs")
    yield Sample("packbits.tif", ramp(), library="imagecodecs")
    yield Sample("zstd.tif", ramp(3), library="imagecodecs")
    yield Sample("jpeg.tif", ramp(3), 20, library="imagecodecs")
    yield Sample("jpeg2000.tif", ramp(3), library="imagecodecs")
    yield Sample("float_predictor.tif", real(np.float32), library="imagecodecs")
    yield Sample("half.tif", real(np.float16))
    yield Sample("double.tif", real(np.float64))
    yield Sample("signed.tif", (ramp().astype(np.int16) - 99))
    yield Sample("bigtiff.tif", ramp(3))
    yield Sample("rgba.tiff", ramp(4))
    yield Sample("pages.tif", ramp(), warns="more than one page")
    yield Sample("geo.tif", deep())
    yield Sample("sparse.tif", np.zeros(LARGE_SHAPE, np.uint8))
    yield Sample("ome.ome.tif", deep())
    yield Sample("first.ome.tif", ramp(), warns="more than one page")  # of two files
    yield Sample("pyramid.ome.tif", ramp(shape=LARGE_SHAPE), levels=((75, 70),))
    large = ramp(3, shape=LARGE_SHAPE)
    yield Sample("slide.svs", large, levels=((38, 35),), library="imagecodecs", tolerance=20)
    yield Sample("cog.tif", ramp(shape=LARGE_SHAPE), levels=((75, 70),))


def _arrays():
    yield Sample("rows.npy", ramp(3))
    yield Sample("columns.npy", ramp())
    yield Sample("foreign.npy", deep())
    yield Sample("version2.npy", ramp())
    yield Sample("version3.npy", ramp())
    yield Sample("bools.npy", small(1).astype(bool))
    yield Sample("floats.npy", real(np.float32, 3))
    yield Sample("halves.npy", real(np.float16))
    yield Sample("labels.npy", classes(COARSE_SHAPE))
    yield Sample("signed_labels.npy", classes(COARSE_SHAPE).astype(np.int64) - 2)
    yield Sample("probabilities.npy", probabilities())
    yield Sample("one.npz", ramp())
    yield Sample("deflated.npz", ramp())
    yield Sample("several.npz", probabilities(), key="probabilities")


def _zarr():
    yield Sample("v2.zarr.zip", ramp())
    yield Sample("v2_blosc.zarr.zip", deep(3))
    yield Sample("v3.zarr.zip", ramp(3))
    yield Sample("v3_sharded.zarr.zip", deep())
    yield Sample("group.zarr.zip", ramp(), key="labels/cells")
    yield Sample("ome04.zarr.zip", ramp(3), levels=((12, 19),))
    yield Sample("ome05.zarr.zip", ramp(3), levels=((12, 19),))


def _rasters():
    yield Sample("grey.jp2", ramp(), library="rasterio")
    yield Sample("rgb.jp2", ramp(3), library="rasterio")
    yield Sample("deep.img", deep(), library="rasterio")
    yield Sample("mosaic.vrt", ramp(), library="rasterio")
