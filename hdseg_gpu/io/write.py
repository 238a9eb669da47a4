"""Writing PNG, TIFF, .npy and .npz: complete or not at all."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hdseg_gpu.core.errors import InvalidInput

WRITABLE = (".png", ".tif", ".tiff", ".npy", ".npz")
_PNG_DTYPES = ("bool", "uint8", "uint16")


def check_output(path: Path, *, overwrite: bool, inputs: tuple[Path, ...] = ()) -> None:
    """Refuse, before any work is done, an output that could not or should not be written."""
    if path.suffix.lower() not in WRITABLE:
        lossy = (
            " (JPEG would change the labels)" if path.suffix.lower() in (".jpg", ".jpeg") else ""
        )
        raise InvalidInput(
            f"output {path} has the extension {path.suffix!r}{lossy}; choose one of "
            f"{', '.join(WRITABLE)}."
        )
    if not path.parent.is_dir():
        raise InvalidInput(f"output folder {path.parent} does not exist; create it first.")
    if path.is_dir():
        raise InvalidInput(f"output {path} is a folder; name a file in it.")
    for source in inputs:
        if path.exists() and source.exists() and path.samefile(source):
            raise InvalidInput(f"output {path} is an input too; name another file.")
    if path.exists() and not overwrite:
        raise InvalidInput(f"output {path} exists; name another file, or pass --overwrite.")
    if not os.access(path.parent, os.W_OK):
        raise InvalidInput(f"output folder {path.parent} is not writable.")


def check_labels(path: Path, dtype: np.dtype[Any], lowest: int, highest: int) -> None:
    """Refuse labels that the format of `path` cannot hold."""
    if path.suffix.lower() == ".png" and (lowest < 0 or highest > np.iinfo(np.uint16).max):
        raise InvalidInput(
            f"output {path}: PNG holds labels from 0 to 65535, these ({dtype}) go from {lowest} "
            f"to {highest}; write .tif or .npy."
        )


def write_labels(path: Path, labels: NDArray[Any]) -> None:
    """Write a label map without loss, in its own dtype (PNG: the smallest that fits)."""
    suffix = path.suffix.lower()
    if suffix in (".npy", ".npz"):
        save: Callable[..., None] = np.save if suffix == ".npy" else np.savez_compressed
        with _completed(path) as stream:
            save(stream, labels)
    elif suffix == ".png":
        check_labels(path, labels.dtype, int(labels.min()), int(labels.max()))
        if labels.dtype.name not in _PNG_DTYPES:
            small = labels.max() <= np.iinfo(np.uint8).max
            labels = labels.astype(np.uint8 if small else np.uint16)
        write_picture(path, labels)
    else:
        import tifffile

        if labels.dtype.kind == "b":
            labels = labels.astype(np.uint8)
        with _completed(path) as stream:
            tifffile.imwrite(stream, labels, compression="zlib", bigtiff=labels.nbytes > 2**31)


def write_picture(path: Path, pixels: NDArray[Any]) -> None:
    """Write grey or RGB pixels as PNG."""
    from PIL import Image

    picture = Image.fromarray(pixels)
    with _completed(path) as stream:
        picture.save(stream, format="PNG")


@contextmanager
def _completed(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path` that takes its name only when the body succeeds."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
