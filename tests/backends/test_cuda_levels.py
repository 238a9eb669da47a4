"""Reduction and levels on the executor, in every order of threads: identical to the CPU."""

import numpy as np
import pytest
from bands import SEEDS, columns
from executor import ORDERS, ExecutorDevice
from galerkin import SUM, rescaled_galerkin
from gallery import blobs, photograph
from systems import as_dense

from hdseg_gpu import structuring_elements
from hdseg_gpu.backends.cpu import CpuOps
from hdseg_gpu.backends.cpu.layout import SparseLevel
from hdseg_gpu.backends.cuda import CudaOps, vectors
from hdseg_gpu.backends.cuda.layout import PADDING, CudaEdges
from hdseg_gpu.ops import Band, by_run
from hdseg_gpu.solvers import System, solve
from hdseg_gpu.solvers.hierarchy import Hierarchy

BANDS = ["1x1 all unknown", "1x9 half", "9x1 all unknown", "31x33 half", "31x33 few seeds",
         "3x400 few seeds", "64x65 chessboard", "127x40 diagonal", "31x33 all known"]  # fmt: skip


@pytest.fixture(params=ORDERS)
def device(request):
    return CudaOps(ExecutorDevice(request.param))


@pytest.fixture(scope="module")
def host():
    return CpuOps()


def assembled(host, seeds, columns_=2, strength=20.0, gamma=0.01):
    image = np.random.default_rng(151).random((*seeds.shape, 1))
    band = host.band(seeds)
    labels = np.tile(np.array([1, 2, 3, 1, 2], seeds.dtype)[:columns_], (band.pixel.size, 1))
    return band, *host.assemble(
        band, image, "intensity", strength, seeds, labels, by_run(band), gamma
    )


def over(device, band, edges):
    """Return a band and its matrix on the device."""
    there = Band(
        band.shape, device.xp.asarray(band.pixel), device.xp.asarray(band.start), band.size
    )
    return there, CudaEdges(device.xp.asarray(edges.rows))


def on_processor(level):
    """Return a coarse level of the device as one of the processor."""
    assert level.kind == "sparse"
    parts = tuple(part.get() for part in level.parts)
    return SparseLevel(*parts, level.inverse.get())


def same(actual, expected):
    np.testing.assert_array_equal(actual.get(), expected)


# ---- reduction -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BANDS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_reduction_has_the_processors_bits(device, host, name, dtype):
    band, edges, b = assembled(host, SEEDS[name].astype(dtype))
    there = over(device, band, edges)
    exact, level = host.eliminate_red(band, edges), device.eliminate_red(*there)
    assert level.size == exact.size
    same(level.first_entry, exact.first_entry)
    offsets, weights, row_sum = level.parts
    same(weights, exact.weights)
    same(row_sum, exact.row_sum)
    same(level.inverse, exact.inverse)
    # Kernels read there, whatever the weight.
    to = offsets.get() + np.arange(level.size)
    assert to.min(initial=0) - 1 >= -PADDING
    assert to.max(initial=0) < level.size + PADDING
    rhs = host.eliminate_red_rhs(band, edges, exact, b)
    same(device.eliminate_red_rhs(*there, level, device.xp.asarray(b)), rhs)
    for x in (rhs, rhs.astype(np.float64) / 3):
        found = device.back_substitute(*there, level, device.xp.asarray(x), device.xp.asarray(b))
        same(found, host.back_substitute(band, edges, exact, x, b.copy()))


def test_a_missing_neighbour_up_right(device, host):
    """The offset then leads behind the one up left; at the frame rows do not run together."""
    seeds = np.zeros((4, 5), np.uint8)
    seeds[0, 3:] = seeds[2, 0] = seeds[1, 1] = 1
    band, edges, _ = assembled(host, seeds)
    level = device.eliminate_red(*over(device, band, edges))
    y, x = np.divmod(band.pixels(), 5)
    black = (x + y) % 2 == 0
    number = {(int(v), int(u)): k for k, (v, u) in enumerate(zip(y[black], x[black], strict=True))}
    up2, up, down, down2 = level.parts[0].get()
    for (v, u), k in number.items():
        for offset, dy in ((up2, -2), (down2, 2)):
            assert offset[k] == number.get((v + dy, u), k) - k
        for offset, dy in ((up, -1), (down, 1)):
            left, right = number.get((v + dy, u - 1)), number.get((v + dy, u + 1))
            expected = right if right is not None else k if left is None else left + 1
            assert offset[k] == expected - k
    whole = device.submatrix(level, device.xp.arange(level.size))
    exact = host.eliminate_red(band, edges)
    for found, expected in zip(whole, host.submatrix(exact, np.arange(level.size)), strict=True):
        np.testing.assert_array_equal(found, expected)


# ---- products and smoothers ------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["stencil", "sparse"])
@pytest.mark.parametrize(("name", "width"), [*((name, 2) for name in BANDS), ("31x33 half", 5)])
def test_levels_have_the_processors_bits(device, host, name, width, kind):
    band, edges, _ = assembled(host, SEEDS[name])
    level = device.eliminate_red(*over(device, band, edges))
    if kind == "sparse":
        level = device.coarsen(level)[1]
    exact = host.eliminate_red(band, edges) if kind == "stencil" else on_processor(level)
    rng, n = np.random.default_rng(157), level.size
    b, r, v = (columns(host, a) for a in rng.normal(size=(3, width, n)))
    x64 = host.zeros(n, width, np.float64)
    host.body(x64)[:] = rng.normal(size=(width, n))
    xp, out, expected = device.xp, host.zeros(n, width), host.zeros(n, width)

    there, sums, energy = xp.asarray(out), xp.zeros(width), np.zeros(width)
    for _ in range(2):  # what counts blocks is 0 again
        device.step(level, xp.asarray(v), there, sums, xp.asarray(x64), xp.asarray(r))
        host.step(exact, v, expected, energy, x64.copy(), r.copy())
        np.testing.assert_allclose(sums.get(), energy, rtol=1e-12, atol=1e-12)
        same(there, expected)
    for _ in range(2):
        squares = device.refresh(level, xp.asarray(b), xp.asarray(x64), there)
        wanted = host.refresh(exact, b, x64, expected)
        np.testing.assert_allclose(squares, wanted, rtol=1e-12, atol=1e-12)
    same(there, expected)
    device.residual(level, xp.asarray(b), xp.asarray(x64), there)
    host.residual(exact, b, x64, expected)
    same(there, expected)

    aggregate, below = device.coarsen(level)
    x, coarse = xp.asarray(out), xp.zeros((width, below.size + 2 * PADDING), np.float32)
    device.restrict(level, aggregate, xp.asarray(r), x, coarse)
    known = aggregate.get()
    x_there, coarse_there = host.zeros(n, width), host.zeros(below.size, width)
    host.restrict(exact, known, r, x_there, coarse_there)
    same(x, x_there)
    same(coarse, coarse_there)
    device.prolong(level, aggregate, xp.asarray(r), coarse, x, there)
    host.prolong(exact, known, r, coarse_there, x_there, expected)
    same(there, expected)
    same(device.diagonal(level), host.diagonal(exact))
    same(device.row_sums(level), host.row_sums(exact))
    assert device.dominance(level) == pytest.approx(host.dominance(exact), rel=1e-6)
    if n <= 200:
        same(device.inverse(level), host.inverse(exact))
    chosen = np.flatnonzero(rng.random(n) < 0.4)
    for found, wanted in zip(
        device.submatrix(level, xp.asarray(chosen)), host.submatrix(exact, chosen), strict=True
    ):
        np.testing.assert_array_equal(found, wanted)


def test_no_columns_at_all(device, host):
    band, edges, _ = assembled(host, SEEDS["31x33 half"])
    level = device.eliminate_red(*over(device, band, edges))
    aggregate, below = device.coarsen(level)
    empty, coarse = (
        device.xp.zeros((0, n + 2 * PADDING), np.float32) for n in (level.size, below.size)
    )
    x, none = device.xp.zeros(empty.shape), device.xp.zeros(0)
    device.step(level, empty, empty, none, x, empty)
    device.conjugate(level, empty, empty, none, empty)
    assert device.refresh(level, empty, x, empty).shape == (3, 0)
    assert device.largest(level, empty) == 0
    device.restrict(level, aggregate, empty, empty, coarse)
    device.prolong(level, aggregate, empty, coarse, empty, empty)


def test_sums_do_not_depend_on_the_card(host):
    """More blocks may run at once on a larger one; products are the same to the last bit."""
    seeds = np.zeros((60, 70), np.uint8)
    band, edges, b = assembled(host, seeds, gamma=0.5)
    found = []
    for blocks in (1, 3, 64):
        device = CudaOps(ExecutorDevice())
        device.device.most_blocks = blocks
        there = over(device, band, edges)
        level = device.eliminate_red(*there)
        xp = device.xp
        p = xp.asarray(host.eliminate_red_rhs(band, edges, host.eliminate_red(band, edges), b + 1))
        q, r, x, energy = xp.zeros(p.shape, np.float32), p.copy(), xp.zeros(p.shape), xp.zeros(2)
        device.step(level, p, q, energy, x, r)
        device.conjugate(level, r, q, energy, p)
        squares = device.refresh(level, p, x, r)
        aggregate, below = device.coarsen(level)
        found.append([squares, *(a.get() for a in (energy, x, p, aggregate, *below.parts))])
    for other in found[1:]:
        for actual, expected in zip(other, found[0], strict=True):
            np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("width", [1, 5])
def test_a_cycle_in_one_launch_has_the_same_bits(device, host, width, monkeypatch):
    """From any level on: in one block, or a few launches for each level."""
    seeds = np.zeros((130, 131), np.uint8)
    seeds[::64, ::64] = 1
    band, edges, _ = assembled(host, seeds, width, gamma=1e-4)
    level = device.eliminate_red(*over(device, band, edges))
    r = device.xp.asarray(
        columns(host, np.random.default_rng(167).normal(size=(width, level.size)))
    )
    found = []
    for small in (0, 150, 10**6):
        monkeypatch.setattr(vectors, "_SMALL", small)
        hierarchy = Hierarchy.build(device, level, width)
        assert len(hierarchy.levels) > 3
        assert (hierarchy.small is None) == (small == 0)
        out = device.zeros(level.size, width)
        for _ in range(2):
            hierarchy.precondition(r, out)
        found.append(out.get())
        # Fewer columns than there is room for.
        first = device.zeros(level.size, 1)
        hierarchy.precondition(r[:1], first)
        np.testing.assert_array_equal(first.get()[0], out.get()[0])
    assert found[0].any()
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


# ---- coarsening ------------------------------------------------------------------------------


def check_coarsening(device, level, aggregate, coarse):
    """Assert what is promised of aggregates; return their mean size."""
    known = aggregate.get()
    kept = known >= 0
    values, first, size = np.unique(known[kept], return_index=True, return_counts=True)
    np.testing.assert_array_equal(values, np.arange(coarse.size))
    assert np.all(np.diff(first) > 0)  # numbered by their first entry
    start, member = (part.get() for part in level.members)
    np.testing.assert_array_equal(np.diff(start), size)
    np.testing.assert_array_equal(known[member], np.append(np.repeat(values, size), known[~kept]))
    weights, sums = rescaled_galerkin(Galerkin(device), level, known)
    everything = device.xp.arange(coarse.size)
    found = as_dense(device.submatrix(coarse, everything))
    expected = np.diag(weights.sum(axis=1) + sums) - weights.toarray()
    np.testing.assert_allclose(found, expected, rtol=2 * SUM, atol=1e-13)
    np.testing.assert_allclose(device.row_sums(coarse).get(), sums, rtol=2 * SUM)
    diagonal = device.diagonal(coarse).get()
    np.testing.assert_allclose(diagonal, expected.diagonal(), rtol=2 * SUM)


class Galerkin:
    """The device's ops that ``rescaled_galerkin`` asks for, in host memory."""

    def __init__(self, device):
        self._device = device

    def submatrix(self, level, chosen):
        return self._device.submatrix(level, self._device.xp.asarray(chosen))

    def row_sums(self, level):
        return self._device.row_sums(level).get()


def textured(host, shape, beta, classes=3):
    """Return a band, its matrix and its right-hand sides: a picture with noise on it."""
    labels = blobs(shape, classes)
    image = photograph(labels, 3, "float64")
    image = image + 0.2 * np.random.default_rng(163).random((*shape, 1))
    seeds = host.seeds(labels, classes, structuring_elements("9x9"), 40)
    band = host.band(seeds)
    table = np.tile(np.arange(1, classes, dtype=np.uint8), (band.pixel.size, 1))
    strength = beta / (10 * image.std() * 3**0.5)
    return band, *host.assemble(band, image, "intensity", strength, seeds, table, by_run(band), 0.0)


@pytest.mark.parametrize("beta", [0, 130, 5000])
def test_every_order_of_threads_coarsens_alike(host, beta):
    band, edges, _ = textured(host, (97, 90), beta)
    found = []
    for order in ORDERS:
        device = CudaOps(ExecutorDevice(order))
        level, bits = device.eliminate_red(*over(device, band, edges)), []
        while level.size > 60:
            aggregate, coarse = device.coarsen(level)
            if order == ORDERS[0]:
                check_coarsening(device, level, aggregate, coarse)
                assert (
                    2.5 * coarse.size < level.size <= 8 * coarse.size + (aggregate.get() < 0).sum()
                )
            bits += [aggregate.get(), coarse.inverse.get(), *(part.get() for part in coarse.parts)]
            level = coarse
        found.append(bits)
    assert len(found[0]) >= 2 * 6
    for bits in found[1:]:
        for actual, expected in zip(bits, found[0], strict=True):
            np.testing.assert_array_equal(actual, expected)


class OtherAggregates(CpuOps):
    """The processor's iterations with the device's hierarchy."""

    def __init__(self):
        super().__init__()
        self._device, self._levels = CudaOps(ExecutorDevice()), []

    def eliminate_red(self, band, edges):
        level = super().eliminate_red(band, edges)
        self._levels.append((level, self._device.eliminate_red(*over(self._device, band, edges))))
        return level

    def coarsen(self, level):
        (there,) = (found for known, found in self._levels if known is level)
        aggregate, coarse = self._device.coarsen(there)
        self._levels.append((on_processor(coarse), coarse))
        return aggregate.get(), self._levels[-1][0]


@pytest.mark.parametrize("beta", [0, 130, 1000])
def test_the_hierarchy_is_as_good_as_the_processors(host, beta):
    band, edges, b = textured(host, (160, 150), beta)
    assert 15_000 < band.size < 32_000  # the processor's sums run in one thread
    expected, found = (
        solve(ops, System(band, edges, b.copy()), "multigrid", 1e-4, lambda _: None)
        for ops in (host, OtherAggregates())
    )
    assert found.converged
    assert found.iterations <= 1.3 * expected.iterations + 2
    difference = np.abs(host.body(found.x) - host.body(expected.x)).max()
    assert difference <= found.error + expected.error
