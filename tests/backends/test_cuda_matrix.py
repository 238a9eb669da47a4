"""Matrices and columns on CUDA: identical to the CPU's, bit for bit, in every order of threads."""

import numpy as np
import pytest
from bands import SEEDS, columns
from executor import ORDERS, ExecutorDevice
from executor.through import ThroughDevice
from gallery import photograph

from hdseg_gpu import backends
from hdseg_gpu.backends.cuda import CudaOps
from hdseg_gpu.backends.cuda.kernels import SCANNED
from hdseg_gpu.backends.cuda.layout import CudaLevel
from hdseg_gpu.core.classes import wall_of
from hdseg_gpu.core.windows import Window
from hdseg_gpu.ops import EVERYWHERE, Evidence, Places, by_run

NAMES = ("1x1 all unknown", "31x33 half", "127x40 columns", "64x65 few seeds", "400x3 rows",
         "31x33 all known", "64x65 chessboard")  # fmt: skip


@pytest.fixture(params=ORDERS)
def cuda(request):
    return ThroughDevice(CudaOps(ExecutorDevice(request.param)))


@pytest.fixture(scope="module")
def cpu():
    return backends.load("cpu")


def same(actual, expected):
    np.testing.assert_array_equal(actual, expected)
    assert actual.dtype == expected.dtype


def snake(shape):
    """Return seeds around a path that is one pixel wide and as long as half of the picture."""
    seeds = np.ones(shape, np.uint8)
    seeds[::2] = 0
    seeds[1::4, -1] = seeds[3::4, 0] = 0
    return seeds


def comb(shape):
    """Return seeds between columns that meet in the last row."""
    seeds = np.zeros(shape, np.uint8)
    seeds[:-1, 1::2] = 2
    return seeds


@pytest.mark.parametrize("make", [snake, comb, lambda s: comb(s)[::-1].copy(), np.zeros])
@pytest.mark.parametrize("shape", [(67, 9), (9, 301), (700, 2)])
def test_components_of_long_chains(cuda, cpu, make, shape):
    seeds = make(shape).astype(np.uint8)
    band = cpu.band(seeds)
    same(cuda.components(band), cpu.components(band))
    same(cuda.components(band), np.zeros(len(band.pixel), np.int32))


def test_running_sums_of_several_tiles(cuda, cpu):
    """More rows and runs than a block adds up."""
    seeds = np.ones((2 * SCANNED + 77, 5), np.uint8)
    seeds[::2, 1] = seeds[::3, 3:] = 0
    band, expected = cuda.band(seeds), cpu.band(seeds)
    same(band.pixel, expected.pixel)
    same(band.start, expected.start)
    component = cpu.components(expected)
    same(cuda.components(band), component)
    row = (np.arange(component.max() + 1) % 5 - 1).astype(np.int32)
    (part, *found), (expected, *others) = (o.part(expected, component, row) for o in (cuda, cpu))
    for a, b in zip((part.pixel, part.start, *found), (*expected[1:3], *others), strict=True):
        same(a, b)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32"])
@pytest.mark.parametrize("name", NAMES)
def test_components_and_who_has_a_say(cuda, cpu, name, dtype):
    seeds = SEEDS[name].astype(dtype) * (1 if dtype == "uint8" else 301)
    seeds[::3, -1] = wall_of(dtype)
    band = cpu.band(seeds)
    component = cpu.components(band)
    same(cuda.components(band), component)
    rng = np.random.default_rng(41)
    label = rng.integers(0, 900, (band.size, 3)).astype(dtype)
    evidence = Evidence(label, np.ones(label.shape, np.float32))
    first = np.where(rng.random(len(band.pixel)) < 0.8, band.pixel // band.shape[1], -99)
    for places in (Places(component, EVERYWHERE), Places(first.astype(np.int32), 4)):
        for said in (None, evidence):
            found, expected = (o.labels_at(band, seeds, places, said) for o in (cuda, cpu))
            for a, b in zip(found, expected, strict=True):
                same(a, b)


@pytest.mark.parametrize("rule", ["intensity", "boundary"])
@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_edges(cuda, cpu, dtype, channels, rule):
    seed_dtype = "uint16" if channels == 3 else "uint8"
    unit = 1.0 if dtype.startswith("f") else 1 / np.iinfo(dtype).max
    for name in NAMES:
        seeds = SEEDS[name].astype(seed_dtype)
        image = photograph(np.maximum(seeds, 1).astype(np.uint8) - 1, channels, dtype)
        seeds[::3, -1] = np.iinfo(seed_dtype).max
        band = cpu.band(seeds)
        run = np.arange(len(band.pixel))[:, np.newaxis]
        labels = ((run + np.arange(3)) % 3 + 1).astype(seed_dtype)[:, : channels - 1]
        labels = np.ascontiguousarray(labels)
        given = (band, image, rule, 7.0 * unit**2, seeds, labels, by_run(band), 0.1)
        edges, flux = cuda.assemble(*given)
        expected, b = cpu.assemble(*given)
        same(edges.rows.get(), expected.rows)
        same(flux, b)
        same(cuda.matrix_row_sums(edges), cpu.matrix_row_sums(expected))
        for actual, exact in zip(
            cuda.laplacian(band, edges), cpu.laplacian(band, expected), strict=True
        ):
            same(actual, exact)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("width", [0, 1, 4])
def test_decisions(cuda, cpu, width, dtype):
    rng = np.random.default_rng(131)
    for name in NAMES:
        seeds = SEEDS[name].astype(dtype)
        band = cpu.band(seeds)
        x = columns(cpu, rng.integers(-1, 10, (width, band.size)) / 8)
        table = rng.permuted(np.tile(np.arange(200, 201 + width), (len(band.pixel), 1)), axis=1)
        core = Window(1, 0, max(seeds.shape[0] - 1, 0), max(seeds.shape[1] - 2, 0))
        for bound in (0.01, rng.choice([0, 1 / 16], band.size)):
            actual, expected = seeds.copy(), seeds.copy()
            found = cuda.decide(band, x, table.astype(dtype), by_run(band), bound, core, actual)
            assert found == cpu.decide(
                band, x, table.astype(dtype), by_run(band), bound, core, expected
            )
            same(actual, expected)


@pytest.mark.parametrize("size", [1, 255, 257, 70_001])
def test_columns(cuda, cpu, size):
    rng = np.random.default_rng(137)
    x, y = (columns(cpu, v) for v in rng.normal(size=(2, 3, size)))
    cpu.body(x)[2] = 0.0
    cpu.body(x)[1, -1], cpu.body(y)[0, 0] = -np.inf, np.nan
    inverse = columns(cpu, rng.uniform(0.5, 2, (1, size)))[0]
    level = CudaLevel("stencil", (), cuda.inner.xp.asarray(inverse), size)
    assert cuda.largest(level, x) == cpu.largest(level, x) == np.inf
    assert np.isnan(cuda.largest(level, y))
    out = cuda.zeros(size, 3)
    cuda.apply_inverse_diagonal(level, y, out)
    same(out, inverse * y)
