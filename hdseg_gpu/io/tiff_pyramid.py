"""Label maps as tiled TIFF with a pyramid, by tifffile, in bounded memory."""

import os
import zlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.io.gdal import geotiff_at
from hdseg_gpu.io.georeference import KEYS, NODATA, tags_of
from hdseg_gpu.io.pyramid import Spool, level_shapes, strips
from hdseg_gpu.io.source import Georeference, LabelSource

_LEVEL = 4  # of deflate: 6 takes twice as long for 5 % smaller files
_CLASSIC = 2 << 30  # bytes of labels that certainly fit into a classic TIFF
_PER_CENTIMETRE = 1e4  # micrometres


def write_ome(path: Path, labels: LabelSource, georeference: Georeference | None) -> None:
    """Write labels as ``write_pyramid`` does, as OME-TIFF."""
    write_pyramid(path, labels, georeference, ome=True)


def write_pyramid(
    path: Path,
    labels: LabelSource,
    georeference: Georeference | None,
    *,
    ome: bool = False,
    tile: int = 512,
) -> None:
    """Write labels, losslessly compressed, with pyramid levels that halve the size each.

    With `ome` the levels are SubIFDs and the pixel size is in OME-XML; otherwise they are GDAL
    overviews, and GeoTIFF tags are kept.
    """
    import tifffile

    dtype = np.dtype(np.uint8) if labels.dtype.kind == "b" else labels.dtype
    shapes = level_shapes(labels.shape)
    large = labels.shape[0] * labels.shape[1] * dtype.itemsize * 4 // 3 > _CLASSIC
    with ExitStack() as stack:
        levels = []
        for i, shape in enumerate(shapes[1:]):
            level = Spool(path.with_name(f"{path.name}.{i + 1}"), shape, dtype)
            stack.callback(level.close)
            levels.append(level)
        pool = stack.enter_context(ThreadPoolExecutor(os.cpu_count() or 1))
        writer = stack.enter_context(tifffile.TiffWriter(path, bigtiff=large, ome=ome))
        common = {"dtype": dtype, "tile": (tile, tile), "compression": "zlib",
                  "photometric": "minisblack"}  # fmt: skip
        writer.write(
            _encoded(_spooling(labels, levels, tile), dtype, tile, pool),
            shape=labels.shape,
            subifds=len(levels) if ome else None,
            **common,
            **_about(georeference, ome),
        )
        for level in levels:
            # GeoTIFF tags only at full resolution.
            writer.write(
                _encoded(strips(level, tile), dtype, tile, pool),
                shape=level.shape, subfiletype=1, metadata=None, **common,
            )  # fmt: skip


def _about(where: Georeference | None, ome: bool) -> dict[str, Any]:
    """Return tifffile's arguments for georeference and pixel size."""
    found: dict[str, Any] = {"metadata": {"axes": "YX"} if ome else None}
    if where is None:
        return found
    if where.pixel_size is not None:
        y, x = where.pixel_size
        found["resolution"] = _PER_CENTIMETRE / x, _PER_CENTIMETRE / y
        found["resolutionunit"] = "CENTIMETER"
        if ome:
            found["metadata"] |= {
                "PhysicalSizeX": x, "PhysicalSizeXUnit": "µm",
                "PhysicalSizeY": y, "PhysicalSizeYUnit": "µm",
            }  # fmt: skip
    tags = where.tags or _made_tags(where)
    if tags:
        found["extratags"] = [
            (code, dtype, count, value, True)
            for code, (dtype, count, value) in sorted(tags.items())
            if code != NODATA and (KEYS in tags or not ome)
        ]
    return found


def _made_tags(where: Georeference) -> dict[int, tuple[int, int, Any]]:
    """Return GeoTIFF tags for a georeference that does not come from a TIFF."""
    import tifffile

    content = geotiff_at(where)
    if content is None:
        return {}
    with tifffile.TiffFile(BytesIO(content)) as tiff:
        return tags_of(tiff.pages.first)


def _spooling(labels: LabelSource, levels: list[Spool], rows: int) -> Iterator[NDArray[Any]]:
    """Yield strips of the labels, and append their reductions to the levels."""
    for strip in strips(labels, rows):
        yield strip
        smaller = strip
        for level in levels:
            smaller = level.add(smaller)


def _encoded(
    rows: Iterator[NDArray[Any]], dtype: np.dtype[Any], tile: int, pool: ThreadPoolExecutor
) -> Iterator[bytes]:
    """Yield the compressed tiles of strips, row by row, compressing some strips ahead."""
    constant: dict[Any, bytes] = {}
    waiting: deque[Future[bytes]] = deque()
    for strip in rows:
        values = strip.view(np.uint8) if strip.dtype.kind == "b" else strip
        columns = range(0, values.shape[1], tile)
        waiting.extend(
            pool.submit(_compressed, values[:, x : x + tile], dtype, tile, constant)
            for x in columns
        )
        while len(waiting) > 2 * len(columns):
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _compressed(
    values: NDArray[Any], dtype: np.dtype[Any], tile: int, constant: dict[Any, bytes]
) -> bytes:
    first = values.flat[0]
    alike = bool((values == first).all())
    if alike and first in constant:
        return constant[first]
    whole = np.full((tile, tile), first if alike else 0, dtype)
    whole[: values.shape[0], : values.shape[1]] = values
    found = zlib.compress(whole.data, _LEVEL)
    if alike:
        constant[first] = found
    return found
