"""Writing label maps of any size, in any format, atomically."""

import shutil
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from hdseg_gpu.core import checks
from hdseg_gpu.core.calls import stating
from hdseg_gpu.core.errors import InvalidInput, shown
from hdseg_gpu.core.memory import budget_of
from hdseg_gpu.core.windows import Shape, Window, is_inside
from hdseg_gpu.io.formats import format_of, instead, loaded, said_of_writing, suffix_of
from hdseg_gpu.io.own import make_folder
from hdseg_gpu.io.paths import (
    check_output,
    format_to_write,
    take_name,
    temporary_for,
    writing,
)  # fmt: skip
from hdseg_gpu.io.plane import Plane
from hdseg_gpu.io.source import Georeference, ImageSource, LabelSource

_TILE = 1024


def create_labels(
    path: Path, labels: LabelSource, georeference: Georeference | None, overwrite: bool
) -> None:
    """Write labels to a file, or a folder, that gets its name once it is complete."""
    # A private folder, so that no name that a writer uses is taken.
    folder = temporary_for(path)
    with writing(path):
        try:
            make_folder(folder)
            complete = folder / f"output{suffix_of(path)}"
            write_as(complete, labels, georeference, path)
            take_name(complete, path, overwrite)
        finally:
            remove(folder)


def write_as(
    path: Path, labels: LabelSource, georeference: Georeference | None, output: Path
) -> None:
    """Write labels to a temporary file, in the format of its extension.

    Raises InvalidInput, which names the output, for labels or sizes that the format cannot hold.
    """
    chosen, (height, width) = format_to_write(path), labels.shape
    assert chosen.write is not None
    if chosen.longest is not None and max(height, width) > chosen.longest:
        raise InvalidInput(
            f"output {output}: {height} x {width} pixels are more than {chosen.name} holds; write "
            f"{instead(lambda f: f.longest is None)}."
        )
    if not chosen.holds(*_limits(labels.dtype)):
        labels = _Checked(labels, output)
    loaded(chosen.write)(path, labels, georeference)


class _Checked:
    """Labels that are checked when a writer reads them."""

    def __init__(self, labels: LabelSource, output: Path) -> None:
        self._labels, self._output = labels, output

    def __getattr__(self, name: str) -> Any:
        return getattr(self._labels, name)

    def read(self, window: Window) -> NDArray[Any]:
        """Return (height, width)."""
        found = self._labels.read(window)
        if found.size:
            check_labels(self._output, found.dtype, int(found.min()), int(found.max()))
        return found


def _limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    return (0, 1) if dtype.kind == "b" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))


def check_labels(path: Path, dtype: np.dtype[Any], lowest: int, highest: int) -> None:
    """Raise InvalidInput if the format of `path` cannot hold the labels."""
    chosen = format_of(path)
    if chosen is None or chosen.holds(lowest, highest):
        return
    raise InvalidInput(
        f"output {path}: {chosen.name} holds labels from 0 to {chosen.most}, but these ({dtype}) "
        f"go from {lowest} to {highest}; write {instead(lambda f: f.holds(lowest, highest))}."
    )


def remove(path: Path) -> None:
    """Remove a file, or a folder with its content."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


class Output:
    """A label map that is written tile by tile, in any order, by one or more threads.

    Tiles are kept in a folder beside the output until it is closed, which writes the output. If a
    with statement ends with an error, nothing is left behind.

    Attributes
    ----------
    path : Path
        The output.
    shape : (int, int)
        Its rows and columns.
    dtype : dtype
        The type of its labels.
    tile : int
        Side of a tile in pixels; tiles at the right and bottom may be smaller.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import hdseg_gpu
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     output = hdseg_gpu.create_output(f"{folder}/labels.npy", shape=(2, 3))
    ...     output.write(hdseg_gpu.Window(0, 0, 2, 3), np.full((2, 3), 7, np.uint8))
    ...     output.close()
    ...     labels = np.load(output.path)
    >>> output.tile, output.dtype
    (1024, dtype('uint8'))
    >>> labels
    array([[7, 7, 7],
           [7, 7, 7]], dtype=uint8)
    """

    def __init__(
        self, path: Path, shape: Shape, dtype: DTypeLike, georeference: Georeference | None,
        overwrite: bool,
    ) -> None:  # fmt: skip
        self.path, self.shape, self.dtype, self.tile = path, shape, np.dtype(dtype), _TILE
        self._georeference, self._overwrite = georeference, overwrite
        folder = temporary_for(path, ".tiles")
        self._plane = Plane(folder, shape, _TILE, self.dtype.name)
        with writing(path):
            make_folder(folder)

    def write(self, window: Window, labels: NDArray[Any]) -> None:
        """Write whole tiles: the window must begin and end at tile boundaries."""
        _require_inside(window, self)
        if not isinstance(labels, np.ndarray):
            raise InvalidInput(f"labels={shown(labels)} must be a NumPy array.")
        if labels.shape != window.shape or labels.dtype != self.dtype:
            raise InvalidInput(
                f"labels have shape {labels.shape} and dtype {labels.dtype}; {window} of "
                f"{self.path} needs shape {window.shape} and dtype {self.dtype}."
            )
        grid = self._plane.grid
        for index in grid.meeting(window):
            core = grid.core(index)
            if core.intersection(window) != core:
                raise InvalidInput(
                    f"{window} cuts the tile {core} of {self.path}; write multiples of {_TILE}."
                )
            with writing(self.path):
                self._plane.write(index, labels[core.relative_to(window).slices])

    def read(self, window: Window) -> NDArray[Any]:
        """Return labels (height, width); tiles that were not written are 0."""
        _require_inside(window, self)
        found = np.zeros(window.shape, self.dtype)
        grid = self._plane.grid
        for index in grid.meeting(window):
            common = grid.core(index).intersection(window)
            if common is not None and self._plane.path(index).exists():
                found[common.relative_to(window).slices] = self._plane.read(common)
        return found

    def close(self) -> None:
        """Write the output file."""
        try:
            create_labels(self.path, self, self._georeference, self._overwrite)
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove all tiles without writing the output."""
        remove(self._plane.folder)

    def __enter__(self) -> "Output":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()


@stating(formats=said_of_writing())
def create_output(
    path: str | Path,
    *,
    like: ImageSource | None = None,
    shape: Shape | None = None,
    dtype: DTypeLike = np.uint8,
    overwrite: bool = False,
) -> Output:
    """Return a label map to be written tile by tile; the file is written when it is closed.

    Parameters
    ----------
    path : path
        {formats}
    like : ImageSource, optional
        The image from which the labels take size, georeference and pixel size.
    shape : (H, W), optional
        The size, if `like` is not given.
    dtype : dtype
        Integer dtype of the labels.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    InvalidInput
        An argument is invalid, or the output cannot be written there.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import hdseg_gpu
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = f"{folder.name}/labels.npy"
    >>> with hdseg_gpu.create_output(path, shape=(2, 3)) as output:
    ...     output.write(hdseg_gpu.Window(0, 0, 2, 3), np.full((2, 3), 7, np.uint8))
    >>> np.load(path)
    array([[7, 7, 7],
           [7, 7, 7]], dtype=uint8)
    >>> folder.cleanup()
    """
    target, overwrite = checks.path("path", path), checks.switch("overwrite", overwrite)
    target = check_output(target, overwrite=overwrite)
    kind = _label_dtype(dtype)
    if like is None:
        return Output(target, _size(target, shape, kind), kind, None, overwrite)
    if not isinstance(like, ImageSource):
        raise InvalidInput(f"like={shown(like)} must be an ImageSource, as open_image returns.")
    return Output(target, like.shape, kind, like.georeference, overwrite)


def _size(target: Path, shape: Any, dtype: np.dtype[Any]) -> Shape:
    if shape is None:
        raise InvalidInput(f"output {target} needs shape=, or like= with an image.")
    if not isinstance(shape, tuple | list) or len(shape) != 2:
        raise InvalidInput(f"shape={shown(shape)} must be (height, width), both at least 1.")
    height, width = (checks.integer("shape", n, 1) for n in shape)
    rows = min(_TILE, height)
    what = f"output {target}: writing {rows} rows of shape=({height}, {width})"
    budget_of(None).require(rows * width * dtype.itemsize, what, "write narrower files")
    return height, width


def _label_dtype(dtype: Any) -> np.dtype[Any]:
    found: np.dtype[Any]
    try:
        found = np.dtype(dtype)
    except Exception:  # a wrong type, or whatever a foreign class raises
        found = np.dtype(object)
    if found.kind not in "biu" or dtype is None:
        raise InvalidInput(f"dtype={shown(dtype)} must be an integer dtype.")
    return found


def _require_inside(window: Any, output: Output) -> None:
    if not is_inside(window, output.shape):
        raise InvalidInput(
            f"{shown(window)} is not inside {output.path}, which has {output.shape[0]} rows and "
            f"{output.shape[1]} columns; pass a Window of integers inside it."
        )
