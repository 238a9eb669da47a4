"""Windows of whole-slide images of all vendors, by OpenSlide."""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.locks import Lock
from hdseg_gpu.core.memory import Budget, MiB, budget_of
from hdseg_gpu.core.windows import Shape, Window
from hdseg_gpu.io.parts import part_bytes, parts_of
from hdseg_gpu.io.paths import decoding, reason_of
from hdseg_gpu.io.source import Georeference, ImageSource
from hdseg_gpu.io.stored import Stored, read_within
from hdseg_gpu.io.tiff_source import open_tiff

_STORAGE = (256, 256)  # if a slide does not give its tile size
_CACHE = 32 * MiB  # of decoded tiles, in OpenSlide
_PIXEL = 4  # bytes per pixel in OpenSlide
# Vendors allowed for each extension, because OpenSlide goes by content.
_VENDORS = {
    ".svs": ("aperio", "generic-tiff"), ".ndpi": ("hamamatsu",), ".vms": ("hamamatsu",),
    ".vmu": ("hamamatsu",), ".mrxs": ("mirax",), ".scn": ("leica",), ".bif": ("ventana",),
    ".svslide": ("sakura",), ".dcm": ("dicom",),
}  # fmt: skip
_TIFFS = ("generic-tiff", "aperio", "philips", "trestle", "ventana", "leica")
_INDEX = 16 * MiB  # upper bound of the bytes of an index that names a slide's files
_NAMED = re.compile(
    r"^\s*(?:INDEXFILE|FILE_\d+|(?:Image|Map|Optimisation)File(?:\([^)]*\))?|MacroImage)\s*="
    r"[ \t]*(.*?)\s*$",
    re.MULTILINE,
)


def open_slide(path: Path, level: int = 0, budget: Budget | None = None) -> ImageSource:
    """Open one resolution of a slide.

    Slides of some vendors are several files: those of .mrxs, .vms and .vmu are named by an index,
    and must be beside it; those of .dcm are all files of the same series in the folder.
    """
    try:
        import openslide
    except (ImportError, OSError) as error:  # OSError: the C library is missing
        raise InvalidInput(
            f"{path}: this format is read by OpenSlide; run `pip install 'hdseg_gpu[wsi]'`."
        ) from error
    _check_files(path)
    with decoding(path):
        vendor = openslide.OpenSlide.detect_format(path)
        expected = _VENDORS.get(path.suffix.lower(), _TIFFS)
        if vendor not in expected:
            raise InvalidInput(
                f"{path} is no slide that OpenSlide can read as {path.suffix}: it looks like "
                f"{vendor or 'none'}, expected {' or '.join(expected)}; give it the matching "
                "extension."
            )
    try:
        slide = _opened(path)
    except openslide.OpenSlideError as error:
        raise InvalidInput(f"{path} is no slide that OpenSlide can read: {error}") from error
    try:
        with decoding(path):
            levels = tuple((int(height), int(width)) for width, height in slide.level_dimensions)
            if not 0 <= level < len(levels):
                known = ", ".join(f"{i} ({h} x {w})" for i, (h, w) in enumerate(levels))
                raise InvalidInput(f"{path} has no level {level}; its levels are {known}.")
            _check_aspect(path, levels[0], levels[level], level)
            return SlideSource(path, slide, levels, level, budget or budget_of(None))
    except BaseException:
        slide.close()
        raise


def open_aperio(path: Path, level: int = 0, budget: Budget | None = None) -> ImageSource:
    """Open one resolution of an Aperio slide, as a TIFF if possible, else by OpenSlide."""
    try:
        return open_tiff(path, level, budget=budget)
    except InvalidInput:
        return open_slide(path, level, budget)


def _opened(path: Path) -> Any:
    import openslide

    slide = openslide.OpenSlide(path)
    if hasattr(openslide, "OpenSlideCache"):
        slide.set_cache(openslide.OpenSlideCache(_CACHE))
    return slide


def _check_files(path: Path) -> None:
    """Raise InvalidInput for a slide that would open a pipe, or files not beside it."""
    Stored(path).close()
    suffix = path.suffix.lower()
    if suffix in (".vms", ".vmu"):
        _check_named(path, path, path.parent)
    elif suffix == ".mrxs":
        folder = path.with_suffix("")
        if (folder / "Slidedat.ini").exists():
            _check_named(path, folder / "Slidedat.ini", folder)
    elif suffix == ".dcm":
        for each in path.parent.iterdir():
            if each.exists() and not (each.is_file() or each.is_dir()):
                raise InvalidInput(
                    f"{path} cannot be opened: its folder contains {each.name}, which is no file; "
                    "OpenSlide examines the whole folder, so put the slide into one of its own."
                )


def _check_named(path: Path, index: Path, folder: Path) -> None:
    text = read_within(index, _INDEX).decode("latin-1")
    for name in _NAMED.findall(text):
        place = folder / name
        if "/" in name or (place.exists() and not place.is_file()):
            raise InvalidInput(
                f"{path} names {name[:200]!r}, which is no file beside it; the files of a slide "
                f"must be in {folder}."
            )
        if place.resolve().parent != folder.resolve():
            raise InvalidInput(f"{path} names {name!r}, a link that leads out of {folder}.")


class SlideSource(ImageSource):
    """A resolution of a slide, RGB; areas that were not scanned are white."""

    def __init__(
        self, path: Path, slide: Any, levels: tuple[Shape, ...], level: int, budget: Budget
    ) -> None:
        self.name, self.shape, self.levels = str(path), levels[level], levels
        self.channels, self.dtype, self.alpha = 3, np.dtype(np.uint8), False
        self.georeference = _place(slide.properties, levels, level)
        sides = (f"openslide.level[{level}].tile-{side}" for side in ("height", "width"))
        rows, columns = (int(slide.properties.get(side, 0)) for side in sides)
        self.storage = (rows or _STORAGE[0], columns or _STORAGE[1])
        self.held = _CACHE
        # A tile in OpenSlide, a tile while it is decoded, and parts of a window in both libraries.
        tile = self.storage[0] * self.storage[1] * _PIXEL
        self.decoding = 2 * tile + 3 * part_bytes(_STORAGE, _PIXEL)
        budget.require(
            self.held + self.decoding,
            f"{path}: decoding a tile of {self.storage[0]} x {self.storage[1]} pixels",
            "convert it to a TIFF with smaller tiles",
        )
        self._slide, self._level = slide, level  # None: closed
        self._factor = float(slide.level_downsamples[level])  # raises after a failed read
        self._process = os.getpid()
        self._lock = Lock()

    def _read(self, window: Window) -> NDArray[np.uint8]:
        """Return the colours of a window. OpenSlide is thread-safe."""
        pixels = np.empty((*window.shape, 3), np.uint8)
        for part in parts_of(window, _STORAGE, _PIXEL):
            region = self._region(part)
            pixels[part.relative_to(window).slices] = _on_white(np.asarray(region))
            with self._lock:
                self.bytes_read += region.width * region.height * 3  # decoded
        return pixels

    def _region(self, window: Window) -> Any:
        slide = self._own()
        # OpenSlide takes the corner in pixels of the finest level, and divides it by one factor for
        # rows and columns. If that is not an integer it blends neighbouring pixels slightly.
        corner = round(window.left * self._factor), round(window.top * self._factor)
        try:
            return slide.read_region(corner, self._level, (window.width, window.height))
        except Exception as error:  # of OpenSlide and of its Python wrapper
            raise InvalidInput(
                f"{self.name}: rows {window.top} to {window.bottom - 1}, columns {window.left} to "
                f"{window.right - 1} cannot be read, the file may be damaged or cut short: "
                f"{reason_of(error)}"
            ) from error

    def _own(self) -> Any:
        """Return the slide; a forked child opens its own, since both would share file positions."""
        with self._lock:
            if self._slide is None:
                raise InvalidInput(f"{self.name} is closed; open it again to read it.")
            if self._process != os.getpid():
                self._parents = self._slide  # its locks may be held, so it is never closed
                self._slide, self._process = _opened(Path(self.name)), os.getpid()
            return self._slide

    def close(self) -> None:
        """Close the slide; no thread may be reading it."""
        with self._lock:
            slide, self._slide = self._slide, None
        if slide is not None:
            slide.close()


def _on_white(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return RGB on white, from RGBA with colours not premultiplied by alpha."""
    colours, alpha = pixels[..., :3], pixels[..., 3:]
    if (alpha == 255).all():
        return np.ascontiguousarray(colours)
    part = alpha.astype(np.uint16)
    return ((colours * part + 255 * (255 - part) + 127) // 255).astype(np.uint8)


def _check_aspect(path: Path, full: Shape, here: Shape, level: int) -> None:
    """Refuse a level with another aspect: OpenSlide positions its pixels by the first level."""
    if abs(here[1] * full[0] - here[0] * full[1]) > 2 * sum(full):  # pixels are whole, or rounded
        raise InvalidInput(
            f"{path} may be damaged: level {level} has {here[0]} x {here[1]} pixels, another "
            f"aspect ratio than {full[0]} x {full[1]}; pass another level."
        )


def _place(properties: Any, levels: tuple[Shape, ...], level: int) -> Georeference | None:
    """Return the pixel size; slides give it in micrometres for the finest level."""
    try:
        finest = [float(properties[f"openslide.mpp-{axis}"]) for axis in "yx"]
    except (KeyError, ValueError):
        return None
    rows, columns = (full / here for full, here in zip(levels[0], levels[level], strict=True))
    return Georeference(pixel_size=(finest[0] * rows, finest[1] * columns))
