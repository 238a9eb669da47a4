"""Windows of Zarr arrays and OME-Zarr images, in folders and zip files."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput, shown
from hdseg_gpu.core.locks import Lock
from hdseg_gpu.core.memory import Budget, MiB, budget_of
from hdseg_gpu.core.windows import Shape, Window
from hdseg_gpu.io.ome_zarr_metadata import Multiscale, georeference, multiscale
from hdseg_gpu.io.parts import part_bytes, parts_of
from hdseg_gpu.io.paths import quiet, reason_of
from hdseg_gpu.io.source import Georeference, ImageSource
from hdseg_gpu.io.unpack import LZMA_MEMORY

_XARRAY = "_ARRAY_DIMENSIONS"
_CHANNELS = ("c", "channel", "channels", "band", "bands")
_LONGEST_SIDE = 1 << 40  # pixels: Zarr also counts in 64 bits
_MOST_CHANNELS = 16  # longest unnamed axis that is taken for the channels
_INDEX = 64  # bytes of memory per chunk in a shard's index
_TASK = 3 << 10  # bytes of memory per chunk read at once
_LIBRARY = 4 * MiB


class ZarrSource(ImageSource):
    """A Zarr array as an image; axes other than y and x are channels or of length 1."""

    def __init__(
        self,
        name: str,
        array: Any,
        axes: Sequence[str],
        levels: tuple[Shape, ...] = (),
        place: Georeference | None = None,
        store: Any = None,
        budget: Budget | None = None,
    ) -> None:
        """`store`, if we opened it, is closed with the source, and its arrays are not trusted."""
        dtype = np.dtype(array.dtype)
        if dtype.kind not in "buif":
            raise InvalidInput(f"{name} has dtype {dtype}; convert it to integers or floats first.")
        if 0 in array.shape:
            raise InvalidInput(f"{name} has shape {array.shape} and contains no pixels.")
        _check_lengths(name, array.shape, axes)
        if max(array.shape) > _LONGEST_SIDE:
            raise InvalidInput(
                f"{name} has shape {array.shape}, but an axis may have at most {_LONGEST_SIDE} "
                "pixels; its metadata may be damaged."
            )
        y, x = axes.index("y"), axes.index("x")
        self.name = name
        self.shape = int(array.shape[y]), int(array.shape[x])
        self.channels = int(array.shape[axes.index("c")]) if "c" in axes else 1
        self.dtype = dtype.newbyteorder("=")
        self.storage = int(array.chunks[y]), int(array.chunks[x])
        self.levels = levels or (self.shape,)
        self.georeference = place
        self._axes = tuple(axes)
        self._pixel = _pixel_bytes(array, self.channels, self.storage)
        stored = part_bytes(self.storage, self._pixel)
        budget = budget or budget_of(None)
        # Parts as stored, decoded, assembled and transposed; the index of their shards.
        size = prod(array.chunks) * dtype.itemsize
        in_all = prod(-(-n // chunk) for n, chunk in zip(array.shape, array.chunks, strict=True))
        several = min(-(-stored // size), in_all)  # chunks at once
        self.decoding = 4 * stored + several * _TASK + _LIBRARY
        shard = _chunks_in_shard(array)
        if shard:
            self.decoding += _INDEX * shard
        if store is not None:
            from hdseg_gpu.io.zarr_codecs import bounded

            chunk = bounded(name, array, min(LZMA_MEMORY, budget.left))
            self.decoding += several * max(0, chunk.decoding - 2 * size)
            store.most = chunk.stored * (several if shard else 1) + _INDEX * shard
            array = chunk.array
        budget.require(
            self.decoding,
            f"{name}: decoding a chunk of shape {tuple(array.chunks)} and dtype {dtype}",
            "save it with smaller chunks",
        )
        self._array = array
        self._store = store
        self._lock = Lock()

    def _read(self, window: Window) -> NDArray[Any]:
        """Return (height, width, C).

        A missing chunk reads as the array's fill value, by Zarr's rule, so its loss is not noticed.
        ``bytes_read`` counts the decoded bytes of the chunks that the window touches, because Zarr
        does not report stored bytes.
        """
        pixels = np.empty((*window.shape, self.channels), self.dtype)
        for part in parts_of(window, self.storage, self._pixel):
            pixels[part.relative_to(window).slices] = self._part(part)
        self._count(window)
        return pixels

    def _part(self, window: Window) -> NDArray[Any]:
        """Return a window, whose chunks are all decoded at once."""
        rows, columns = window.slices
        cut = {"y": rows, "x": columns, "c": slice(None)}
        try:
            found = np.asarray(self._array[tuple(cut.get(axis, 0) for axis in self._axes)])
        except InvalidInput:
            raise
        except Exception as error:  # codecs and stores raise anything
            raise InvalidInput(
                f"{self.name} cannot be read in rows {window.top} to {window.bottom - 1}, columns "
                f"{window.left} to {window.right - 1}; a chunk there may be damaged: "
                f"{reason_of(error)}"
            ) from error
        kept = [axis for axis in self._axes if axis in cut]
        order = [kept.index(axis) for axis in "yxc" if axis in kept]
        return found.transpose(order).reshape(*window.shape, self.channels)

    def _count(self, window: Window) -> None:
        height, width = self.storage
        rows = -(-window.bottom // height) - window.top // height
        columns = -(-window.right // width) - window.left // width
        with self._lock:
            self.bytes_read += rows * columns * height * width * self.channels * self.dtype.itemsize

    def close(self) -> None:
        """Close the zip file, if it is one."""
        if self._store is not None:
            self._store.close()


def _pixel_bytes(array: Any, channels: int, storage: Shape) -> int:
    """Return the decoded bytes per pixel: of all its chunks, padding included."""
    chunk = prod(array.chunks) * array.dtype.itemsize
    each = -(-chunk // (storage[0] * storage[1]))
    return int(max(each, channels * array.dtype.itemsize))


def _chunks_in_shard(array: Any) -> int:
    """Return the number of chunks in a shard, 0 without sharding."""
    shards = getattr(array, "shards", None)
    if shards is None:
        return 0
    return prod(-(-s // c) for s, c in zip(shards, array.chunks, strict=True))


def open_zarr(
    where: Path | Any,
    level: int = 0,
    key: str | None = None,
    budget: Budget | None = None,
    class_axis: int | None = None,
) -> ImageSource:
    """Return a source of the windows of a Zarr array or an OME-Zarr image.

    Parameters
    ----------
    where : Path, zarr.Array or zarr.Group
        A folder or a .zip file, Zarr v2 or v3. A group is an OME-Zarr image (up to 0.5), or `key`
        names one of its arrays or groups. An array without axis names is (H, W), (H, W, C) with at
        most 16 channels, or else (C, H, W). For a path, links out of the folder and unsupported
        codecs are refused; an array or group is trusted.
    level : int
        The resolution of an OME-Zarr image, 0 is full resolution.
    key : str, optional
        Path of an array or a group within the group, "labels/cells" say.
    class_axis : int, optional
        The axis of a coarse map's classes, however many. Where it is 0, the default, few channels
        may be the last axis, too. None: it is an image.

    """
    if not isinstance(where, str | Path):
        with _opening(_name_of(where)):
            return _source(where, _name_of(where), level, key, None, budget, class_axis)
    budget = budget or budget_of(None)
    name, store = str(where), _store(Path(where), budget)
    try:
        with _opening(name):
            import zarr

            node = zarr.open(store, mode="r")
            return _source(node, name, level, key, store, budget, class_axis)
    except BaseException:
        store.close()
        raise


def _source(
    node: Any,
    name: str,
    level: int,
    key: str | None,
    store: Any,
    budget: Budget | None,
    class_axis: int | None,
) -> ImageSource:
    if key is not None:
        node, name = _member(node, name, key), f"{name}/{key}"
    if not _is_group(node):
        return _plain(node, name, level, store, budget, class_axis)
    attributes = dict(node.attrs)
    picture = multiscale(attributes, name)
    if picture is not None:
        return _picture(node, name, level, store, picture, budget)
    arrays = sorted(each for each, _ in node.arrays())
    if len(arrays) != 1:
        groups = sorted(each for each, _ in node.groups())
        raise InvalidInput(
            f"{name} is a group without OME-Zarr metadata; pass one of {(arrays + groups)[:20]} "
            "as the key."
            if arrays or groups
            else f"{name} is a group without arrays; name another store."
        )
    return _plain(node[arrays[0]], f"{name}/{arrays[0]}", level, store, budget, class_axis)


def _plain(
    array: Any, name: str, level: int, store: Any, budget: Budget | None, class_axis: int | None
) -> ImageSource:
    """Return the source of an array without OME-Zarr metadata."""
    # Axis names are a field of v3; in v2 xarray puts them into the attributes.
    named = getattr(array.metadata, "dimension_names", None) or array.attrs.get(_XARRAY)
    axes = ["c" if str(each).lower() in _CHANNELS else str(each).lower() for each in named or ()]
    if len(set(axes)) != len(array.shape) or not {"y", "x"} <= set(axes):
        axes = _guessed(name, array.shape, class_axis)
    source = ZarrSource(name, array, axes, store=store, budget=budget)
    _check_level(name, level, source.levels)
    return source


def _picture(
    node: Any, name: str, level: int, store: Any, picture: Multiscale, budget: Budget | None
) -> ImageSource:
    """Return the source of a level of an OME-Zarr image."""
    arrays = [_member(node, name, path) for path in picture.paths]
    for path, array in zip(picture.paths, arrays, strict=True):
        if _is_group(array) or len(array.shape) != len(picture.axes):
            raise InvalidInput(
                f"{name}: level {shown(path)} is no array with the axes {list(picture.axes)} of "
                "the metadata; name an array as the key."
            )
    y, x = picture.axes.index("y"), picture.axes.index("x")
    levels = tuple((int(a.shape[y]), int(a.shape[x])) for a in arrays)
    _check_level(name, level, levels)
    place = georeference(dict(node.attrs), picture, level)
    return ZarrSource(name, arrays[level], picture.axes, levels, place, store, budget)


def _guessed(name: str, shape: tuple[int, ...], class_axis: int | None) -> list[str]:
    """Return the axes of an array without axis names."""
    if len(shape) == 2:
        return ["y", "x"]
    if len(shape) == 3 and class_axis:
        axes = ["y", "x"]
        axes.insert(class_axis, "c")
        return axes
    if len(shape) == 3 and shape[2] <= _MOST_CHANNELS:
        return ["y", "x", "c"]
    if len(shape) == 3 and shape[0] <= _MOST_CHANNELS:
        return ["c", "y", "x"]
    if len(shape) == 3 and class_axis == 0:
        return ["c", "y", "x"]
    raise InvalidInput(
        f"{name} has shape {shape}; expected (H, W), (H, W, C) or (C, H, W) with at most "
        f"{_MOST_CHANNELS} channels, or OME-Zarr metadata with axis names."
    )


def _check_lengths(name: str, shape: tuple[int, ...], axes: Sequence[str]) -> None:
    """Raise InvalidInput if an image has more than one plane or time point."""
    for axis, length in zip(axes, shape, strict=True):
        if axis not in ("y", "x", "c") and length != 1:
            raise InvalidInput(
                f"{name} has {length} planes along the axis {shown(axis)}; one image is refined at "
                f"a time: save a store with one plane, or pass array[{_example(axes, axis)}]."
            )


def _example(axes: Sequence[str], chosen: str) -> str:
    """Return the index of the first plane, such as "0, :, :"."""
    return ", ".join("0" if axis == chosen else ":" for axis in axes)


def _check_level(name: str, level: int, levels: tuple[Shape, ...]) -> None:
    if not 0 <= level < len(levels):
        known = ", ".join(f"{i} ({h} x {w})" for i, (h, w) in enumerate(levels))
        raise InvalidInput(f"{name} has no level {level}; choose one of {known}.")


def _is_group(node: Any) -> bool:
    return not hasattr(node, "shape")


def _member(node: Any, name: str, key: str) -> Any:
    """Return the array or group at a path within a group."""
    if _is_group(node):
        try:
            return node[key]
        except Exception as error:  # KeyError, or metadata that cannot be parsed
            raise InvalidInput(
                f"{name} has no array or group {shown(key)} that can be opened "
                f"({reason_of(error)}); it contains: {_listed(node)}."
            ) from error
    raise InvalidInput(f"{name} is an array and contains no array {shown(key)}; pass no key.")


def _listed(node: Any) -> str:
    """Return the names of a group's members, for messages."""
    try:
        names = sorted(str(each) for each, _ in node.members())
    except Exception:
        return "members that cannot be opened"
    return ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")


def _name_of(node: Any) -> str:
    return str(getattr(node, "store_path", None) or "Zarr array")


def _store(path: Path, budget: Budget) -> Any:
    """Return the store of a folder or a .zip file."""
    try:
        from hdseg_gpu.io.zarr_store import Folder, Guarded, Zipped
    except ImportError as error:
        raise InvalidInput(
            f"{path} is a Zarr store; run `pip install 'hdseg_gpu[io]'` to read it."
        ) from error
    if not path.exists():
        raise InvalidInput(f"{path} does not exist.")
    if path.is_dir():
        return Guarded(Folder(path), budget)
    with _opening(str(path)):
        return Guarded(Zipped(path, budget), budget)


@contextmanager
def _opening(name: str) -> Iterator[None]:
    """Turn any exception of a store into one line."""
    try:
        with quiet():
            yield
    except InvalidInput:
        raise
    except Exception as error:  # from BadZipFile to metadata that are no valid JSON
        raise InvalidInput(
            f"{name} contains no Zarr array or group that can be opened: {reason_of(error)}"
        ) from error
