"""Writing label maps of any size as OME-Zarr 0.5, in bounded memory."""

import shutil
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.windows import Shape, between
from hdseg_gpu.io.formats import suffix_of
from hdseg_gpu.io.paths import take_name
from hdseg_gpu.io.pyramid import level_shapes
from hdseg_gpu.io.source import Georeference, LabelSource

# The group's attribute for the georeference, for which OME-Zarr has no field:
# {"crs": str | None, "transform": [a, b, c, d, e, f] | None}, of level 0, as in ``Georeference``.
GEOREFERENCE_KEY = "hdseg_gpu"

_WRITERS = 2  # shards compressed at the same time


def write_ome_zarr(
    path: Path,
    labels: LabelSource,
    georeference: Georeference | None,
    *,
    chunk: int = 512,
    shard: int = 4096,
) -> None:
    """Write labels and their pyramid to a new folder.

    Every label is read once, shard by shard, row after row. Each level takes every second row and
    column of the level before. Parts of unfinished shards of the smaller levels are kept
    compressed, so memory is a few shards, and grows with the image only as the compressed labels
    do.

    Parameters
    ----------
    path : Path
        The folder to create; it must not exist.
    labels : LabelSource
        Integers; bools become 0 and 1.
    georeference : Georeference, optional
        The pixel size becomes scale and unit; CRS and transform, for which OME-Zarr has no field,
        go to the attribute ``hdseg_gpu``; TIFF tags are left out.
    chunk, shard : int
        Sides of a chunk, which is decoded as a whole, and of a shard, which is one file: `shard` is
        even and a multiple of `chunk`.

    """
    _check(path, labels, chunk, shard)
    temporary = path.with_name(f".hdseg-{uuid4().hex[:12]}.part")
    try:
        dtype = np.dtype(labels.dtype)
        stored = np.dtype(np.uint8) if dtype.kind == "b" else dtype.newbyteorder("=")
        shapes = level_shapes(labels.shape)
        attributes = _attributes(path, len(shapes), georeference)
        arrays = _create(temporary, shapes, stored, attributes, chunk, shard)
        _fill(arrays, labels, stored, shard)
        take_name(temporary, path, overwrite=False)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check(path: Path, labels: LabelSource, chunk: int, shard: int) -> None:
    """Raise InvalidInput, before any label is read, if the output cannot be written."""
    dtype = np.dtype(labels.dtype)
    if dtype.kind not in "bui":
        raise InvalidInput(f"labels have the dtype {dtype}; pass integers.")
    if min(chunk, shard) < 1 or shard % chunk or shard % 2:
        raise InvalidInput(
            f"shard={shard} must be even and a multiple of chunk={chunk}; try shard=4096, "
            "chunk=512."
        )
    if path.exists() or path.is_symlink():
        raise InvalidInput(f"output {path} exists; name another folder, or remove it first.")
    if not path.parent.is_dir():
        raise InvalidInput(f"output folder {path.parent} does not exist; create it first.")
    try:
        import zarr.codecs  # noqa: F401
    except ImportError as error:
        raise InvalidInput(
            f"output {path} is a Zarr store; run `pip install 'hdseg_gpu[io]'` to write it."
        ) from error


def _attributes(path: Path, levels: int, georeference: Georeference | None) -> dict[str, Any]:
    """Return the attributes of the group: OME metadata, and our own for the georeference."""
    place = georeference or Georeference()
    size = place.pixel_size or (1.0, 1.0)
    axes: list[dict[str, str]] = [{"name": name, "type": "space"} for name in "yx"]
    if place.pixel_size:
        for axis in axes:
            axis["unit"] = "micrometer"
    datasets = []
    for level in range(levels):
        step = 2**level
        # Translations refer to pixel centres. A pixel covers step x step pixels of level 0 and is
        # centred on them, so that all levels cover the same area.
        transformations = [
            {"type": "scale", "scale": [step * float(s) for s in size]},
            {"type": "translation", "translation": [(step - 1) / 2 * float(s) for s in size]},
        ]
        datasets.append({"path": str(level), "coordinateTransformations": transformations})
    name = path.name.removesuffix(suffix_of(path))
    multiscale = {"name": name, "axes": axes, "datasets": datasets, "type": "nearest"}
    ome = {"version": "0.5", "multiscales": [multiscale], "image-label": {}}
    attributes: dict[str, Any] = {"ome": ome}
    if place.crs is not None or place.transform is not None:
        transform = None if place.transform is None else [float(t) for t in place.transform]
        attributes[GEOREFERENCE_KEY] = {"crs": place.crs, "transform": transform}
    return attributes


def _create(
    path: Path,
    shapes: list[Shape],
    dtype: np.dtype[Any],
    attributes: dict[str, Any],
    chunk: int,
    shard: int,
) -> list[Any]:
    """Return the empty arrays of all levels."""
    import zarr
    from zarr.codecs import ZstdCodec

    try:
        group = zarr.create_group(path, zarr_format=3, attributes=attributes)
    except OSError as error:
        raise InvalidInput(f"output folder {path.parent} is not writable: {error}") from error
    return [
        group.create_array(
            str(level),
            shape=shape,
            dtype=dtype,
            chunks=(chunk, chunk),
            # A level smaller than a shard is one file of the necessary size.
            shards=tuple(min(shard, -(-n // chunk) * chunk) for n in shape),
            # With a checksum: a damaged chunk is an error, never wrong labels.
            compressors=ZstdCodec(level=1, checksum=True),
            fill_value=0,
            dimension_names=("y", "x"),
            # Searching for chunks of zeros takes longer than compressing them.
            config={"write_empty_chunks": True},
        )
        for level, shape in enumerate(shapes)
    ]


def _fill(arrays: list[Any], labels: LabelSource, dtype: np.dtype[Any], shard: int) -> None:
    with ThreadPoolExecutor(_WRITERS, "hdseg-zarr") as pool:
        levels = _Levels(arrays, shard, pool)
        height, width = labels.shape
        for top in range(0, height, shard):
            for left in range(0, width, shard):
                window = between(top, left, top + shard, left + shard, labels.shape)
                part = np.asarray(labels.read(window), dtype=dtype)
                levels.add(0, top // shard, left // shard, part)
        levels.finish()


class _Levels:
    """Takes the shards of level 0 and writes whole shards of every level."""

    def __init__(self, arrays: list[Any], shard: int, pool: ThreadPoolExecutor) -> None:
        # A dependency of Zarr, without type hints.
        from numcodecs import Zstd  # type: ignore[import-untyped, unused-ignore]

        self._arrays = arrays
        self._shard = shard
        self._pool = pool
        self._codec = Zstd(level=1)
        self._writing: deque[Future[None]] = deque()
        # (level, row, column) of an unfinished shard: its compressed quarters so far, with shapes
        self._quarters: dict[tuple[int, int, int], dict[Shape, tuple[bytes, Shape]]] = {}

    def add(self, level: int, row: int, column: int, labels: NDArray[Any]) -> None:
        """Write a shard, and those of the next levels that it completes."""
        self._write(level, row, column, labels)
        if level + 1 == len(self._arrays):
            return
        key = level + 1, row // 2, column // 2
        quarter = np.ascontiguousarray(labels[::2, ::2])
        quarters = self._quarters.setdefault(key, {})
        quarters[row % 2, column % 2] = self._codec.encode(quarter), quarter.shape
        rows, columns = (-(-n // self._shard) for n in self._arrays[level].shape)
        if len(quarters) == min(2, rows - row // 2 * 2) * min(2, columns - column // 2 * 2):
            self.add(*key, self._joined(key))

    def _joined(self, key: tuple[int, int, int]) -> NDArray[Any]:
        """Return the shard assembled from its quarters, and drop these."""
        level, row, column = key
        side, array = self._shard, self._arrays[level]
        at = between(row * side, column * side, (row + 1) * side, (column + 1) * side, array.shape)
        labels = np.empty(at.shape, array.dtype)
        for (down, right), (packed, shape) in self._quarters.pop(key).items():
            top, left = down * side // 2, right * side // 2
            quarter = np.frombuffer(self._codec.decode(packed), array.dtype).reshape(shape)
            labels[top : top + shape[0], left : left + shape[1]] = quarter
        return labels

    def _write(self, level: int, row: int, column: int, labels: NDArray[Any]) -> None:
        """Start writing; at most one shard per writer is in memory beside the next."""
        if not labels.any():
            return  # a missing file reads as zeros
        while len(self._writing) >= _WRITERS:
            self._writing.popleft().result()
        top, left = row * self._shard, column * self._shard
        at = slice(top, top + labels.shape[0]), slice(left, left + labels.shape[1])
        self._writing.append(self._pool.submit(self._arrays[level].__setitem__, at, labels))

    def finish(self) -> None:
        """Wait for all writers."""
        while self._writing:
            self._writing.popleft().result()
