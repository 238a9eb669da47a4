"""The part of the backend `cuda` that thins masks and classes, as bit planes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.backends.cuda_kernels import CudaKernels, suffix
from hdseg_gpu.core.elements import NAMES, structuring_elements
from hdseg_gpu.core.ops import Classes, Mask, wall_of
from hdseg_gpu.core.windows import Shape

_WORD = 64  # pixels
# As in kernels/cuda/thinning.cu: what a tile is without its halo, and how wide that is.
_TILE = (192, 6)  # rows, words
_HALO = 32
_THREADS = 256
# Launches between two looks at whether anything still changes: looking waits for the device.
_PATIENCE = 64
# Classes whose planes are packed together, as in kernels/cuda/planes.cu.
_TOGETHER = 4
_SMALL = 64 << 20  # bytes; the planes of small pictures may take this


@dataclass(frozen=True)
class _Launches:
    """How the elements are tried: launch after launch, each some of them, or `repeats` passes."""

    kernel: str
    parts: list[tuple[Any, ...]]  # the arguments that say which elements
    repeats: int  # passes of one launch; 1 if a pass takes several launches
    at_boundaries: bool  # a match needs a pixel outside the set


class CudaPlanes(CudaKernels):
    """Packs pixels into planes, thins or widens these, and unpacks them."""

    def thinning(self, mask: Mask, elements: NDArray[np.int8], passes: int) -> Mask:
        height, width = mask.shape
        plane = self._planes(1, height, width)
        self._each_piece("pack_bytes", plane, mask, height, width, plane)
        plane = self._thin(plane, width, elements, passes)
        thinned: Mask = self.xp.empty_like(mask)
        self._each_piece("unpack_bytes", plane, mask, height, width, plane, thinned)
        return thinned

    def thinning_packed(
        self, mask: NDArray[np.uint8], width: int, elements: NDArray[np.int8], passes: int
    ) -> NDArray[np.uint8]:
        height = len(mask)
        plane = self._planes(1, height, width)
        self._spread("planes.cu", "pack_bits", plane.size, mask, height, width, plane)
        plane = self._thin(plane, width, elements, passes)
        thinned: NDArray[np.uint8] = self.xp.empty_like(mask)
        self._spread("planes.cu", "unpack_bits", mask.size, plane, height, width, thinned)
        return thinned

    def seeds(
        self, classes: Classes, count: int, elements: NDArray[np.int8], passes: int
    ) -> Classes:
        (height, width), kind = classes.shape, suffix(classes)
        seeds: Classes = self.xp.empty_like(classes)
        # To know which classes do not occur saves their planes, but waits for the device.
        labels = np.arange(count) if count <= _TOGETHER else self._present(classes)
        for batch in _batches(labels, classes.shape):
            planes = self._planes(len(batch), height, width)
            groups = self._groups(batch)
            for members, part in groups:
                self._each_piece(
                    f"pack_classes_{kind}", planes, classes, height, width,
                    members, np.int32(len(planes[part])), planes[part],
                )  # fmt: skip
            planes = self._thin(planes, width, elements, passes)
            for members, part in groups:
                self._each_piece(
                    f"unpack_seeds_{kind}", planes, classes, height, width,
                    members, planes[part], seeds,
                )  # fmt: skip
        return seeds

    def prune(self, seeds: Classes, length: int) -> Classes:
        (height, width), kind = seeds.shape, suffix(seeds)
        cores = self._planes(1, height, width)
        self._each_piece(f"pack_cores_{kind}", cores, seeds, height, width, cores)
        # All seeds around a core have its label, so what survives the opening is near a core.
        thick = self._widened(cores, 1)
        labels, pruned = self._present(seeds), seeds.copy()
        for batch in _batches(labels[labels > 0], seeds.shape):
            near = self._planes(len(batch), height, width)
            groups = self._groups(batch)
            for members, part in groups:
                self._each_piece(
                    f"pack_thick_{kind}", near, seeds, height, width, thick,
                    members, np.int32(len(near[part])), near[part],
                )  # fmt: skip
            near = self._widened(near, min(length, max(height, width)))
            for members, part in groups:
                self._each_piece(
                    f"clear_near_{kind}", near, seeds, height, width, thick,
                    members, near[part], pruned,
                )  # fmt: skip
        return pruned

    def _planes(self, count: int, height: int, width: int) -> Any:
        return self.xp.empty((count, height, -(-width // _WORD)), np.uint64)

    def _present(self, values: Classes) -> NDArray[np.int64]:
        """Return which values occur, in host memory."""
        found = self.xp.zeros(wall_of(values.dtype) + 1, np.uint8)
        self._spread(
            "planes.cu", f"mark_present_{suffix(values)}", values.size, values, values.size, found
        )
        return np.flatnonzero(self.host(found))

    def _groups(self, batch: NDArray[Any]) -> list[tuple[Any, slice]]:
        """Return labels whose planes are packed together, on the device, and which planes."""
        padded = np.full((-(-len(batch) // _TOGETHER), _TOGETHER), -1, np.int32)
        padded.reshape(-1)[: len(batch)] = batch
        firsts = range(0, len(batch), _TOGETHER)
        parts = (slice(i, min(i + _TOGETHER, len(batch))) for i in firsts)
        return list(zip(self.xp.asarray(padded), parts, strict=True))

    def _each_piece(self, kernel: str, planes: Any, *args: Any) -> None:
        """Start a kernel with a thread for each word of a plane, a warp for pieces of a row."""
        _, height, words = planes.shape
        self._spread("planes.cu", kernel, height * -(-words // 32) * 32, *args)

    def _widened(self, planes: Any, length: int) -> Any:
        """Return planes dilated by a square that reaches `length` pixels, in a few steps."""
        other, (count, height, words) = self.xp.empty_like(planes), planes.shape
        reach = 0
        while reach < length:
            by = min(reach + 1, length - reach)
            self._spread("planes.cu", "widen", planes.size, planes, count, height, words, by, other)
            planes, other, reach = other, planes, reach + by
        return planes

    def _thin(self, planes: Any, width: int, elements: NDArray[np.int8], passes: int) -> Any:
        """Return thinned planes; these are lost."""
        how = self._launches(elements)
        if not how.parts:
            return planes
        xp, (count, height, words) = self.xp, planes.shape
        tiles = -(-height // _TILE[0]) * -(-words // _TILE[1])
        other = xp.empty_like(planes)
        stamps = xp.zeros((count, tiles), np.int32)  # the last launch in which a tile has changed
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
                if int(stamps.max()) <= launch - since:
                    break
                looked = launch
        return planes

    def _launches(self, elements: NDArray[np.int8]) -> _Launches:
        """Find out which kernel knows the elements, and how many of them fit into one launch."""
        elements = _trimmed(elements)
        count, size, _ = elements.shape
        reach = max(size // 2, 1)
        at_boundaries = bool((elements < 0).any(axis=(1, 2)).all())
        directions = _directions(elements)
        sizes: tuple[Any, ...] = ()
        if directions is not None:
            kernel, values = f"thin_presets_{reach}", directions
        else:
            kernel, values, sizes = "thin_cells", elements, (np.int32(size),)
        most = _HALO // reach  # elements
        if count <= most:
            repeats, chunks = most // max(count, 1), [values][:count]
        else:
            repeats, chunks = 1, [values[i : i + most] for i in range(0, count, most)]
        parts = [(self.xp.asarray(c), np.int32(len(c)), *sizes) for c in chunks]
        return _Launches(kernel, parts, repeats, at_boundaries)


def _batches(labels: NDArray[Any], shape: Shape) -> list[NDArray[Any]]:
    """Divide labels into those whose planes are worked on together: one byte a pixel, or _SMALL."""
    height, width = shape
    both = 2 * 8 * height * -(-width // _WORD)  # buffers of one plane
    most = max(1, _SMALL // (both * _TOGETHER)) * _TOGETHER
    return [labels[i : i + most] for i in range(0, len(labels), most)]


def _trimmed(elements: NDArray[np.int8]) -> NDArray[np.int8]:
    """Return the elements that can match, without a frame in which no cell matters."""
    centre = elements.shape[1] // 2
    # Thinning removes pixels of the set: a miss in the centre never matches one.
    elements = elements[elements[:, centre, centre] >= 0].copy()
    elements[:, centre, centre] = 0
    _, y, x = np.nonzero(elements)
    reach = int(np.abs(np.concatenate([y, x]) - centre).max(initial=0))
    inner = slice(centre - reach, centre + reach + 1)
    return np.ascontiguousarray(elements[:, inner, inner])


def _directions(elements: NDArray[np.int8]) -> NDArray[np.int8] | None:
    """Return which preset each element is, if all are of the same set."""
    for name in NAMES:
        presets = _trimmed(structuring_elements(name))
        if presets.shape[1:] != elements.shape[1:]:
            continue
        same = (elements[:, np.newaxis] == presets).all(axis=(2, 3))
        if same.any(axis=1).all():
            found: NDArray[np.int8] = same.argmax(axis=1).astype(np.int8)
            return found
    return None
