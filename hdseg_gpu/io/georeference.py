"""Georeferences: GeoTIFF tags without GDAL, and pixel sizes."""

import re
from dataclasses import replace
from math import isfinite
from typing import Any
from xml.etree import ElementTree

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.io.source import Georeference, ImageSource

SCALE, TIEPOINT, TRANSFORM, KEYS, NODATA = 33550, 33922, 34264, 34735, 42113
TAGS = (SCALE, TIEPOINT, TRANSFORM, KEYS, 34736, 34737, NODATA)
_RASTER_TYPE, _GEOGRAPHIC, _PROJECTED = 1025, 2048, 3072  # geo keys
_POINT = 2  # a tiepoint is the centre of a pixel
_USER_DEFINED = 32767
_MICROMETRES = {"nm": 1e-3, "µm": 1.0, "μm": 1.0, "um": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6}
_PER_UNIT = {2: 25400.0, 3: 1e4}  # inch and centimetre of ResolutionUnit
_LARGEST_PIXEL = 70.0  # micrometres; larger values are resolutions of printers or screens

Transform = tuple[float, float, float, float, float, float]


def georeference_of(page: Any, tiff: Any) -> Georeference | None:
    """Return the georeference and pixel size in a TIFF's first page."""
    tags = tags_of(page)
    keys = _keys(tags)
    size = _ome_size(tiff) or _aperio_size(page) or _resolution(page)
    if not tags and size is None:
        return None
    return Georeference(_transform(tags, keys), _crs(keys), size, tags)


def tags_of(page: Any) -> dict[int, tuple[int, int, Any]]:
    """Return the GeoTIFF tags of a page by code: data type, count, value."""
    tags = {}
    for code in TAGS:
        tag = page.tags.get(code)
        if tag is not None:
            tags[code] = (int(tag.dtype), int(tag.count), _ascii(tag.value, int(tag.count)))
    return tags


def scaled(where: Georeference, rows: float, columns: float) -> Georeference:
    """Return the georeference of a level with `rows` and `columns` times fewer rows and columns."""
    tags, transform, size = dict(where.tags), where.transform, where.pixel_size
    if transform is not None:
        a, b, c, d, e, f = transform
        transform = a * columns, b * rows, c, d * columns, e * rows, f
        for code in (SCALE, TIEPOINT):
            tags.pop(code, None)
        x, y = (c, f) if _keys(tags).get(_RASTER_TYPE) != _POINT else _centre(transform)
        a, b, _, d, e, _ = transform
        matrix = (a, b, 0.0, x, d, e, 0.0, y, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
        tags[TRANSFORM] = (12, 16, matrix)
    if size is not None:
        size = size[0] * rows, size[1] * columns
    return replace(where, transform=transform, pixel_size=size, tags=tags)


def _centre(transform: Transform) -> tuple[float, float]:
    a, b, c, d, e, f = transform
    return c + (a + b) / 2, f + (d + e) / 2


def _ascii(value: Any, count: int) -> Any:
    """Return a tag's value; in strings, which are ASCII in a TIFF, other bytes become "?".

    Byte positions are kept, because geo keys refer to them.
    """
    if not isinstance(value, str) or value.isascii():
        return value
    codes = [value.encode(code, "replace") for code in ("utf-8", "cp1252")]  # as tifffile decodes
    # The count usually includes a null byte at the end.
    content = min(codes, key=lambda content: abs(count - 1 - len(content)))
    return bytes(byte if byte < 128 else ord("?") for byte in content).decode("ascii")


def _keys(tags: dict[int, tuple[int, int, Any]]) -> dict[int, int]:
    """Return the geo keys that are short integers."""
    if KEYS not in tags:
        return {}
    values = tags[KEYS][2]
    entries = [values[i : i + 4] for i in range(4, len(values) - 3, 4)]
    return {int(key): int(value) for key, where, _, value in entries if where == 0}


def _transform(tags: dict[int, tuple[int, int, Any]], keys: dict[int, int]) -> Transform | None:
    if TRANSFORM in tags and len(tags[TRANSFORM][2]) == 16:
        m = [float(v) for v in tags[TRANSFORM][2]]
        a, b, c, d, e, f = m[0], m[1], m[3], m[4], m[5], m[7]
    elif SCALE in tags and TIEPOINT in tags:
        sx, sy = (float(v) for v in tags[SCALE][2][:2])
        i, j, _, x, y = (float(v) for v in tags[TIEPOINT][2][:5])
        a, b, c, d, e, f = sx, 0.0, x - i * sx, 0.0, -sy, y + j * sy
    else:
        return None
    if keys.get(_RASTER_TYPE) == _POINT:  # from the centre of the first pixel to its corner
        c, f = c - (a + b) / 2, f - (d + e) / 2
    return (a, b, c, d, e, f)


def _crs(keys: dict[int, int]) -> str | None:
    code = keys.get(_PROJECTED) or keys.get(_GEOGRAPHIC)
    return None if code is None or code == _USER_DEFINED else f"EPSG:{code}"


def _ome_size(tiff: Any) -> tuple[float, float] | None:
    if not tiff.is_ome:
        return None
    try:
        root = ElementTree.fromstring(tiff.ome_metadata)
    except ElementTree.ParseError:
        return None
    for pixels in root.iter():
        if pixels.tag.endswith("}Pixels"):
            try:
                sizes = tuple(
                    float(pixels.attrib[f"PhysicalSize{axis}"])
                    * _MICROMETRES[pixels.attrib.get(f"PhysicalSize{axis}Unit", "µm")]
                    for axis in "YX"
                )
            except (KeyError, ValueError):
                return None
            return sizes[0], sizes[1]
    return None


def _aperio_size(page: Any) -> tuple[float, float] | None:
    found = re.search(r"\bMPP\s*=\s*([0-9.]+)", page.description or "")
    return None if found is None else (float(found[1]), float(found[1]))


def _resolution(page: Any) -> tuple[float, float] | None:
    unit = _PER_UNIT.get(int(getattr(page, "resolutionunit", 1) or 1))
    x, y = page.tags.get(282), page.tags.get(283)
    if unit is None or x is None or y is None:
        return None
    try:
        sizes = tuple(unit * tag.value[1] / tag.value[0] for tag in (y, x))
    except (ZeroDivisionError, TypeError, IndexError):
        return None
    if not all(isfinite(s) and 0 < s < _LARGEST_PIXEL for s in sizes):
        return None
    return sizes[0], sizes[1]


def check_same_place(image: ImageSource, coarse: ImageSource) -> None:
    """Raise InvalidInput if the coarse map is georeferenced elsewhere than the image."""
    here, there = image.georeference, coarse.georeference
    if here is None or there is None or here.transform is None or there.transform is None:
        return
    remedy = "warp it to the extent of the image, for example with gdalwarp"
    if here.crs is not None and there.crs is not None and here.crs != there.crs:
        raise InvalidInput(
            f"coarse {coarse.name} is in {there.crs} and image {image.name} in {here.crs}; "
            f"{remedy}."
        )
    mine, other = _bounds(here.transform, image), _bounds(there.transform, coarse)
    spoken = (
        f"coarse {coarse.name} covers x {other[0]:.10g} to {other[2]:.10g}, y {other[1]:.10g} to "
        f"{other[3]:.10g}, and image {image.name} x {mine[0]:.10g} to {mine[2]:.10g}, y "
        f"{mine[1]:.10g} to {mine[3]:.10g}"
    )
    if other[2] <= mine[0] or other[0] >= mine[2] or other[3] <= mine[1] or other[1] >= mine[3]:
        raise InvalidInput(f"{spoken}: they do not overlap; {remedy}.")
    a, b, _, d, e, _ = there.transform
    pixel = abs(a) + abs(b), abs(d) + abs(e)
    if any(abs(mine[i] - other[i]) > pixel[i % 2] for i in range(4)):
        raise InvalidInput(f"{spoken}: they must agree to within a coarse pixel; {remedy}.")


def _bounds(transform: Transform, source: ImageSource) -> tuple[float, float, float, float]:
    """Return the bounds left, bottom, right, top in world coordinates."""
    a, b, c, d, e, f = transform
    rows, columns = source.shape
    corners = [(i, j) for i in (0, columns) for j in (0, rows)]
    xs = [a * i + b * j + c for i, j in corners]
    ys = [d * i + e * j + f for i, j in corners]
    return min(xs), min(ys), max(xs), max(ys)
