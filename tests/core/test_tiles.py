"""Windows, tiles and planes: geometry, and files on disk."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdseg_gpu.core.tiles import TileGrid
from hdseg_gpu.core.windows import Window, between, placed, whole
from hdseg_gpu.io.plane import DamagedTile, Plane

SIDES = st.integers(1, 300)
SHAPES = st.tuples(SIDES, SIDES)


@given(SHAPES, st.integers(1, 130))
def test_core_windows_partition_the_picture(shape, tile):
    seen = np.zeros(shape, np.int32)
    grid = TileGrid(shape, tile)
    for index in range(len(grid)):
        core = grid.core(index)
        assert core.height > 0 < core.width
        seen[core.slices] += 1
    assert (seen == 1).all()


@given(SHAPES, st.integers(1, 130), st.data())
def test_tiles_that_meet_a_window(shape, tile, data):
    top, left = (data.draw(st.integers(0, n - 1)) for n in shape)
    window = Window(top, left, *(data.draw(st.integers(1, n - i)) for n, i in
                                 zip(shape, (top, left), strict=True)))  # fmt: skip
    grid = TileGrid(shape, tile)
    expected = [i for i in range(len(grid)) if grid.core(i).intersection(window) is not None]
    assert grid.meeting(window) == expected


@given(SHAPES, st.integers(0, 60), st.integers(1, 40), st.data())
def test_halos_and_alignment(shape, halo, step, data):
    top, left = (data.draw(st.integers(0, n - 1)) for n in shape)
    core = between(top, left, top + 50, left + 70, shape)
    outer = core.padded(halo, shape).aligned(step, shape)
    assert outer.top % step == 0 == outer.left % step
    assert outer.bottom % step == 0 or outer.bottom == shape[0]
    assert outer.right % step == 0 or outer.right == shape[1]
    assert outer.top <= max(0, core.top - halo)
    assert outer.right >= min(shape[1], core.right + halo)
    inner = core.relative_to(outer)
    picture = np.arange(shape[0] * shape[1]).reshape(shape)
    np.testing.assert_array_equal(picture[outer.slices][inner.slices], picture[core.slices])


@given(SHAPES, st.tuples(st.integers(1, 40), st.integers(1, 40)), st.data())
def test_a_grid_mapping_has_what_interpolation_looks_at(shape, grid, data):
    top, left = (data.draw(st.integers(0, n - 1)) for n in shape)
    window = between(top, left, top + 31, left + 17, shape)
    part = placed(window, shape, grid).part
    for low, high, n, size, axis in (
        (window.top, window.bottom, grid[0], shape[0], 0),
        (window.left, window.right, grid[1], shape[1], 1),
    ):
        centres = (np.array([low, high - 1]) + 0.5) * n / size - 0.5
        first, last = int(np.floor(centres[0])) - 1, int(np.floor(centres[1])) + 2  # cubic
        assert part[axis] <= min(max(first, 0), n - 1)
        assert part[axis] + part[axis + 2] > min(max(last, 0), n - 1)


@pytest.mark.parametrize("kind", ["uint8", "uint16", "bool"])
def test_a_plane_keeps_what_is_written(tmp_path, kind):
    rng = np.random.default_rng(5)
    shape = (1301, 777)
    values = rng.integers(0, 2 if kind == "bool" else 200, shape).astype(kind)
    plane = Plane(tmp_path / "plane", shape, 600, kind, bits=kind == "bool")
    for index in range(len(plane.grid)):
        assert not plane.is_whole(index)
        plane.write(index, values[plane.grid.core(index).slices])
        assert plane.is_whole(index)
    for window in (
        whole(shape),
        Window(0, 0, 1, 1),
        Window(511, 599, 90, 3),
        Window(1300, 0, 1, 777),
    ):
        found = plane.read(window)
        assert found.dtype == values.dtype
        np.testing.assert_array_equal(found, values[window.slices])


@pytest.mark.parametrize("damage", ["cut", "head", "strip", "empty"])
def test_a_damaged_tile_is_noticed(tmp_path, damage):
    plane = Plane(tmp_path, (1100, 900), 1024, "uint8")
    plane.write(0, np.random.default_rng(7).integers(0, 9, (1024, 900)).astype(np.uint8))
    content = bytearray(plane.path(0).read_bytes())
    if damage == "cut":
        content = content[:-100]
    elif damage == "empty":
        content = content[:0]
    else:
        content[3 if damage == "head" else -7] ^= 0xFF
    plane.path(0).write_bytes(content)
    assert not plane.is_whole(0)
    with pytest.raises(DamagedTile):
        plane.read(Window(0, 0, 1024, 900))


def test_constant_tiles_are_small(tmp_path):
    plane = Plane(tmp_path, (4096, 4096), 4096, "uint8")
    plane.write(0, np.ones((4096, 4096), np.uint8))
    assert plane.path(0).stat().st_size < 100_000
    assert [p.name for p in tmp_path.iterdir()] == ["00000000"]  # no temporary file
