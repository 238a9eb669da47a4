"""Windows of Zarr arrays and of OME-Zarr pictures, in folders and zip files."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput
from hdseg_gpu.core.locks import Lock
from hdseg_gpu.core.windows import Shape, Window
from hdseg_gpu.io.ome_zarr_metadata import Multiscale, georeference, multiscale
from hdseg_gpu.io.source import Georeference, ImageSource

_XARRAY = "_ARRAY_DIMENSIONS"
_CHANNELS = ("c", "channel", "channels", "band", "bands")
_MOST_CHANNELS = 16  # of an axis that nothing says to be the channels


class ZarrSource(ImageSource):
    """A Zarr array of which windows are read; its other axes are the channels or of length 1."""

    def __init__(
        self,
        name: str,
        array: Any,
        axes: Sequence[str],
        levels: tuple[Shape, ...] = (),
        place: Georeference | None = None,
        store: Any = None,
    ) -> None:
        """`store` is closed with the source."""
        dtype = np.dtype(array.dtype)
        if dtype.kind not in "buif":
            raise InvalidInput(
                f"{name} has the dtype {dtype}; convert it to whole numbers or floats first."
            )
        if 0 in array.shape:
            raise InvalidInput(f"{name} has the shape {array.shape}, without a single pixel.")
        _check_lengths(name, array.shape, axes)
        y, x = axes.index("y"), axes.index("x")
        self.name = name
        self.shape = int(array.shape[y]), int(array.shape[x])
        self.channels = int(array.shape[axes.index("c")]) if "c" in axes else 1
        self.dtype = dtype.newbyteorder("=")
        self.storage = int(array.chunks[y]), int(array.chunks[x])
        self.levels = levels or (self.shape,)
        self.georeference = place
        self._array = array
        self._axes = tuple(axes)
        self._store = store
        self._lock = Lock()
        self._process = os.getpid()
        self.anew: Callable[[], ZarrSource] | None = None  # opens the same zip file once more

    def _read(self, window: Window) -> NDArray[Any]:
        """Return (height, width, C).

        A chunk that is not stored reads as the array's fill value: Zarr's rule, so its loss is not
        noticed. ``bytes_read`` counts the chunks that the window touches as they are decoded: what
        they were in the store is known to Zarr alone.
        """
        rows, columns = window.slices
        cut = {"y": rows, "x": columns, "c": slice(None)}
        try:
            found = np.asarray(self._own()[tuple(cut.get(axis, 0) for axis in self._axes)])
        except MemoryError:
            raise
        except Exception as error:  # codecs and stores pass on anything
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise InvalidInput(
                f"{self.name} cannot be read in rows {window.top} to {window.bottom - 1}, columns "
                f"{window.left} to {window.right - 1}; a chunk there may be damaged: {reason}"
            ) from error
        kept = [axis for axis in self._axes if axis in cut]
        order = [kept.index(axis) for axis in "yxc" if axis in kept]
        pixels = np.array(found.transpose(order), dtype=self.dtype, order="C")
        self._count(window)
        return pixels.reshape(*window.shape, self.channels)

    def _own(self) -> Any:
        """Return the array; a forked child opens a zip file anew, as both would share its position.

        The parent's is not even closed, as its locks may be held.
        """
        if self.anew is not None:
            with self._lock:
                if self._process != os.getpid():
                    other, self._parents = self.anew(), (self._array, self._store)
                    self._array, self._store = other._array, other._store
                    self._process = os.getpid()
        return self._array

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


def open_zarr(where: Path | Any, level: int = 0, key: str | None = None) -> ZarrSource:
    """Return a source of the windows of a Zarr array or an OME-Zarr picture.

    Parameters
    ----------
    where : Path, zarr.Array or zarr.Group
        A folder or a .zip file, Zarr v2 or v3. A group is an OME-Zarr picture (up to 0.5), or the
        `key` says which of its arrays or groups is meant. An array without names of its axes is
        (H, W), (H, W, C) with at most 16 channels, or else (C, H, W).
    level : int
        The resolution of an OME-Zarr picture, 0 is the full one.
    key : str, optional
        Path of an array or a group within the group, "labels/cells" say.

    """
    if not isinstance(where, str | Path):
        return _source(where, _name_of(where), level, key, None)
    name, store = str(where), _store(Path(where))
    try:
        source = _source(_root(store, name), name, level, key, store)
        if Path(where).is_file():
            source.anew = partial(open_zarr, where, level, key)
        return source
    except BaseException:
        with suppress(AttributeError):  # of a ZipStore that could not be opened
            store.close()
        raise


def _source(node: Any, name: str, level: int, key: str | None, store: Any) -> ZarrSource:
    if key is not None:
        node, name = _member(node, name, key), f"{name}/{key}"
    if not _is_group(node):
        return _plain(node, name, level, store)
    attributes = dict(node.attrs)
    picture = multiscale(attributes, name)
    if picture is not None:
        return _picture(node, name, level, store, picture)
    arrays = sorted(each for each, _ in node.arrays())
    if len(arrays) != 1:
        groups = sorted(each for each, _ in node.groups())
        raise InvalidInput(
            f"{name} is a group without OME-Zarr metadata; choose one of {arrays + groups} "
            "as the key."
            if arrays or groups
            else f"{name} is a group that holds no array; name another store."
        )
    return _plain(node[arrays[0]], f"{name}/{arrays[0]}", level, store)


def _plain(array: Any, name: str, level: int, store: Any) -> ZarrSource:
    """Return the source of an array without OME-Zarr metadata."""
    # v3 has a place for names, in v2 xarray puts them among the attributes
    named = getattr(array.metadata, "dimension_names", None) or array.attrs.get(_XARRAY)
    axes = ["c" if str(each).lower() in _CHANNELS else str(each).lower() for each in named or ()]
    if len(set(axes)) != len(array.shape) or not {"y", "x"} <= set(axes):
        axes = _guessed(name, array.shape)
    source = ZarrSource(name, array, axes, store=store)
    _check_level(name, level, source.levels)
    return source


def _picture(node: Any, name: str, level: int, store: Any, picture: Multiscale) -> ZarrSource:
    """Return the source of a level of an OME-Zarr picture."""
    arrays = [_member(node, name, path) for path in picture.paths]
    for path, array in zip(picture.paths, arrays, strict=True):
        if _is_group(array) or len(array.shape) != len(picture.axes):
            raise InvalidInput(
                f"{name}: level {path!r} is no array with the axes {list(picture.axes)} that the "
                "metadata promise; name an array as the key."
            )
    y, x = picture.axes.index("y"), picture.axes.index("x")
    levels = tuple((int(a.shape[y]), int(a.shape[x])) for a in arrays)
    _check_level(name, level, levels)
    place = georeference(dict(node.attrs), picture, level)
    return ZarrSource(name, arrays[level], picture.axes, levels, place, store)


def _guessed(name: str, shape: tuple[int, ...]) -> list[str]:
    """Return the axes of an array that does not name them."""
    if len(shape) == 2:
        return ["y", "x"]
    if len(shape) == 3 and shape[2] <= _MOST_CHANNELS:
        return ["y", "x", "c"]
    if len(shape) == 3 and shape[0] <= _MOST_CHANNELS:
        return ["c", "y", "x"]
    raise InvalidInput(
        f"{name} has the shape {shape}; expected (H, W), (H, W, C) or (C, H, W) with at most "
        f"{_MOST_CHANNELS} channels, or OME-Zarr metadata that name the axes."
    )


def _check_lengths(name: str, shape: tuple[int, ...], axes: Sequence[str]) -> None:
    """Refuse a picture that has more than one plane or moment."""
    for axis, length in zip(axes, shape, strict=True):
        if axis not in ("y", "x", "c") and length != 1:
            raise InvalidInput(
                f"{name} has {length} planes along the axis {axis!r}; one picture is refined at a "
                f"time, save a store with one of them, or pass array[{_example(axes, axis)}]."
            )


def _example(axes: Sequence[str], chosen: str) -> str:
    """Return the index that takes the first plane: "0, :, :" say."""
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
            known = ", ".join(sorted(str(each) for each, _ in node.members()))
            raise InvalidInput(
                f"{name} holds no array or group {key!r} that can be opened "
                f"({type(error).__name__}); it holds: {known}."
            ) from error
    raise InvalidInput(f"{name} is an array, so it holds no array {key!r}; pass no key.")


def _name_of(node: Any) -> str:
    return str(getattr(node, "store_path", None) or "Zarr array")


def _store(path: Path) -> Any:
    """Return the open store of a folder or a .zip file."""
    try:
        from zarr.storage import LocalStore, ZipStore
    except ImportError as error:
        raise InvalidInput(
            f"{path} is a Zarr store; run `pip install 'hdseg_gpu[io]'` to read it."
        ) from error
    if not path.exists():
        raise InvalidInput(f"{path} does not exist.")
    return LocalStore(path, read_only=True) if path.is_dir() else ZipStore(path, mode="r")


def _root(store: Any, name: str) -> Any:
    """Return the array or group that a store is."""
    import zarr

    try:
        return zarr.open(store, mode="r")
    except Exception as error:  # from BadZipFile to metadata that are no JSON
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InvalidInput(
            f"{name} holds no Zarr array or group that can be opened: {reason}"
        ) from error
