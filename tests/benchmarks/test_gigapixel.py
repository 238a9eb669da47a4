"""The gigapixel benchmark, on a small image."""

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from large_scenes import field

from hdseg_gpu import metrics, open_image
from hdseg_gpu.core.windows import whole

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bench():
    """The benchmark's modules by their last word."""
    if not (ROOT / "benchmarks" / "gigapixel.py").exists():
        pytest.skip("benchmarks/ is not part of an installed package")
    sys.path.append(str(ROOT))
    parts = {n: importlib.import_module(f"benchmarks.gigapixel_{n}") for n in ("data", "run")}
    yield SimpleNamespace(main=importlib.import_module("benchmarks.gigapixel"), **parts)
    sys.path.remove(str(ROOT))


@pytest.fixture(scope="module")
def mosaic(bench):
    sources = [bench.data.generated(i, (301, 203)) for i in range(3)]
    return bench.data.Mosaic(sources, 1040, 0.6)


def test_files_are_parts_of_one_picture(bench, mosaic, tmp_path):
    files = bench.data.build(tmp_path, mosaic, "5")
    everything = whole((1040, 1040))
    truth = mosaic.mask(everything)
    assert 0 < truth.mean() < 0.5
    with open_image(files.image) as image, open_image(files.truth) as t:
        np.testing.assert_array_equal(image.read(everything), mosaic.image(everything))
        np.testing.assert_array_equal(t.read(everything)[..., 0] > 0, truth)
    share = truth.reshape(130, 8, 130, 8).mean(axis=(1, 3))
    with open_image(files.coarse) as coarse:
        np.testing.assert_array_equal(coarse.read(whole((130, 130)))[..., 0], share >= 0.5)
    run = bench.run.refine(files, tmp_path / "out.tif", "--max-memory", "2G")
    assert run.seconds > 0 < run.peak_mib
    before = bench.run.quality(files, None)
    after = bench.run.quality(files, tmp_path / "out.tif")
    assert after.iou > before.iou > 0
    assert bench.main.different(tmp_path / "out.tif", files.truth) > 0
    assert bench.main.different(files.truth, files.truth) == 0


def test_quality_by_windows_is_that_of_the_whole(bench):
    pytest.importorskip("cv2")
    rng = np.random.default_rng(3)
    shape = bench.data.FIELD
    truth = field(rng, shape, 40) > 0.5
    mask = truth ^ (rng.random(shape) < 0.1)

    class Source:
        def __init__(self, pixels):
            self.pixels, self.shape = pixels, pixels.shape

        def read(self, window):
            return self.pixels[window.slices][..., np.newaxis]

    found = bench.run.measured(Source(truth), Source(mask), side=333)
    assert found.iou == pytest.approx(100 * metrics.iou(mask, truth))
    assert found.mba == pytest.approx(100 * metrics.mean_boundary_accuracy(mask, truth))
