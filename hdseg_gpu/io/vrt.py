"""Virtual mosaics (.vrt) that are not trusted: what they may say, and which files they may name.

GDAL never sees such a file. It gets a text made anew of the elements and attributes known here,
with the full paths of sources that have been looked at; so it cannot understand the file in another
way, and nothing changes in between.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.memory import Budget
from hdseg_gpu.io.stored import Stored, read_within

_LONGEST = 32 << 20  # bytes of a mosaic's text, and of all that it is made of
_TREE = 30  # bytes of memory for each byte of text
_DEEPEST = 8  # mosaics within mosaics
_MOST = 100_000  # sources
_PLACE = ("xOff", "yOff", "xSize", "ySize")
# What each element may have as attributes. Nothing here reads anything but SourceFilename.
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
_LEFT_OUT = ("Metadata", "Histograms", "GCPList")  # of no use here
_CLASSES = ("VRTDataset", "VRTSourcedRasterBand")  # those that only copy pixels
_PICTURES = (
    b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff",
    b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51",
)  # fmt: skip
_NESTED = re.compile(rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<VRTDataset\b", re.DOTALL)
_ELSEWHERE = re.compile(rb"<(VRTDataset|GDAL|[A-Za-z]*TileIndex)")  # what other drivers look for
_LOOK = 1 << 16


@dataclass
class _Checked:
    """What is known of the files of one mosaic."""

    path: Path  # that was asked for
    root: Path  # the folder that everything must be in
    budget: Budget
    sources: int = 0
    bytes: int = 0
    known: dict[Path, str] = field(default_factory=dict)  # what stands for a file in the new text


def checked_mosaic(path: Path, budget: Budget) -> str:
    """Return the text of a mosaic that names only pictures in its own folder and below.

    Links are followed: they must lead there, too. Raises ``InvalidInput`` for what else it says.
    """
    state = _Checked(path, path.parent.resolve(), budget)
    return _text_of(state, path, 0)


def _text_of(state: _Checked, path: Path, depth: int) -> str:
    if depth > _DEEPEST:
        _refuse(state, f"it has mosaics within mosaics, more than {_DEEPEST}")
    text = read_within(path, _LONGEST)
    state.budget.require(_TREE * len(text), f"{path}: reading its text", "divide the mosaic")
    if b"<!DOCTYPE" in text:
        _refuse(state, "it has a DOCTYPE")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise InvalidInput(
            f"{path} cannot be read, it may be damaged or cut short: it is no XML ({error})."
        ) from error
    if root.tag != "VRTDataset":
        _refuse(state, f"its text is a <{root.tag}>, no <VRTDataset>")
    made = ElementTree.tostring(_made(state, root, path.parent.resolve(), depth), "unicode")
    state.bytes += len(made)
    if state.bytes > _LONGEST:
        _refuse(state, f"with the mosaics in it its text has more than {_LONGEST} characters")
    return made


def _made(state: _Checked, given: Element, folder: Path, depth: int) -> Element:
    """Return an element made anew, with those in it."""
    known = _KNOWN.get(given.tag)
    if known is None:
        _refuse(state, f"it has the element <{given.tag}>")
    for name, value in given.attrib.items():
        if name not in known or (name == "subClass" and value not in _CLASSES):
            _refuse(state, f'<{given.tag}> has the attribute {name}="{value}"')
    if given.tag == "SourceFilename":
        made = Element(given.tag, {"relativeToVRT": "0"})
        made.text = _source(state, given, folder, depth)
        return made
    made = Element(given.tag, given.attrib)
    made.text = given.text
    for child in given:
        if child.tag not in _LEFT_OUT:
            made.append(_made(state, child, folder, depth))
    return made


def _source(state: _Checked, given: Element, folder: Path, depth: int) -> str:
    """Return the path of a source, or the text of a mosaic that is one."""
    state.sources += 1
    if state.sources > _MOST:
        _refuse(state, f"it names more than {_MOST} sources")
    name = given.text or ""
    relative = given.get("relativeToVRT", given.get("relativetoVRT", "0")) == "1"
    try:
        path = ((folder if relative else Path()) / name).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        _refuse(state, f"it names {name[:200]!r}, which is no file here")
    if not path.is_relative_to(state.root):
        _refuse(state, f"it names {name[:200]!r}, which is not in its folder {state.root}")
    if path not in state.known:
        state.known[path] = _stand_in(state, path, depth)
    found = state.known[path]
    if found.startswith("<"):
        state.bytes += len(found)
    return found


def _stand_in(state: _Checked, path: Path, depth: int) -> str:
    """Return what GDAL is told instead of a file: a mosaic's text, else its path."""
    if not path.is_file():
        _refuse(state, f"it names {path}, which is no file")
    with Stored(path) as file:
        start = file.start(_LOOK)
    if _NESTED.match(start):
        return _text_of(state, path, depth + 1)
    if not start.startswith(_PICTURES):
        _refuse(state, f"it names {path}, which is no TIFF, PNG, JPEG or JPEG 2000")
    if _ELSEWHERE.search(start):
        _refuse(state, f"it names {path}, which begins as two formats")
    return str(path)


def _refuse(state: _Checked, reason: str) -> NoReturn:
    raise InvalidInput(
        f"{state.path}: {reason}; a mosaic may name the pictures in its folder and below, and say "
        "how they are placed. Pass trust_vrt=True (--trust-vrt) if you trust it to read any file "
        "and address."
    )
