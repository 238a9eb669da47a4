"""Images that a device reads strip by strip give the same results as whole ones."""

import numpy as np
import pytest
from executor import ExecutorDevice
from gallery import photograph

from hdseg_gpu.backends.cuda import CudaOps
from hdseg_gpu.backends.cuda.pictures import Picture, parts_of
from hdseg_gpu.ops import by_run

SHAPE = (53, 47)
LABELS = (np.random.default_rng(5).random(SHAPE) < 0.5).astype(np.uint8)


@pytest.fixture(scope="module")
def cuda():
    return CudaOps(ExecutorDevice())


def picture(cuda, image, rows, keep):
    return Picture(cuda.device, image, rows, keep=keep)


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("rows", [1, 7, 53, 100])
@pytest.mark.parametrize("halo", [0, 1, 3])
def test_strips_are_the_rows(cuda, rows, keep, halo):
    image = photograph(LABELS, 3, "uint16")
    for multiple in (1, 4):
        whole = picture(cuda, image, rows, keep)
        for _ in range(2):  # the second time it may be on the device
            bottom = 0
            for strip in whole.strips(0 if keep else halo, multiple):
                assert strip.top == bottom
                assert strip.top % multiple == 0
                bottom = strip.bottom
                first = strip.top - strip.above
                assert first == max(0, strip.top - (0 if keep else halo))
                last = min(SHAPE[0], bottom + (0 if keep else halo))
                np.testing.assert_array_equal(strip.values.get(), image[first:last])
            assert bottom == SHAPE[0]
        assert len(whole.tops()) == (1 if keep else -(-SHAPE[0] // min(rows, SHAPE[0])))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("rule", ["intensity", "boundary"])
def test_assembles_alike(cuda, dtype, keep, rule):
    xp, image = cuda.xp, photograph(LABELS, 2, dtype)
    seeds = xp.asarray(
        (LABELS + 1) * (np.random.default_rng(7).random(SHAPE) < 0.4).astype(np.uint8)
    )
    band = cuda.band(seeds)
    labels, places = xp.ones((len(band.pixel), 2), np.uint8), by_run(band, xp)
    expected = cuda.assemble(band, xp.asarray(image), rule, 1e-3, seeds, labels, places, 0.5)
    for rows in (1, 5, 60):
        found = cuda.assemble(
            band, picture(cuda, image, rows, keep), rule, 1e-3, seeds, labels, places, 0.5
        )
        np.testing.assert_array_equal(found[0].rows.get(), expected[0].rows.get())
        np.testing.assert_array_equal(found[1].get(), expected[1].get())


def test_parts_cover_the_band(cuda):
    seeds = cuda.xp.asarray((np.random.default_rng(11).random(SHAPE) < 0.7).astype(np.uint8))
    band, image = cuda.band(seeds), photograph(LABELS, 1, "uint8")
    for rows in (1, 10, 53):
        parts = list(parts_of(cuda, picture(cuda, image, rows, False), band))
        assert [p.begin for p in parts] == [0, *(p.end for p in parts[:-1])]
        assert parts[-1].end == band.size
        assert all(part.begin < part.end for part in parts)
        pixels = cuda.pixels(band).get()
        for part in parts:
            here = pixels[part.begin : part.end] // SHAPE[1] - part.first // SHAPE[1]
            assert ((here >= 0) & (here < len(part.values))).all()


@pytest.mark.parametrize("width", [1 << 14, 100_000])
def test_strips_are_no_larger_than_they_need_to_be(cuda, monkeypatch, width):
    """However large the device is: a strip is twice in pinned memory, and twice on the device."""
    image = np.broadcast_to(np.uint8(7), (1 << 20, width, 3))  # as large as it says, but for that
    row = image[0].nbytes
    for memory, largest in ((2 * image.nbytes, 128 << 20), (4 * image.nbytes, 64 << 20)):
        monkeypatch.setattr(cuda.device, "memory", memory)
        for smaller in range(4 if memory < 3 * image.nbytes else 1):
            rows = cuda.picture(image, smaller).tops().step
            assert rows * row <= largest >> smaller < (rows + 1) * row
    monkeypatch.setattr(cuda.device, "memory", 64 << 20)  # small ones give less
    assert cuda.picture(image).tops().step == (4 << 20) // row


def test_what_fits_is_kept(cuda):
    image = photograph(LABELS, 3, "uint8")
    assert len(cuda.picture(image).kept().tops()) == 1
    with cuda.here(2 * image.nbytes):
        assert len(cuda.picture(image).kept().tops()) > 3
    assert len(cuda.picture(image, smaller=1).kept().tops()) == 1  # one strip may hold all of it
    there = cuda.xp.asarray(image)
    assert cuda.picture(there) is there
