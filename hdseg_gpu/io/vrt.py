"""Untrusted virtual mosaics (.vrt): allowed elements, and the files they may name.

GDAL never sees such a file. It gets a new text generated from the elements and attributes allowed
here, with the full paths of checked sources; so it cannot interpret the file in another way, and
nothing can change in between.
"""

import re
from dataclasses import dataclass, field
from html import escape
from math import isfinite, nan
from pathlib import Path
from typing import Any, NamedTuple, NoReturn
from xml.etree import ElementTree

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.memory import Budget
from hdseg_gpu.io.source_need import is_picture, need_of_source
from hdseg_gpu.io.stored import Stored, read_within

_LONGEST = 32 << 20  # bytes of a mosaic's text including nested mosaics, as read and as generated
_TREE = 30  # bytes of GDAL's memory per byte of text
_DEEPEST = 8  # mosaics within mosaics
_INNER = 100  # elements within elements
_MOST = 100_000  # sources
_SHOWN = 200  # characters of a name in messages
_REMEDY = "convert it to GeoTIFF, for example with gdal_translate"
_PLACE = ("xOff", "yOff", "xSize", "ySize")
# Allowed attributes of each element. Only SourceFilename names a file.
_KNOWN: dict[str, tuple[str, ...]] = {
    "VRTDataset": ("rasterXSize", "rasterYSize", "subClass"),
    "SRS": ("dataAxisToSRSAxisMapping", "coordinateEpoch"),
    "GeoTransform": (), "BlockXSize": (), "BlockYSize": (), "OverviewList": ("resampling",),
    "VRTRasterBand": ("dataType", "band", "blockXSize", "blockYSize", "subClass"),
    "ColorInterp": (), "NoDataValue": (), "HideNoDataValue": (), "UnitType": (), "Offset": (),
    "Scale": (), "Description": (), "CategoryNames": (), "Category": (), "ColorTable": (),
    "Entry": ("c1", "c2", "c3", "c4"), "MaskBand": (), "Overview": (),
    "SimpleSource": ("resampling",), "ComplexSource": ("resampling",),
    "SourceFilename": ("relativeToVRT", "relativetoVRT", "shared"), "SourceBand": (),
    "SourceProperties": ("RasterXSize", "RasterYSize", "DataType", "BlockXSize", "BlockYSize"),
    "SrcRect": _PLACE, "DstRect": _PLACE, "NODATA": (), "ScaleOffset": (), "ScaleRatio": (),
    "LUT": (), "Exponent": (), "SrcMin": (), "SrcMax": (), "DstMin": (), "DstMax": (),
    "ColorTableComponent": (), "UseMaskBand": (), "Clamp": (),
}  # fmt: skip
_LEFT_OUT = ("Metadata", "Histograms", "GCPList")  # not needed
_DECIMAL = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
_CLASSES = ("VRTDataset", "VRTSourcedRasterBand")  # classes that only copy pixels


class Mosaic(NamedTuple):
    """The text that GDAL gets instead of a file, and its memory need."""

    text: str
    decoding: int  # bytes to decode a tile of a source, the maximum over sources


@dataclass
class _Checked:
    """State while the files of one mosaic are checked."""

    path: Path  # the requested mosaic
    root: Path  # the folder that must contain all files
    budget: Budget
    sources: int = 0
    bytes: int = 0  # of all generated texts
    decoding: int = 0
    # File -> its replacement in the new text, and the replacement's length there.
    known: dict[Path, tuple[str, int]] = field(default_factory=dict)

    def grow(self, count: int) -> None:
        """Count bytes before they are written."""
        self.bytes += count
        if self.bytes > _LONGEST:
            _too_large(self.path, f"with the mosaics in it its text has more than {_LONGEST} bytes")


def checked_mosaic(path: Path, budget: Budget) -> Mosaic:
    """Return a mosaic that names only images in its own folder and below.

    Links are followed, but must not lead out. Raises ``InvalidInput`` for anything that is not
    allowed, and for sources whose tiles do not fit into the budget.
    """
    state = _Checked(path, path.parent.resolve(), budget)
    return Mosaic(_text_of(state, path, 0), state.decoding)


def named_files(path: Path, *, trusted: bool = False) -> list[Path]:
    """Return the files that a mosaic names, including those of nested mosaics.

    If it is not trusted, nested mosaics outside its folder are not opened.

    Links are followed, and names that are no local files are left out. Raises ``InvalidInput`` for
    a mosaic that is no XML or exceeds the limits.
    """
    found: dict[Path, None] = {path.resolve(): None}  # in their order
    names = size = 0
    root = path.parent.resolve()
    left = [(path, root, 0)]
    for mosaic, folder, depth in left:  # grows while iterating
        if depth > _DEEPEST:
            _too_large(path, f"it has mosaics within mosaics, more than {_DEEPEST}")
        text = read_within(mosaic, _LONGEST)
        size += len(text)
        if size > _LONGEST:
            _too_large(path, f"with the mosaics in it its text has more than {_LONGEST} bytes")
        reader = _Names(path, _MOST - names)
        _parse(mosaic, text, reader)
        names += len(reader.found)
        for name, relative in reader.found:
            source = _place(folder, name, relative)
            if source is None or source in found or not source.is_file():
                continue
            found[source] = None
            if _is_mosaic(source) and (trusted or source.is_relative_to(root)):
                left.append((source, source.parent, depth + 1))
    return list(found)[1:]


class _Names:
    """Handler of XML events: collects the names of files, and whether they are relative.

    Elements and attributes are case-insensitive, as in GDAL; all others are ignored.
    """

    def __init__(self, path: Path, most: int) -> None:
        self.found: list[tuple[str, bool]] = []
        self._path, self._most = path, most
        self._name: list[str] | None = None
        self._relative = False

    def doctype(self, *_: object) -> None:
        _refuse(self._path, "it has a DOCTYPE")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag.rpartition("}")[2].lower() in ("sourcefilename", "sourcedataset"):
            self._name, self._relative = [], _is_relative(attributes)

    def data(self, text: str) -> None:
        if self._name is not None:
            self._name.append(text)

    def end(self, _tag: str) -> None:
        if self._name is not None:
            if len(self.found) >= self._most:
                _too_large(self._path, f"it names more than {_MOST} sources")
            self.found.append(("".join(self._name).strip(), self._relative))
            self._name = None


class _Making:
    """Handler of XML events: generates the new text of an untrusted mosaic."""

    def __init__(self, state: _Checked, path: Path, depth: int) -> None:
        self.made = bytearray()
        self._state, self._folder, self._depth = state, path.parent.resolve(), depth
        self._inner = 0
        self._without = 0  # open elements that are left out
        self._name: list[str] | None = None  # text of a source's name
        self._relative = False

    def doctype(self, *_: object) -> None:
        _refuse(self._state.path, "it has a DOCTYPE")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        path = self._state.path
        if not self.made and tag != "VRTDataset":
            _refuse(path, f"its text is a <{tag[:_SHOWN]}>, no <VRTDataset>")
        if self._without or tag in _LEFT_OUT:
            self._without += 1
            return
        known = _KNOWN.get(tag)
        if known is None or self._name is not None:
            _refuse(path, f"it has the element <{tag[:_SHOWN]}>")
        for name, value in attributes.items():
            if name not in known or (name == "subClass" and value not in _CLASSES):
                what = f'{name[:_SHOWN]}="{value[:_SHOWN]}"'
                _refuse(path, f"<{tag}> has the attribute {what}")
        if known == _PLACE:
            self._check_place(tag, attributes)
        self._inner += 1
        if self._inner > _INNER:
            _refuse(path, f"it has elements within elements, more than {_INNER}")
        if tag == "SourceFilename":
            self._name, self._relative = [], _is_relative(attributes)
            attributes = {"relativeToVRT": "0"}
        written = "".join(f' {name}="{escape(value)}"' for name, value in attributes.items())
        self._write(f"<{tag}{written}>")

    def _check_place(self, tag: str, attributes: dict[str, str]) -> None:
        """Refuse an invalid rectangle: GDAL would leave the memory around it uninitialised."""
        for name in _PLACE:
            text = attributes.get(name, "")
            number = _number(text)
            if not isfinite(number) or (name.endswith("Size") and number <= 0):
                found = f'{name}="{text[:_SHOWN]}"' if text else f"no {name}"
                raise InvalidInput(
                    f"{self._state.path}: <{tag}> has {found}; rebuild the mosaic, for example "
                    "with gdalbuildvrt."
                )

    def data(self, text: str) -> None:
        if self._without:
            return
        if self._name is not None:
            self._name.append(text)
        else:
            self._write(escape(text, quote=False))

    def end(self, tag: str) -> None:
        if self._without:
            self._without -= 1
            return
        if self._name is not None:
            name = "".join(self._name)
            found, length = _source(self._state, name, self._relative, self._folder, self._depth)
            self._state.grow(length)
            self.made += escape(found, quote=False).encode()
            self._name = None
        self._inner -= 1
        self._write(f"</{tag}>")

    def _write(self, text: str) -> None:
        content = text.encode()
        self._state.grow(len(content))
        self.made += content


def _parse(path: Path, text: bytes, reader: _Names | _Making) -> None:
    """Parse a mosaic by events, without building a tree."""
    target: Any = reader
    parser = ElementTree.XMLParser(target=target)
    try:
        parser.feed(text)
        parser.close()
    except ElementTree.ParseError as error:
        raise InvalidInput(
            f"{path} cannot be read, it may be damaged or cut short: it is no XML ({error})."
        ) from error


def _text_of(state: _Checked, path: Path, depth: int) -> str:
    if depth > _DEEPEST:
        _too_large(state.path, f"it has mosaics within mosaics, more than {_DEEPEST}")
    text = read_within(path, _LONGEST)
    state.budget.require(_TREE * len(text), f"{path}: its text", "divide the mosaic")
    reader = _Making(state, path, depth)
    _parse(path, text, reader)
    what = f"{path}: its text with that of the mosaics in it"
    state.budget.require(_TREE * len(reader.made), what, "divide the mosaic")
    return reader.made.decode()


def _source(
    state: _Checked, name: str, relative: bool, folder: Path, depth: int
) -> tuple[str, int]:
    """Return the path of a source, or the text of a nested mosaic, and its length in the text."""
    state.sources += 1
    if state.sources > _MOST:
        _too_large(state.path, f"it names more than {_MOST} sources")
    path = _place(folder, name, relative)
    if path is None:
        _refuse(state.path, f"it names {name[:_SHOWN]!r}, which is no file here")
    if not path.is_relative_to(state.root):
        reason = f"it names {name[:_SHOWN]!r}, which is not in its folder {state.root}"
        _refuse(state.path, reason)
    if path not in state.known:
        found = _stand_in(state, path, depth)
        more = 4 * found.count("&") + 3 * (found.count("<") + found.count(">"))
        state.known[path] = found, len(found.encode()) + more
    return state.known[path]


def _stand_in(state: _Checked, path: Path, depth: int) -> str:
    """Return the replacement of a file for GDAL: the text of a mosaic, else its path."""
    if not path.is_file():
        _refuse(state.path, f"it names {path}, which is no file")
    if _is_mosaic(path):
        return _text_of(state, path, depth + 1)
    with Stored(path) as file:
        if not is_picture(file):
            what = "is not, or not only, a TIFF, PNG, JPEG or JPEG 2000"
            _refuse(state.path, f"it names {path}, which {what}")
        need = need_of_source(file, state.budget)
    what = f"{state.path}: decoding a tile of {path}"
    state.budget.require(need, what, "save it with smaller tiles")
    state.decoding = max(state.decoding, need)
    return str(path)


def _number(text: str) -> float:
    """Return a number as GDAL parses it, NaN if it is none."""
    return float(text) if _DECIMAL.fullmatch(text) else nan


def _is_mosaic(path: Path) -> bool:
    """Return whether a file is a mosaic by its extension, which decides the format."""
    return path.suffix.lower() == ".vrt"


def _is_relative(attributes: dict[str, str]) -> bool:
    return attributes.get("relativeToVRT", attributes.get("relativetoVRT", "0")) == "1"


def _place(folder: Path, name: str, relative: bool) -> Path | None:
    """Return the real path of a named file; None if it does not exist."""
    try:
        return ((folder if relative else Path()) / name).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):  # RuntimeError: circular links, before 3.13
        return None


def _too_large(path: Path, reason: str) -> NoReturn:
    raise InvalidInput(f"{path}: {reason}; {_REMEDY}.")


def _refuse(path: Path, reason: str) -> NoReturn:
    raise InvalidInput(
        f"{path}: {reason}; a mosaic may only name and place images in its folder and below. "
        "Pass trust_vrt=True if you trust it to read any file and address."
    )
