"""The metadata of an OME-Zarr group: axes, levels, pixel size and georeference."""

from dataclasses import dataclass
from typing import Any

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.io.ome_zarr_writer import GEOREFERENCE_KEY
from hdseg_gpu.io.paths import reason_of
from hdseg_gpu.io.source import Georeference

# Common OME-Zarr units of length, in micrometres.
_MICROMETRES = {
    "angstrom": 1e-4,
    "picometer": 1e-6,
    "nanometer": 1e-3,
    "micrometer": 1.0,
    "millimeter": 1e3,
    "centimeter": 1e4,
    "decimeter": 1e5,
    "meter": 1e6,
    "kilometer": 1e9,
    "inch": 25400.0,
    "foot": 304800.0,
    "yard": 914400.0,
    "mile": 1609344000.0,
}
_EARLY_AXES = "tczyx"  # of versions before 0.3, which do not name axes


@dataclass(frozen=True)
class Multiscale:
    """An image at several resolutions."""

    axes: tuple[str, ...]  # one letter each
    units: tuple[str | None, ...]
    paths: tuple[str, ...]  # of the levels
    scales: tuple[tuple[float, ...] | None, ...]  # of the levels, a number per axis

    def pixel_size(self, level: int) -> tuple[float, float] | None:
        """Return the distance of rows and of columns in micrometres, None without a known unit."""
        scale = self.scales[level]
        at = self.axes.index("y"), self.axes.index("x")
        if scale is None or any(self.units[i] not in _MICROMETRES for i in at):
            return None
        y, x = (scale[i] * _MICROMETRES[str(self.units[i])] for i in at)
        return y, x

    def step(self, level: int) -> tuple[float, float] | None:
        """Return the rows and columns of level 0 per row and column of a level."""
        scale, first = self.scales[level], self.scales[0]
        if scale is None or first is None:
            return (1.0, 1.0) if level == 0 else None
        y, x = (scale[i] / first[i] for i in (self.axes.index("y"), self.axes.index("x")))
        return y, x


def multiscale(attributes: dict[str, Any], name: str) -> Multiscale | None:
    """Return the first image of a group, None if the group has no such metadata.

    Versions up to 0.4 have the metadata at the top level, 0.5 below "ome".
    """
    ome = attributes.get("ome", attributes)
    if not isinstance(ome, dict) or "multiscales" not in ome:
        return None
    try:
        return _parsed(ome["multiscales"][0])
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise InvalidInput(
            f'{name}: the OME-Zarr metadata "multiscales" are invalid '
            f"({reason_of(error)}); name one of its arrays as the key instead."
        ) from error


def _parsed(found: dict[str, Any]) -> Multiscale:
    axes = [{"name": a} if isinstance(a, str) else a for a in found.get("axes", _EARLY_AXES)]
    names = tuple(str(axis["name"]).lower() for axis in axes)
    if len(set(names)) != len(names) or not {"y", "x"} <= set(names):
        raise ValueError(f"the axes are {list(names)}; y, x and unique names are required")
    common = _scale(found.get("coordinateTransformations"), len(names))
    scales = []
    for dataset in found["datasets"]:
        own = _scale(dataset.get("coordinateTransformations"), len(names))
        both = (
            None if own is None else tuple(a * b for a, b in zip(own, common or own, strict=True))
        )
        scales.append(own if common is None else both)
    paths = tuple(str(dataset["path"]) for dataset in found["datasets"])
    if not paths:
        raise ValueError("there are no datasets")
    return Multiscale(names, tuple(axis.get("unit") for axis in axes), paths, tuple(scales))


def _scale(transformations: Any, ndim: int) -> tuple[float, ...] | None:
    """Return the scale among the transformations, None if there is no valid one."""
    for each in transformations or ():
        if each.get("type") == "scale" and "scale" in each:
            scale = tuple(float(s) for s in each["scale"])
            return scale if len(scale) == ndim and min(scale) > 0 else None
    return None


def georeference(
    attributes: dict[str, Any], picture: Multiscale, level: int
) -> Georeference | None:
    """Return the georeference and pixel size of a level, None if neither is known."""
    own = attributes.get(GEOREFERENCE_KEY)
    own = own if isinstance(own, dict) else {}
    crs, transform, step = own.get("crs"), own.get("transform"), picture.step(level)
    if transform is not None and step is not None and len(transform) == 6:
        # Pixels of all levels start at the same corner.
        a, b, c, d, e, f = (float(t) for t in transform)
        transform = a * step[1], b * step[0], c, d * step[1], e * step[0], f
    else:
        transform = None
    size = picture.pixel_size(level)
    if crs is None and transform is None and size is None:
        return None
    return Georeference(transform=transform, crs=crs, pixel_size=size)
