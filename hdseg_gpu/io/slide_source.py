"""Windows of whole slides of all vendors, by OpenSlide."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.locks import Lock
from hdseg_gpu.core.windows import Shape, Window
from hdseg_gpu.io.source import Georeference, ImageSource

_STORAGE = (256, 256)  # where a slide does not say


def open_slide(path: Path, level: int = 0) -> ImageSource:
    """Open one resolution of a slide."""
    try:
        import openslide
    except (ImportError, OSError) as error:  # OSError: the C library is not there
        raise InvalidInput(
            f"{path}: slides of this kind are read by OpenSlide; run "
            "`pip install 'hdseg_gpu[wsi]'`."
        ) from error
    try:
        slide = openslide.OpenSlide(path)
    except openslide.OpenSlideError as error:
        raise InvalidInput(f"{path} is no slide that OpenSlide can read: {error}") from error
    levels = tuple((int(height), int(width)) for width, height in slide.level_dimensions)
    if not 0 <= level < len(levels):
        slide.close()
        known = ", ".join(f"{i} ({h} x {w})" for i, (h, w) in enumerate(levels))
        raise InvalidInput(f"{path} has no level {level}; its levels are {known}.")
    return SlideSource(path, slide, levels, level)


class SlideSource(ImageSource):
    """A resolution of a slide, RGB; what was not scanned is white."""

    def __init__(self, path: Path, slide: Any, levels: tuple[Shape, ...], level: int) -> None:
        self.name, self.shape, self.levels = str(path), levels[level], levels
        self.channels, self.dtype, self.alpha = 3, np.dtype(np.uint8), False
        self.georeference = _place(slide.properties, levels, level)
        sides = (f"openslide.level[{level}].tile-{side}" for side in ("height", "width"))
        rows, columns = (int(slide.properties.get(side, 0)) for side in sides)
        self.storage = (rows or _STORAGE[0], columns or _STORAGE[1])
        self._slide, self._level = slide, level  # None: closed
        self._process = os.getpid()
        self._lock = Lock()

    def _read(self, window: Window) -> NDArray[np.uint8]:
        """Return the colours of a window. OpenSlide lets several threads read at once."""
        import openslide

        slide = self._own()
        # OpenSlide wants the corner in pixels of the finest level.
        rows, columns = (full / here for full, here in zip(self.levels[0], self.shape, strict=True))
        corner = round(window.left * columns), round(window.top * rows)
        try:
            region = slide.read_region(corner, self._level, (window.width, window.height))
        except (openslide.OpenSlideError, ValueError) as error:
            raise InvalidInput(
                f"{self.name}: rows {window.top} to {window.bottom - 1}, columns {window.left} to "
                f"{window.right - 1} cannot be read, the file may be damaged or cut short: {error}"
            ) from error
        with self._lock:
            self.bytes_read += region.width * region.height * 3  # decoded; stored ones are unknown
        return _on_white(np.asarray(region))

    def _own(self) -> Any:
        """Return the slide; a forked child opens it anew, as both would share files' positions."""
        import openslide

        with self._lock:
            if self._slide is None:
                raise InvalidInput(f"{self.name} is closed; open it again to read it.")
            if self._process != os.getpid():
                self._parents = self._slide  # whose locks may be held: it is not even closed
                self._slide, self._process = openslide.OpenSlide(self.name), os.getpid()
            return self._slide

    def close(self) -> None:
        """Close the slide; no thread may be reading."""
        with self._lock:
            slide, self._slide = self._slide, None
        if slide is not None:
            slide.close()


def _on_white(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return RGB of RGBA whose colours are not multiplied by alpha."""
    colours, alpha = pixels[..., :3], pixels[..., 3:]
    if (alpha == 255).all():
        return np.ascontiguousarray(colours)
    part = alpha.astype(np.uint16)
    return ((colours * part + 255 * (255 - part) + 127) // 255).astype(np.uint8)


def _place(properties: Any, levels: tuple[Shape, ...], level: int) -> Georeference | None:
    """Return the size of a pixel, which slides give in micrometres for the finest level."""
    try:
        finest = [float(properties[f"openslide.mpp-{axis}"]) for axis in "yx"]
    except (KeyError, ValueError):
        return None
    rows, columns = (full / here for full, here in zip(levels[0], levels[level], strict=True))
    return Georeference(pixel_size=(finest[0] * rows, finest[1] * columns))
