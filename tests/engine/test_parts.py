"""Small parts of the engine, compared with numbers written out."""

import numpy as np
from engine_internals import plan_of, widened


def test_walls_stay_walls_where_a_byte_has_no_room_left():
    seeds = np.array([[0, 1, 254, 255]], np.uint8)
    np.testing.assert_array_equal(widened(seeds, np.uint16), [[0, 1, 254, 65535]])


def test_the_last_phase_has_as_many_workers_as_its_budget_feeds():
    unknown = np.full((16, 16), 40_000)  # in each patch of 256 x 256 pixels
    each = plan_of(workers=1, budget=1).need.of_tile(2048, 64 * 40_000)  # a block has 8 x 8
    assert plan_of(workers=8, budget=2 * each + 1).with_unknown(unknown).workers == 2
    assert plan_of(workers=1, budget=2 * each + 1).with_unknown(unknown).workers == 1
