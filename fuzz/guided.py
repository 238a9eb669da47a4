"""``python -m fuzz.guided TARGET``: inputs that reach new lines of our own parsers, by atheris.

atheris is not among the dependencies: ``pip install atheris``. Further arguments, such as
``-max_total_time=600``, are passed to libFuzzer. Inputs found are written to the current folder.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import atheris

from fuzz import corpus

# The Python code of libraries is instrumented, too, where ours is a thin layer over it.
with atheris.instrument_imports(include=["hdseg_gpu.io", "hdseg_gpu.core", "tifffile"]):
    from hdseg_gpu import HdsegError, open_image
    from hdseg_gpu.core.windows import Window
    from hdseg_gpu.io.ome_zarr_metadata import georeference, multiscale


def _file(suffix: str) -> Callable[[bytes], None]:
    """Return a function that opens a file of an extension and reads its corners."""
    path = Path(tempfile.mkdtemp(prefix="hdseg-guided-")) / f"mutant{suffix}"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        with open_image(path) as source:
            height, width = source.shape
            source.read(Window(0, 0, min(height, 3), min(width, 3)))
            source.read(Window(height - 1, width - 1, 1, 1))

    return read


def _metadata(data: bytes) -> None:
    """Read the attributes of an OME-Zarr group."""
    try:
        attributes = json.loads(data)
    except (ValueError, RecursionError):
        return
    if isinstance(attributes, dict):
        picture = multiscale(attributes, "mutant")
        if picture is not None:
            georeference(attributes, picture, 0)


_TARGETS: dict[str, tuple[Callable[[bytes], None], tuple[str, ...]]] = {
    "tiff": (_file(".tif"), (".tif", ".tiff", ".svs")),
    "png": (_file(".png"), (".png",)),
    "jpeg": (_file(".jpg"), (".jpg", ".jpeg")),
    "npy": (_file(".npy"), (".npy",)),
    "metadata": (_metadata, (".zattrs", "zarr.json")),
}


def _beginnings(endings: tuple[str, ...]) -> Path:
    """Return a folder with the initial corpus."""
    folder = Path(tempfile.mkdtemp(prefix="hdseg-guided-"))
    files = [each for seed in corpus.seeds() for each in seed.files.items()]
    for number, (name, data) in enumerate(files):
        if name.endswith(endings):
            (folder / str(number)).write_bytes(_attributes(data) if "json" in name else data)
    return folder


def _attributes(data: bytes) -> bytes:
    return json.dumps(json.loads(data).get("attributes", {})).encode()


def main() -> None:
    """Run one target until libFuzzer stops."""
    if len(sys.argv) < 2 or sys.argv[1] not in _TARGETS:
        sys.exit(f"name a target: {', '.join(_TARGETS)}")
    target, endings = _TARGETS[sys.argv.pop(1)]

    def refused_or_right(data: bytes) -> Any:
        try:
            target(data)
        except HdsegError as error:
            if "\n" in str(error):
                raise
            return -1
        return 0

    atheris.Setup([*sys.argv, "-rss_limit_mb=3000", "-timeout=20", str(_beginnings(endings))],
                  refused_or_right)  # fmt: skip
    atheris.Fuzz()


if __name__ == "__main__":
    main()
