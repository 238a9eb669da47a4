"""Ops of the backend `cuda` on masks, as bit planes, and label filters."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cuda.cupy_device import BLOCK
from hdseg_gpu.backends.cuda.kernels import CudaKernels, suffix
from hdseg_gpu.backends.cuda.structs import band_of
from hdseg_gpu.core.classes import Classes, Mask, wall_of
from hdseg_gpu.core.elements import wedges
from hdseg_gpu.core.windows import Shape
from hdseg_gpu.ops import Band

_WORD = 64  # pixels
# As in kernels/cuda/thinning.cu: a tile without its halo, and the width of the halo.
_TILE = (192, 6)  # rows, words
_HALO = 32
_THREADS = 256
_WEDGES = (4, 1)  # radii of elements known at compile time (HDSEG_THIN_PRESETS)
_DIRECTIONS = 16  # that an argument of 64 bits holds
_STRIP = 64  # rows of a plane that a thread dilates
# Launches between two checks whether anything still changes; a check waits for the device.
_PATIENCE = 64
# Classes whose planes are packed together, as in kernels/cuda/planes.cu.
_TOGETHER = 4
_MOST_PLANES = (1 << 16) - _TOGETHER  # a launch has fewer than 2^16 blocks along y
_SMALL = 64 << 20  # bytes that the planes of small images may take


@dataclass(frozen=True)
class _Launches:
    """The launches of one pass: each applies some elements, or all of them `repeats` times."""

    kernel: str
    parts: list[tuple[Any, ...]]  # arguments: the elements
    repeats: int  # passes of one launch; 1 if a pass takes several launches
    at_boundaries: bool  # a match needs a pixel outside the set


class CudaMaskOps(CudaKernels):
    """Packs pixels into planes, thins or widens these, and unpacks them."""

    def majority(self, labels: Classes, band: Band, size: int) -> Classes:
        found: Any = self.xp.empty(band.size, labels.dtype)
        self._spread(
            "filters.cu", f"majority_{suffix(labels)}", band.size,
            labels, band_of(band), band.size, size, found,
        )  # fmt: skip
        return found  # type: ignore[no-any-return]

    def pack(self, mask: Mask) -> NDArray[np.uint64]:
        height, width = mask.shape
        plane = self._planes(1, height, width)
        self._each_piece("pack_bytes", plane, mask, height, width, plane)
        found: NDArray[np.uint64] = plane[0]
        if width % _WORD:  # the kernel repeats the last pixel
            found[:, -1] &= np.uint64((1 << width % _WORD) - 1)
        return found

    def unpack(self, plane: NDArray[np.uint64], width: int) -> NDArray[np.bool_]:
        mask = self.xp.ones((len(plane), width), np.bool_)
        found: NDArray[np.bool_] = self.xp.empty_like(mask)
        planes = self.xp.ascontiguousarray(plane)[np.newaxis]
        self._each_piece("unpack_bytes", planes, mask, len(plane), width, planes, found)
        return found

    def thinning(self, mask: Mask, elements: NDArray[np.int8], passes: int) -> Mask:
        height, width = mask.shape
        plane = self._planes(1, height, width)
        self._each_piece("pack_bytes", plane, mask, height, width, plane)
        plane, _ = self._thin(plane, width, elements, passes)
        thinned: Mask = self.xp.empty_like(mask)
        self._each_piece("unpack_bytes", plane, mask, height, width, plane, thinned)
        return thinned

    def thinning_packed(
        self, mask: NDArray[np.uint8], width: int, elements: NDArray[np.int8], passes: int
    ) -> NDArray[np.uint8]:
        height = len(mask)
        plane = self._planes(1, height, width)
        self._spread("planes.cu", "pack_bits", plane.size, mask, height, width, plane)
        plane, _ = self._thin(plane, width, elements, passes)
        thinned: NDArray[np.uint8] = self.xp.empty_like(mask)
        self._spread("planes.cu", "unpack_bits", mask.size, plane, height, width, thinned)
        return thinned

    def seeds(
        self, classes: Classes, count: int, elements: NDArray[np.int8], passes: int
    ) -> Classes:
        return self.pruned_seeds(classes, count, elements, passes, 0)

    def pruned_seeds(
        self, classes: Classes, count: int, elements: NDArray[np.int8], passes: int, length: int
    ) -> Classes:
        seeds: Classes = self.xp.empty_like(classes)
        labels = np.arange(count)
        if len(_batches(labels, classes.shape)) > 1:
            # Classes that do not occur need no planes, but finding them waits for the device.
            labels = self._present(classes)
        for batch in _batches(labels, classes.shape):
            members = self._listed(batch)
            planes = self._packed(classes, members)
            planes, other = self._thin(planes, classes.shape[1], elements, passes)
            self._unpack(classes, members, planes, other, length, 1, seeds)
        return seeds

    def prune(self, seeds: Classes, length: int) -> Classes:
        labels, pruned = self._present(seeds), seeds.copy()
        for batch in _batches(labels[labels > 0], seeds.shape):
            members = self._listed(batch)
            planes = self._packed(seeds, members)
            self._unpack(seeds, members, planes, self.xp.empty_like(planes), length, 0, pruned)
        return pruned

    def _planes(self, count: int, height: int, width: int) -> Any:
        return self.xp.empty((count, height, -(-width // _WORD)), np.uint64)

    def _present(self, values: Classes) -> NDArray[np.int64]:
        """Return which values occur, in host memory."""
        found = self.xp.zeros(wall_of(values.dtype) + 1, np.uint8)
        self.mark_present(values, found)
        return np.flatnonzero(self.host(found))

    def _listed(self, batch: NDArray[Any]) -> tuple[Any, np.int32, np.int32]:
        """Return labels as arguments of kernels: a list, whether it is used, and their number."""
        if batch[-1] < len(batch):  # 0, 1, 2, ...
            return self.xp.empty(1, np.int32), np.int32(0), np.int32(len(batch))
        return self.xp.asarray(batch.astype(np.int32)), np.int32(1), np.int32(len(batch))

    def _packed(self, classes: Classes, members: tuple[Any, np.int32, np.int32]) -> Any:
        """Return the planes of some classes."""
        planes = self._planes(int(members[2]), *classes.shape)
        self._each_piece(
            f"pack_classes_{suffix(classes)}", planes, classes, *classes.shape, *members, planes
        )
        return planes

    def _unpack(
        self,
        classes: Classes,
        members: tuple[Any, np.int32, np.int32],
        planes: Any,
        other: Any,
        length: int,
        more: int,
        seeds: Classes,
    ) -> None:
        """Set the pixels of some classes: class + more where a bit is left that is no spur."""
        (count, height, words), near = planes.shape, other
        length = min(length, max(classes.shape))
        if length > 0:
            self._spread(
                "planes.cu", "open_planes", planes.size, planes, count, *classes.shape, other
            )
            near, rows = self.xp.empty_like(planes), min(2 * length + 1, _STRIP)
            self._spread(
                "planes.cu", "spread_along_columns", count * -(-height // rows) * words,
                other, count, height, words, length, rows, near,
            )  # fmt: skip
        self._each_piece(
            f"unpack_classes_{suffix(classes)}", planes, classes, *classes.shape, *members,
            planes, other, near, length, np.int32(more), seeds,
        )  # fmt: skip

    def _each_piece(self, kernel: str, planes: Any, *args: Any) -> None:
        """Start a kernel with a thread for each word of a plane, a warp for pieces of a row.

        Blocks (x, g) work on the g-th _TOGETHER of the planes.
        """
        count, height, words = planes.shape
        blocks = min(-(-height * -(-words // 32) * 32 // BLOCK), self.device.most_blocks)
        grid = blocks, -(-count // _TOGETHER)
        self.device.launch("planes.cu", kernel, grid, (BLOCK,), args)

    def _thin(
        self, planes: Any, width: int, elements: NDArray[np.int8], passes: int
    ) -> tuple[Any, Any]:
        """Return thinned planes, and a buffer of the same size; `planes` is overwritten."""
        how, other = self._launches(elements), self.xp.empty_like(planes)
        if not how.parts:
            return planes, other
        count, height, words = planes.shape
        tiles = -(-height // _TILE[0]) * -(-words // _TILE[1])
        # The last launch that changed a tile; set by the first launch.
        stamps = self.xp.empty((count, tiles), np.int32)
        since = len(how.parts)
        launch, looked = 0, 0
        while passes > 0:
            repeats = min(how.repeats, passes)
            for part in how.parts:
                launch += 1
                self.device.launch(
                    "thinning.cu", how.kernel, (tiles, count), (_THREADS,),
                    (planes, other, height, width, stamps, np.int32(launch), np.int32(since),
                     np.int32(how.at_boundaries), *part, np.int32(repeats)),
                )  # fmt: skip
                planes, other = other, planes
            passes -= repeats
            if launch - looked >= _PATIENCE and passes > 0:
                if self.host(stamps).max() <= launch - since:
                    break
                looked = launch
        return planes, other

    def _launches(self, elements: NDArray[np.int8]) -> _Launches:
        """Choose the kernel for the elements, and how many of them fit into one launch."""
        elements = _trimmed(elements)
        count, size, _ = elements.shape
        reach = max(size // 2, 1)
        at_boundaries = bool((elements < 0).any(axis=(1, 2)).all())
        directions = _directions(elements)
        within = _HALO // reach  # elements of a launch
        most = within if directions is None else min(within, _DIRECTIONS)
        firsts = range(0, count, most)
        repeats = within // count if len(firsts) == 1 else 1
        if directions is None:
            parts = [
                (self.xp.asarray(elements[i : i + most]), np.int32(min(most, count - i)),
                 np.int32(size)) for i in firsts
            ]  # fmt: skip
            return _Launches("thin_cells", parts, repeats, at_boundaries)
        numbers = [directions[i : i + most] for i in firsts]
        return _Launches(
            f"thin_presets_{reach}",
            [(_as_number(some), np.int32(len(some))) for some in numbers], repeats, at_boundaries,
        )  # fmt: skip


def _batches(labels: NDArray[Any], shape: Shape) -> list[NDArray[Any]]:
    """Divide labels into groups processed together: one byte per pixel in all, or _SMALL."""
    height, width = shape
    both = 2 * 8 * height * -(-width // _WORD)  # buffers of one plane
    most = max(1, _SMALL // (both * _TOGETHER)) * _TOGETHER
    most = min(most, _MOST_PLANES)
    return [labels[i : i + most] for i in range(0, len(labels), most)]


def _trimmed(elements: NDArray[np.int8]) -> NDArray[np.int8]:
    """Return the elements that can match, without margins of "don't care"."""
    centre = elements.shape[1] // 2
    # Thinning removes pixels of the set: a miss in the centre never matches one.
    elements = elements[elements[:, centre, centre] >= 0].copy()
    elements[:, centre, centre] = 0
    _, y, x = np.nonzero(elements)
    reach = int(np.abs(np.concatenate([y, x]) - centre).max(initial=0))
    inner = slice(centre - reach, centre + reach + 1)
    return np.ascontiguousarray(elements[:, inner, inner])


def _as_number(directions: NDArray[np.int8]) -> np.uint64:
    """Return directions as an argument of kernels: 4 bits each."""
    return np.uint64(sum(int(d) << 4 * i for i, d in enumerate(directions)))


def _directions(elements: NDArray[np.int8]) -> NDArray[np.int8] | None:
    """Return which preset each element is, if all have the same radius."""
    for radius in _WEDGES:
        presets = _trimmed(wedges(radius))
        if presets.shape[1:] != elements.shape[1:]:
            continue
        same = (elements[:, np.newaxis] == presets).all(axis=(2, 3))
        if same.any(axis=1).all():
            found: NDArray[np.int8] = same.argmax(axis=1).astype(np.int8)
            return found
    return None
