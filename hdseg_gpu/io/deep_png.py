"""Colour PNGs with 16 bits per channel, by imagecodecs."""

from pathlib import Path

import numpy as np

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.io.paths import decoding
from hdseg_gpu.io.picture import Picture
from hdseg_gpu.io.stored import Stored


def read_deep_png(path: Path, file: Stored) -> Picture:
    """Return the pixels as uint16: grey with alpha, RGB or RGBA."""
    try:
        import imagecodecs
    except ImportError as error:
        raise InvalidInput(
            f"{path} is a 16-bit colour PNG; run `pip install 'hdseg_gpu[io]'` to read it, "
            "or save it in another format."
        ) from error
    with decoding(path):
        pixels = np.asarray(imagecodecs.png_decode(file.fetch(0, file.size)))
    return Picture(pixels, pixels.ndim == 3 and pixels.shape[2] in (2, 4))
