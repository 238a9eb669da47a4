"""Coarse maps that are larger than the memory they may take, in processes of their own."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from large_files import environment

MIB = 1 << 20

# Looks at a map, keeps it and measures the detail of its boundaries, as a run does.
_STREAM = """
import sys
sys.path.insert(0, sys.argv[1])
import json, tempfile, warnings
from pathlib import Path
warnings.simplefilter("ignore")
from engine_internals import REFERENCE, CoarseValues, drawn_by_network, kept_by, open_coarse
from hdseg_gpu.backends import of_host
from hdseg_gpu.core.memory import budget_of, peak, resident
from hdseg_gpu.core.report import Stages
from hdseg_gpu.pipeline.doubt import detail_of
with open_coarse(sys.argv[2]) as source, tempfile.TemporaryDirectory() as folder:
    before, size = resident(), source.whole_room()
    values = CoarseValues(source, Stages(), None, budget_of(before + 160 * 2**20), at_once=False)
    kept_by(values, Path(folder))
    h, w = values.summary.shape
    strips = drawn_by_network(values, Path(folder), of_host(), (4 * h, 4 * w), 4.0, 1 << 20)
    detail = detail_of(of_host(), strips)
    kept = sum(file.stat().st_size for file in Path(folder).iterdir())
    print(json.dumps([size, kept, peak() - before, values.summary.values.tolist(), detail]))
"""

SIDE = 1500


def _planes(path):
    planes = np.lib.format.open_memmap(path, "w+", np.float32, (21, SIDE, SIDE))
    planes[0], planes[:2, 100:900, 100:900] = 1, [[[0]], [[1]]]
    planes.flush()


def _packed_planes(path):
    planes = np.zeros((21, SIDE, SIDE), np.float32)
    planes[0], planes[:2, 100:900, 100:900] = 1, [[[0]], [[1]]]
    np.savez_compressed(path, planes)


def _zarr_planes(path):
    zarr = pytest.importorskip("zarr")
    planes = zarr.create_array(path, shape=(21, SIDE, SIDE), chunks=(1, 256, 256), dtype="f4")
    planes[0] = 1
    planes[0, 100:900, 100:900] = 0
    planes[1, 100:900, 100:900] = 1


def _tiff_planes(path):
    planes = tifffile.memmap(path, shape=(21, SIDE, SIDE), dtype=np.float32, metadata=None,
                             photometric="minisblack", planarconfig="separate")  # fmt: skip
    planes[0], planes[:2, 100:900, 100:900] = 1, [[[0]], [[1]]]
    planes.flush()


def _labels(array):
    array[100:900, 100:900] = 1
    array[4000:4500] = 255  # nothing else for as far as strips reach
    array.flush()


def _npy_labels(path):
    _labels(np.lib.format.open_memmap(path, "w+", np.int32, (5 * SIDE, 5 * SIDE)))


def _tiff_labels(path):
    _labels(tifffile.memmap(path, shape=(6 * SIDE, 8 * SIDE), dtype=np.uint16,
                            photometric="minisblack"))  # fmt: skip


@pytest.mark.parametrize(
    ("name", "write"),
    [("a.npy", _planes), ("a.npz", _packed_planes), ("a.zarr", _zarr_planes),
     ("a.tif", _tiff_planes), ("b.npy", _npy_labels), ("b.tif", _tiff_labels)],
)  # fmt: skip
def test_a_map_is_never_held_whole(tmp_path, name, write):
    write(tmp_path / name)
    size, kept, rise, labels, detail = child(_STREAM, Path(__file__).parents[1], tmp_path / name)
    assert size > 170 * MIB
    assert kept > 50 * MIB
    assert rise < 128 * MIB
    assert labels == (list(range(21)) if name.startswith("a") else [0, 1])
    assert 0 < detail < 0.01  # a square: its corners alone


_RUN = """
import json, sys, warnings
warnings.simplefilter("ignore")
import hdseg_gpu
image, coarse, output, allowed = sys.argv[1:]
report = hdseg_gpu.refine_file(
    image, coarse, output, max_memory=int(allowed), sigma=0.1, elements="3x3", passes=4,
)
print(json.dumps([report.peak_memory, report.unknown_pixels, report.tiles]))
"""


def test_a_run_with_a_map_that_is_larger_than_its_memory(tmp_path):
    """Planes of 672 MiB with 600 MiB: 21 at a quarter of the image's resolution."""
    image, coarse, output = (tmp_path / f"{name}.npy" for name in ("image", "coarse", "out"))
    height, width = 2048, 65536
    y, x = np.mgrid[:height, :height]
    disc = (y - 700) ** 2 + (x - 500) ** 2 < 300**2
    pixels = np.lib.format.open_memmap(image, "w+", np.uint8, (height, width))
    pixels[:, :height][disc] = 180
    pixels.flush()
    planes = np.lib.format.open_memmap(coarse, "w+", np.float32, (21, height // 4, width // 4))
    small = disc[2::4, 2::4]
    planes[0], planes[:2, :, : height // 4] = 1, [~small, small]
    planes.flush()
    peak, unknown, tiles = child(_RUN, image, coarse, output, 600 * MIB)
    assert peak < 600 * MIB < coarse.stat().st_size
    assert unknown > 1000
    assert tiles >= 8
    labels = np.load(output, mmap_mode="r")
    np.testing.assert_array_equal(labels[:, :height], disc)
    assert not labels[:, height:].any()


def child(program, *arguments):
    """Return what a program prints, as JSON."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, *map(str, arguments)],
        env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
