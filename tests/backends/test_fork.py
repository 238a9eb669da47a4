"""Forked children finish, with results identical to their parent's; fork_cases.py has the cases."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hdseg_gpu.backends.cpu import isa

CASES = Path(__file__).parents[1] / "fork_cases.py"
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


def said(case, folder, *arguments, isa=None):
    """Return what a case prints; a child that hangs fails it."""
    environment = {**os.environ, "OMP_NUM_THREADS": "3", "PYTHONWARNINGS": "ignore"}
    if isa is not None:
        environment["HDSEG_CPU_ISA"] = isa
    # -P: the installed package, not the folder beside it.
    done = subprocess.run(
        [sys.executable, "-P", CASES, case, folder, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", isa.NAMES)
def test_a_child_and_its_child(tmp_path, name):
    if name not in isa.supported():
        pytest.skip(f"this processor has no {name}")
    assert said("after_use", tmp_path, isa=name) == ["well", "well", "True True"]


@pytest.mark.parametrize(
    "case",
    ["threads_of_a_child", "before_use", "amid_kernels", "held_locks", "lazily", "cuda"],
)
def test_a_child(tmp_path, case):
    assert said(case, tmp_path) == ["well"]


def test_a_pool_of_forked_processes(tmp_path):
    assert said("pool", tmp_path) == ["True"]


def test_workers_of_a_data_loader(tmp_path):
    pytest.importorskip("torch", exc_type=ImportError)
    assert said("loader", tmp_path) == ["True"]


def written_sources(folder):
    """Write one picture in every format that a library keeps open, and return the paths."""
    rng = np.random.default_rng(5)
    image = rng.integers(0, 256, (700, 900, 3), dtype=np.uint8)
    tifffile, zarr = pytest.importorskip("tifffile"), pytest.importorskip("zarr")
    rasterio = pytest.importorskip("rasterio")
    pytest.importorskip("openslide")
    np.save(folder / "image.npy", image)
    tifffile.imwrite(folder / "image.tif", image, tile=(64, 64), compression="zlib")
    tifffile.imwrite(
        folder / "image.svs", image, tile=(64, 64), compression="jpeg",
        description="Aperio Image Library v1\n900x700 (64x64)|AppMag = 20", metadata=None,
    )  # fmt: skip
    with zarr.storage.ZipStore(folder / "image.zarr.zip", mode="w") as store:
        zarr.create_array(store, data=image, chunks=(64, 64, 3))
    with rasterio.open(
        folder / "image.img", "w", driver="HFA", height=700, width=900, count=3, dtype="uint8"
    ) as raster:
        raster.write(np.moveaxis(image, -1, 0))
    return sorted(path for path in folder.iterdir() if path.suffix != ".xml")


@pytest.mark.filterwarnings("ignore")
def test_children_read_from_a_source_of_their_parent(tmp_path):
    paths = written_sources(tmp_path)
    found = said("sources", tmp_path, *paths)
    assert found == [f"{path.name} [0, 0, 0] True" for path in paths]


@pytest.mark.parametrize("name", isa.supported())
def test_kernels_have_no_lock_of_the_process(name):
    """Critical sections and reductions of several variables would be: a fork may leave it held."""
    module = Path(isa.load(name)[1].__file__).read_bytes()
    for lock in (b"GOMP_critical", b"GOMP_atomic", b"kmpc_critical"):
        assert lock not in module
