"""The arrows of ARCHITECTURE.md: who may import whom."""

import ast
import re
from pathlib import Path

import pytest

import hdseg_gpu

PACKAGE = Path(hdseg_gpu.__file__).parent
ROOT = Path(__file__).parent.parent
STANDARD = {"numpy", "hdseg_gpu"}

# room -> (our rooms it may import, libraries beside numpy and the standard library)
ROOMS = {
    "core": ({"core"}, set()),
    "ops": ({"core", "ops"}, set()),
    "backends": ({"core", "ops", "backends"}, set()),
    "solvers": ({"core", "ops", "solvers"}, set()),
    "pipeline": ({"core", "ops", "solvers", "pipeline"}, set()),
    "io": ({"core", "io"}, set()),
    "metrics": ({"core", "metrics"}, set()),
    "compat": ({"api", "core", "ops", "backends", "pipeline", "solvers", "compat"}, set()),
    "pictures": (set(), set()),
    "executors": ({"core", "io", "executors"}, set()),
    "engine": ({"core", "ops", "backends", "io", "pipeline", "executors", "engine"}, set()),
    "files": ({"core", "backends", "io", "pipeline", "executors", "engine"}, set()),
    "lazy": ({"core", "files", "io"}, {"dask"}),
    "api": ({"core", "ops", "backends", "solvers", "pipeline", "engine", "lazy"}, set()),
    "cli": (
        {"core", "backends", "io", "executors", "engine", "metrics", "pictures", "api", "files"}
        | {"cli"},
        {"typer", "rich"},
    ),
    "accelerate": ({"compat"}, set()),
    "__main__": ({"cli"}, set()),
    "__init__": ({"core", "io", "api", "files", "metrics", "compat", "accelerate"}, set()),
}
# A library has one home.
HOMES = {
    "backends/cuda/cupy_device.py": {"cupy", "cupyx"},
    "backends/cuda/transfer.py": {"cupy", "cupyx"},
    "backends/cuda/installation.py": {"cupy"},
    "backends/host/device.py": {"scipy"},
    "backends/interop.py": {"torch"},
    "backends/reference/band.py": {"scipy"},
    "backends/reference/cells.py": {"scipy"},
    "backends/reference/layout.py": {"scipy"},
    "backends/reference/levels.py": {"scipy"},
    "backends/reference/masks.py": {"scipy"},
    "backends/reference/matrix.py": {"scipy"},
    "compat/lazy.py": {"dask"},
    "compat/morphology.py": {"scipy", "cupyx"},
    "compat/potentials.py": {"scipy"},
    "compat/refiner.py": {"torch"},
    "compat/textbook.py": {"scipy"},
    "solvers/amg.py": {"scipy", "pyamg"},
    "solvers/direct.py": {"scipy"},
    "io/png_jpeg.py": {"PIL"},
    "io/deep_png.py": {"imagecodecs"},
    "io/tiff_source.py": {"tifffile"},
    "io/tiff_page.py": {"tifffile"},
    "io/tiff_pyramid.py": {"tifffile"},
    "io/zarr_source.py": {"zarr"},
    "io/zarr_store.py": {"zarr"},
    "io/zarr_codecs.py": {"zarr", "numcodecs"},
    "io/unpack.py": {"imagecodecs"},
    "io/ome_zarr_writer.py": {"zarr", "numcodecs"},
    "io/cog.py": {"rasterio"},
    "io/gdal.py": {"rasterio"},
    "io/raster_source.py": {"rasterio"},
    "io/picture_source.py": {"PIL"},
    "io/png_rows.py": {"rasterio"},
    "io/jpeg_rows.py": {"imagecodecs"},
    "io/slide_source.py": {"openslide"},
    "executors/dask.py": {"distributed"},
    "pictures.py": {"PIL"},
}
NAMES = {"Pillow": "PIL"}  # of libraries, as they are imported
FILES = sorted(p.relative_to(PACKAGE).as_posix() for p in PACKAGE.rglob("*.py"))


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "absolute imports only"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_there_are_files():
    assert len(FILES) > 20
    assert {re.sub(r"\.py$|/.*", "", f) for f in FILES} == set(ROOMS)


@pytest.mark.parametrize("file", FILES)
def test_room_imports_only_what_it_may(file):
    import sys

    rooms, libraries = ROOMS[re.sub(r"\.py$|/.*", "", file)]
    for name in imports(PACKAGE / file):
        first = name.partition(".")[0]
        if first == "hdseg_gpu":
            ours = name.split(".")[1]
            assert ours in rooms, f"{file} imports {name}"
        elif first != "numpy" and first not in sys.stdlib_module_names:
            assert first in libraries | HOMES.get(file, set()), f"{file} imports {name}"


@pytest.mark.parametrize("file", [file for file in FILES if file.count("/") > 1])
def test_backends_do_not_know_one_another(file):
    own = file.split("/")[1]
    known = {"reference": {"host"}, "cpu": {"host"}}.get(own, set()) | {own, "load"}
    for name in imports(PACKAGE / file):
        if name.startswith("hdseg_gpu.backends."):
            assert name.split(".")[2] in known, f"{file} imports {name}"


def rows():
    """Return the cells of each row of ARCHITECTURE.md's table of rooms, by room."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    table = re.search(r"^\| room \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.M)[1]
    found = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    return {room: cells for room, *cells in found}


def test_architecture_has_the_arrows_of_every_room():
    table = rows()
    assert table.keys() == ROOMS.keys() - {"__init__"}
    for room, (ours, _) in table.items():
        assert words(ours) == ROOMS[room][0] - {room}, room


def test_architecture_has_the_homes_of_every_library():
    for room, (_, theirs) in rows().items():
        said = set()  # (library, beginning of a path within the room)
        for clause in theirs.split("; "):
            libraries, _, places = clause.partition(" in ")
            said |= {(name, at) for name in words(libraries) for at in places.split(", ")}
        needed = {(name, "") for name in ROOMS[room][1]}
        for file, libraries in HOMES.items():
            if re.sub(r"\.py$|/.*", "", file) == room:
                needed |= {(name, file.partition("/")[2]) for name in libraries - {"cupyx"}}
        for name, file in needed:
            assert any(n == name and file.startswith(at) for n, at in said), (room, name, file)
        for name, at in said:
            assert any(n == name and file.startswith(at) for n, file in needed), (room, name, at)


def words(cell):
    return {NAMES.get(name, name) for name in cell.split(", ")} - {"nothing"}


def test_common_kernels_know_no_compiler():
    for path in (ROOT / "kernels" / "common").glob("*.h"):
        if path.name != "portable.h":
            assert not re.search(r"__CUDA|\bomp\b|#if|std::|\bnew\b|malloc", path.read_text()), path
