"""The registry of file formats: capabilities, and the module that reads and writes each.

This is the only list of formats. ``open_image``, ``read_*``, ``create_output``, ``write_labels``,
their docstrings and error messages, and the help of the command line are made from it, so a new
format is one module and one entry here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.registry import function_at

# A function, or "module:function" in this folder, imported on first use.
Function = str | Callable[..., Any]


@dataclass(frozen=True)
class Format:
    """A file format.

    Parameters
    ----------
    name : str
        Name in messages and on the command line.
    suffixes : tuple of str
        Extensions, lower case. The longest one that a file name ends in decides.
    about : str
        What is read, or by what, for docstrings.
    read : function, optional
        ``read(path, **options)`` returns an ``ImageSource``. None: write-only.
    takes : tuple of str
        The options that `read` has, of level, key, budget, as_labels, channel_axis, class_axis,
        later and trust_vrt; see ``io.open.open_within``. Callers who pass another level or key are
        told that it does not apply.
    open_array : function, optional
        ``open_array(path, key, budget)`` returns an array of any number of dimensions, of which
        parts are read, so that a file may hold class probabilities on any axis.
    planes : bool
        Whether the channels of a coarse map are class probabilities, if they are no colours.
    write : function, optional
        ``write(path, labels, georeference)`` writes a ``LabelSource`` to a path that does not
        exist. None: read-only.
    most : int, optional
        The largest label, for formats that hold labels from 0 on. None: any integer.
    longest : int, optional
        The largest number of rows and of columns that are written. None: any.
    places : bool
        Whether the georeference is written.
    pyramid : bool
        Whether pyramid levels are written.
    lossy : bool
        Whether compression changes pixels and so labels.
    store : bool
        Whether it is a Zarr store: a folder or a zipped one.
    extra : str
        The extra of this package that installs its library.

    """

    name: str
    suffixes: tuple[str, ...]
    about: str = ""
    read: Function | None = None
    takes: tuple[str, ...] = ()
    open_array: Function | None = None
    planes: bool = False
    write: Function | None = None
    most: int | None = None
    longest: int | None = None
    places: bool = False
    pyramid: bool = False
    lossy: bool = False
    store: bool = False
    extra: str = ""

    def holds(self, lowest: int, highest: int) -> bool:
        """Return whether labels from `lowest` to `highest` can be written."""
        return self.most is None or 0 <= lowest <= highest <= self.most


_TIFF: dict[str, Any] = {
    "read": "tiff_source:open_tiff", "takes": ("level", "budget", "as_labels"),
    "planes": True, "places": True, "pyramid": True,
}  # fmt: skip
_ZARR: dict[str, Any] = {
    "read": "zarr_source:open_zarr", "takes": ("level", "key", "budget", "class_axis"),
    "planes": True, "store": True, "extra": "io",
}  # fmt: skip
_PICTURE: dict[str, Any] = {
    "read": "picture_source:open_picture", "takes": ("budget", "as_labels", "later"),
}  # fmt: skip
_RASTER: dict[str, Any] = {
    "about": "by GDAL", "read": "raster_source:open_raster", "extra": "geo",
    "takes": ("level", "budget", "as_labels", "trust_vrt"),
}  # fmt: skip
_ARRAY: dict[str, Any] = {"read": "array_source:open_stored", "open_array": "arrays:open_array"}
_SLIDE: dict[str, Any] = {"takes": ("level", "budget"), "extra": "wsi"}

FORMATS: tuple[Format, ...] = (
    Format("PNG", (".png",), **_PICTURE, write="png_writer:write_png_stream", most=65535,
           longest=2**31 - 1),
    Format("JPEG", (".jpg", ".jpeg"), **_PICTURE, lossy=True),
    Format("TIFF", (".tif", ".tiff"), "BigTIFF, GeoTIFF", **_TIFF,
           write="tiff_pyramid:write_pyramid"),
    Format("OME-TIFF", (".ome.tif", ".ome.tiff"), **_TIFF, write="tiff_pyramid:write_ome"),
    Format("COG", (".cog.tif", ".cog.tiff"), **_TIFF, write="cog:write_cog", extra="geo"),
    Format("Zarr", (".zarr", ".ome.zarr"), "v2, v3, OME-Zarr 0.4, 0.5", **_ZARR,
           write="ome_zarr_writer:write_ome_zarr", places=True, pyramid=True),
    Format("zipped Zarr", (".zarr.zip",), **_ZARR),
    Format(".npy", (".npy",), **_ARRAY, takes=("budget", "channel_axis"),
           write="array_writer:write_npy"),
    Format(".npz", (".npz",), **_ARRAY, takes=("key", "budget", "channel_axis"),
           write="array_writer:write_npz"),
    Format("SVS", (".svs",), **_SLIDE, read="slide_source:open_aperio"),
    Format("slides", (".ndpi", ".mrxs", ".scn", ".vms", ".vmu", ".bif", ".svslide", ".dcm"),
           "by OpenSlide", **_SLIDE, read="slide_source:open_slide"),
    Format("JPEG 2000", (".jp2",), **_RASTER),
    Format("IMG", (".img",), **_RASTER),
    Format("VRT", (".vrt",), **_RASTER),
)  # fmt: skip


def loaded(function: Function) -> Callable[..., Any]:
    """Return a format's function, after importing its module."""
    if callable(function):
        return function
    found: Callable[..., Any] = function_at(f"hdseg_gpu.io.{function}")
    return found


def format_of(path: Path) -> Format | None:
    """Return the format of a file by its extension, None if the extension is unknown."""
    return _longest(path)[0]


def suffix_of(path: Path) -> str:
    """Return the extension that decides the format, as written, such as ".ome.tif"."""
    found, length = _longest(path)
    return path.suffix if found is None else path.name[-length:]


def _longest(path: Path) -> tuple[Format | None, int]:
    """Return the format with the longest matching extension, and the length of that extension."""
    name, found, longest = path.name.lower(), None, 0
    for each in FORMATS:
        for suffix in each.suffixes:
            # A name that consists only of an extension has none.
            if name.endswith(suffix) and longest < len(suffix) < len(name):
                found, longest = each, len(suffix)
    return found, longest


def readable() -> list[Format]:
    """Return the formats that images, coarse maps and labels are read from."""
    return [each for each in FORMATS if each.read is not None]


def writable() -> list[Format]:
    """Return the formats that labels are written to."""
    return [each for each in FORMATS if each.write is not None]


def keyed() -> list[Format]:
    """Return the formats whose files may hold several arrays, by names."""
    return [each for each in readable() if "key" in each.takes]


def sliced() -> list[Format]:
    """Return the formats of arrays whose axes have no names."""
    return [each for each in readable() if "channel_axis" in each.takes]


def require_own_axis(name: str, channel_axis: int) -> None:
    """Raise InvalidInput if a channel axis is given for a source that defines its own."""
    if channel_axis not in (-1, 2):
        raise InvalidInput(
            f"channel_axis={channel_axis} is for arrays and array files ({names(sliced())}), but "
            f"{name} defines its own channel axis; leave it out."
        )


def suffixes(formats: list[Format]) -> str:
    """Return the extensions of formats, for messages."""
    return ", ".join(suffix for each in formats for suffix in each.suffixes)


def names(formats: list[Format], last: str = "or") -> str:
    """Return the names of formats in a row, for messages and help."""
    return _listed([each.name for each in formats], last)


def instead(fits: Callable[[Format], bool]) -> str:
    """Return the extensions, one for each format, that outputs may have instead."""
    return _listed([each.suffixes[0] for each in writable() if fits(each)])


def _listed(items: list[str], last: str = "or") -> str:
    return f" {last} ".join(filter(None, (", ".join(items[:-1]), *items[-1:])))


def said_of_reading() -> str:
    """Return what docstrings say of the images that are read."""
    rows = [_with_suffixes(each, each.about) for each in readable()]
    return (
        f"A file in one of these formats, which its extension alone decides: {_listed(rows)}. Or "
        "an array of NumPy, CuPy, Zarr or Dask."
    )


def said_of_writing() -> str:
    """Return what docstrings say of the files that are written."""
    found, gets = writable(), dict[str, list[str]]()
    for what, fits in (
        ("a pyramid", [f for f in found if f.pyramid]),
        ("the georeference of `like`", [f for f in found if f.places]),
    ):
        gets.setdefault(names(fits, "and"), []).append(what)
    said = [f"The extension decides the format: {_listed([_with_suffixes(f) for f in found])}."]
    said += [f"{who} get {_listed(what, 'and')}." for who, what in gets.items()]
    said += [f"{f.name} holds labels from 0 to {f.most}." for f in found if f.most is not None]
    return " ".join(said)


def _with_suffixes(found: Format, about: str = "") -> str:
    """Return a format's name, and in brackets its extensions and what it comprises."""
    more = (", ".join(s for s in found.suffixes if s != found.name), about)
    within = "; ".join(filter(None, more))
    return f"{found.name} ({within})" if within else found.name
