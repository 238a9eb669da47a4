"""Images that stay in host memory while a device reads them strip by strip."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cuda.cupy_device import Device
from hdseg_gpu.backends.cuda.kernels import CudaKernels
from hdseg_gpu.ops import Band


class Strip(NamedTuple):
    """Rows of an image on the device: a strip, and the rows around it that were asked for."""

    top: int  # first row of its own
    bottom: int
    values: Any  # (rows, W, C)
    above: int  # rows before `top`


class Part(NamedTuple):
    """Rows of an image on the device, with the positions of a band that are pixels of them."""

    begin: int
    end: int
    values: Any  # (rows, W, C)
    first: int  # number of the first pixel


class Picture:
    """An image (H, W, C) in host memory."""

    def __init__(self, device: Device, image: NDArray[Any], rows: int, *, keep: bool) -> None:
        self.shape, self.dtype = image.shape, image.dtype
        self._device, self._image, self._keep = device, image, keep
        self._rows = max(1, min(rows, len(image)))
        self._whole: Any = None

    def first_value(self) -> Any:
        """Return the first value as an array of the device, (1,)."""
        return self._device.xp.asarray(self._image.reshape(-1)[:1])

    def tops(self, multiple: int = 1) -> range:
        """Return the first rows of the strips, multiples of a number; 0 if all is on the device."""
        rows = -(-self._rows // multiple) * multiple
        return range(0, self.shape[0], self.shape[0] if self._whole is not None else rows)

    def strips(
        self, halo: int = 0, multiple: int = 1, wanted: Sequence[bool] | None = None
    ) -> Iterator[Strip]:
        """Yield all strips from the top, or the chosen ones."""
        height, tops = self.shape[0], self.tops(multiple)
        if self._whole is not None:
            yield Strip(0, height, self._whole, 0)
            return
        rows, image = tops.step, self._image
        if self._keep:
            whole = self._device.xp.empty(self.shape, self.dtype)
            into = [whole[top : top + rows] for top in tops]
            parts = [image[top : top + rows] for top in tops]
            for top, values in zip(tops, self._device.sent(parts, into), strict=True):
                yield Strip(top, top + len(values), values, 0)
            self._whole = whole
            return
        chosen = [top for i, top in enumerate(tops) if wanted is None or wanted[i]]
        if not chosen:
            return
        parts = [image[max(0, top - halo) : top + rows + halo] for top in chosen]
        for top, values in zip(chosen, self._device.sent(parts, None), strict=True):
            yield Strip(top, min(top + rows, height), values, min(halo, top))

    def kept(self) -> "Picture":
        """Return this image, as an array of the device if it is to be kept there."""
        if self._keep and self._whole is None:
            for _ in self.strips():
                pass
        return self


def first_value(image: Any) -> Any:
    """Return the first value of a picture, or of an array of the device: (1,)."""
    return image.first_value() if isinstance(image, Picture) else image.reshape(-1)[:1]


def strips_of(image: Any, multiple: int = 1) -> Iterator[Strip]:
    """Yield the strips of a picture, or an array of the device as one strip."""
    if isinstance(image, Picture):
        yield from image.strips(0, multiple)
    else:
        yield Strip(0, len(image), image, 0)


def parts_of(ops: CudaKernels, image: Any, band: Band, halo: int = 0) -> Iterator[Part]:
    """Yield the strips of a picture with the positions of a band in each; an array is one part."""
    if not isinstance(image, Picture):
        yield Part(0, band.size, image, 0)
        return
    tops, width = image.kept().tops(), band.shape[1]
    limits = [0, band.size]
    if len(tops) > 1:
        pixels = ops.xp.asarray(np.array([*tops, band.shape[0]], np.int64) * width)
        limits = ops.host(band.start[ops.xp.searchsorted(band.pixel, pixels)]).tolist()
    ends = [(begin, end) for begin, end in pairwise(limits) if begin < end]
    wanted = [begin < end for begin, end in pairwise(limits)]
    for strip, (begin, end) in zip(image.strips(halo, wanted=wanted), ends, strict=False):
        yield Part(begin, end, strip.values, (strip.top - strip.above) * width)
