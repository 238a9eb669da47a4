"""The patches in which the coarse map is compared with the colours, and their grouping."""

import numpy as np
import pytest

from hdseg_gpu.core.windows import whole
from hdseg_gpu.pipeline.doubt import PATCH, around, grouped, patch_at, patches_of


def area(window):
    return window.height * window.width


def read(shape, groups, halo):
    """Return the pixels that are read for groups of patches."""
    return sum(area(around(shape, group).padded(halo, shape)) for group in groups)


@pytest.mark.parametrize("share", [0.02, 0.2, 0.9])
@pytest.mark.parametrize("halo", [0, 90, 1500])
@pytest.mark.parametrize("tile", [2048, 8192])
def test_groups_are_of_a_tile_and_read_no_more(share, halo, tile):
    shape = (9000, 5000)
    patches = patches_of(shape)
    chosen = np.random.default_rng(311).random(patches) < share
    groups = grouped(chosen, shape, tile, halo)
    together = sorted(patch for group in groups for patch in group)
    assert together == np.flatnonzero(chosen).tolist()
    for group in groups:
        rows, columns = np.divmod(group, patches[1])
        assert len({*zip(rows * PATCH // tile, columns * PATCH // tile, strict=True)}) == 1
    alone = [[patch] for patch in together]
    assert read(shape, groups, halo) <= read(shape, alone, halo)


def test_neighbours_are_read_together_and_far_ones_apart():
    shape, chosen = (4096, 4096), np.zeros((16, 16), bool)
    chosen[3, 4] = chosen[3, 5] = chosen[4, 4] = True
    assert grouped(chosen, shape, 4096, 300) == [[52, 53, 68]]
    chosen[:] = False
    chosen[0, 0] = chosen[15, 15] = True
    assert grouped(chosen, shape, 4096, 300) == [[0], [255]]
    assert grouped(chosen, shape, 4096, 4096) == [[0, 255]]  # either would be all of the picture


def test_the_window_around_patches():
    shape = (1000, 700)
    assert around(shape, [0]) == patch_at(shape, 0) == (0, 0, 256, 256)
    assert around(shape, [0, 11]) == whole(shape)
    assert around(shape, [4, 8]) == (256, 256, 512, 444)
