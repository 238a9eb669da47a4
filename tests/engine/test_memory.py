"""The plan predicts the memory of a run, measured in a separate process.

A run that gets exactly the memory named in the refusal of a smaller budget stays within it.
"""

import json
import subprocess
import sys

import numpy as np
import pytest
from engine_internals import planned_bytes, planned_for, record_windows, small_world
from gallery import blobs, reduced
from large_files import environment

from hdseg_gpu import refine_file

pytestmark = pytest.mark.filterwarnings("ignore::hdseg_gpu.RefinementWarning")

MIB = 1 << 20

_CHILD = """
import json, re, sys, warnings
warnings.simplefilter("ignore")
import hdseg_gpu
from hdseg_gpu.core.memory import peak

folder = sys.argv[1]
given = {"image": f"{folder}/image.npy", "coarse": f"{folder}/coarse.npy"}
given |= {"output": f"{folder}/labels.npy", "overwrite": True} | json.loads(sys.argv[2])
budget, report = int(sys.argv[3]) * MIB, None
for _ in range(4):
    try:
        report = hdseg_gpu.refine_file(**given, max_memory=budget)
        break
    except hdseg_gpu.InvalidInput as error:
        allow, more = re.search(r"allow (\\d+) MiB( more)?", str(error)).groups()
        budget = (budget + 16 * MIB if more else 0) + int(allow) * MIB
print(json.dumps([budget, peak(), report.doubt, report.decided_tiles, len(report.labels)]))
""".replace("MIB", str(MIB))


def measured(folder, image, coarse, first, **options):
    """Return the budget of a run in a process of its own, its peak, and what it found.

    first: MiB that are tried; if they do not suffice, it is what the refusal asks for.
    """
    np.save(folder / "image.npy", image)
    np.save(folder / "coarse.npy", coarse)
    done = subprocess.run(
        [sys.executable, "-P", "-c", _CHILD, str(folder), json.dumps(options),
         str(first)],
        env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def picture(kind, times=1):
    """Return an image of 2400 x 2300 pixels, or more times as many rows and columns, and a map."""
    labels = blobs((240 * times, 230 * times), 3, 5)
    large = labels.repeat(10, axis=0).repeat(10, axis=1)
    rng = np.random.default_rng(67)
    colours = np.array([[60, 90, 120], [150, 80, 60], [90, 160, 140]], np.uint8)
    image = colours[large] + rng.integers(0, 40, (*large.shape, 1), np.uint8)
    coarse = reduced(large, 8)
    if kind == "doubted":
        coarse = np.roll(coarse, (2, 2), (0, 1))
    elif kind == "classes":
        y, x = np.indices(coarse.shape) // 20
        coarse = (coarse + 3 * (y * 29 + x)).astype(np.uint16)
    elif kind == "floats":
        image = image.astype(np.float32)[..., [0, 1, 2, 1, 0, 2]]
    return image, coarse


@pytest.mark.parametrize(
    ("kind", "tile", "workers", "times", "tiles", "most"),
    [
        # The plan is for a quarter of all pixels unknown, and seed tiles of 4096.
        ("ideal", 2048, 1, 1, 3, 4.5), ("doubted", 2048, 1, 1, 3, 4),
        ("doubted", 2048, 2, 1, 3, 5.5), ("doubted", 4096, 1, 1, 1, 3.5),
        ("classes", 2048, 1, 1, 4, 4), ("floats", 2048, 1, 1, 3, 3),
        ("doubted", 4096, 1, 2, 4, 2.2), ("doubted", 8192, 1, 2, 1, 2.2),
    ],
)  # fmt: skip
def test_a_run_takes_no_more_than_the_plan_asks_for(
    kind, tile, workers, times, tiles, most, tmp_path
):
    image, coarse = picture(kind, times)
    # Many classes are refused twice: first for their tiles, then for the unknown pixels of a block.
    first = 900 if kind == "classes" else 256
    allowed, peak, doubt, decided, labels = measured(
        tmp_path, image, coarse, first, tile=tile, workers=workers, alpha=False
    )
    assert image.nbytes / 2 < peak <= allowed < most * peak
    assert decided == tiles  # with boundaries
    assert (doubt > 0) == (kind in ("doubted", "classes"))
    assert (labels > 300) == (kind == "classes")


def test_the_plan_for_100_gigapixels_and_21_planes():
    """2048 pixels a tile, coarse planes of float32 at stride 8: less than 1 GiB for each worker."""
    side = 316_228
    coarse = 21 * 4 / 8**2  # bytes per pixel of the image
    for channels, most in ((3, 640 * MIB), (1, 600 * MIB)):
        assert planned_for(2048, (side, side), 8.0, channels, coarse) < most
    whole = side**2 * coarse
    assert whole > 100 << 30  # which the map itself would take


def test_the_plan_knows_how_large_windows_become(tmp_path, monkeypatch):
    """One tile in the middle is undecided; it is looked at with windows of colours around it."""
    small_world(monkeypatch)
    y, x = np.mgrid[:896, :896]
    inside = (y - 448) ** 2 + (x - 448) ** 2 < 30**2
    image = np.stack([inside + 0.5, x / 896 + 0.1 * inside], axis=2)
    coarse = np.roll(inside[::2, ::2], (4, 4), (0, 1)).astype(np.uint8)
    windows = record_windows(monkeypatch)
    report = refine_file(image, coarse, tmp_path / "labels.npy", tile=128)
    assert report.doubt > 0
    assert report.decided_tiles == 1
    height, width = max(windows)
    assert 128 < height < 896 > width > 128
    # The image as read and as used; the plan includes what is computed from it.
    taken = height * width * 2 * image.itemsize * image.shape[2]
    planned = planned_bytes(128, image.shape[:2], 2.0, image, 0)
    assert taken < planned < 3 * taken
